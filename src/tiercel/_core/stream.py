"""
The backplane's stream as the far tier shows it.
"""

from __future__ import annotations

from typing import NamedTuple


class StreamEntry(NamedTuple):
    """One message of the backplane: its id in the stream, and its bytes."""

    id: bytes
    body: bytes


class StreamState(NamedTuple):
    """Where a stream stands: the id of its oldest entry and the last one given out; ``0-0`` where empty."""

    first_id: bytes
    last_id: bytes
