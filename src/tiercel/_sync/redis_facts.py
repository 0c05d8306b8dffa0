# Generated from src/tiercel/_async/redis_facts.py by tools/unasync.py. Do not edit.
"""
Questions to the servers behind a link, for ``tiercel doctor`` and for health: what they are, and how their clocks
stand.

Read-only, except for `backplane_round_trip_s`, which writes one message to a stream of its own and deletes the stream.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from tiercel._sync.link import Link
from tiercel._core.redisfacts import ServerFacts, parse_facts
from tiercel.errors import TierError

__all__ = ["backplane_round_trip_s", "server_facts"]


def server_facts(link: Link) -> dict[str, ServerFacts]:
    """Ask every primary and return its facts by node name; a server that does not answer raises `TierError`."""
    sent_s = time.time()
    times = link.each_primary(b"TIME")
    received_s = time.time()
    texts = link.each_primary(b"INFO", b"everything")
    configs = _configs(link)
    middle_s = (sent_s + received_s) / 2
    return {
        name: parse_facts(
            _text(texts[name]),
            configs.get(name),
            clock_offset_s=_seconds(reply) - middle_s,
            round_trip_s=received_s - sent_s,
        )
        for name, reply in times.items()
        if name in texts
    }


def _configs(link: Link) -> dict[str, dict[str, str]]:
    """Return ``CONFIG GET append*`` by node; nothing where the servers refuse to tell, as managed ones do."""
    try:
        replies = link.each_primary(b"CONFIG", b"GET", b"append*")
    except TierError:
        return {}
    return {name: {_text(key): _text(value) for key, value in reply.items()} for name, reply in replies.items()}


def backplane_round_trip_s(link: Link, namespace: str) -> float:
    """Write a message to a scratch stream, read it back and return how long that took."""
    stream = f"{namespace}:doctor:{secrets.token_hex(8)}".encode()
    token = secrets.token_bytes(8)
    started_s = time.perf_counter()
    try:
        link.execute(b"XADD", stream, b"*", b"probe", token)
        reply = link.execute(b"XRANGE", stream, b"-", b"+")
    finally:
        link.execute(b"DEL", stream)
    if len(reply) != 1 or token not in reply[0][1]:
        raise TierError(f"the backplane's probe came back as {reply!r}", tier="redis", operation="backplane")
    return time.perf_counter() - started_s


def _seconds(reply: Any) -> float:
    return int(reply[0]) + int(reply[1]) / 1e6


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
