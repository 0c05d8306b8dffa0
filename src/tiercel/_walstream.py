"""
The streaming side of PostgreSQL's replication protocol, as generators of the driver's kind, which say what they wait
for.

``connection.wait(…)`` runs them, awaiting or blocking; so both colours share this file. A replication connection stays
in COPY mode in both directions, which the driver knows at the level of libpq only.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

__all__ = ["next_frame", "ready_frame", "send_frame", "start_streaming"]


def start_streaming(connection: PGconn, command: bytes) -> Generator[Any, Any, None]:
    """Send ``START_REPLICATION …`` and wait until the stream is open; raises the driver's OperationalError."""
    from psycopg import OperationalError, pq
    from psycopg.waiting import Wait

    connection.send_query(command)
    while connection.flush():
        yield Wait.RW
    while True:
        if (yield Wait.R):
            connection.consume_input()
            if not connection.is_busy():
                break
    result = connection.get_result()
    if result is None or result.status != pq.ExecStatus.COPY_BOTH:
        raise OperationalError(_text(result))


def ready_frame(connection: PGconn) -> bytes | None:
    """Return the next frame if it has arrived; raises the driver's OperationalError where the stream ended."""
    from psycopg import OperationalError

    for is_last_try in (False, True):
        length, frame = connection.get_copy_data(1)
        if length > 0:
            return bytes(frame)
        if length < 0:
            raise OperationalError(_text(connection.get_result()))
        if not is_last_try:
            connection.consume_input()
    return None


def next_frame(connection: PGconn, ends_s: float) -> Generator[Any, Any, bytes | None]:
    """Wait for a frame until *ends_s* (monotonic) and return it, None where none came."""
    from psycopg.waiting import Wait

    while True:
        frame = ready_frame(connection)
        if frame is not None:
            return frame
        if not (yield Wait.R) and time.monotonic() >= ends_s:
            return None


def send_frame(connection: PGconn, frame: bytes) -> Generator[Any, Any, None]:
    """Send *frame* upstream."""
    from psycopg.waiting import Wait

    connection.put_copy_data(frame)
    while connection.flush():
        yield Wait.W


def _text(result: Any) -> str:
    message = result.error_message.decode("utf-8", "replace") if result is not None else ""
    return message.strip() or "the stream of changes ended"
