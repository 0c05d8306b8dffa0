"""
What one Redis or Valkey server says about itself, read from its ``INFO``, ``CONFIG GET`` and ``TIME`` replies.

A server may refuse ``CONFIG`` (managed services and narrow ACLs do): what it did not say is None, and nobody guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ServerFacts", "parse_facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """
    One server.

    Args:
        engine: ``redis`` or ``valkey``.
        version: Its parts, for example ``(7, 0, 15)``.
        max_memory_bytes: 0 where unbounded.
        used_memory_bytes: Held now.
        eviction_policy: ``maxmemory-policy``.
        evicted_keys: Since the server started.
        is_aof_on: Whether the append-only file is written.
        appendfsync: ``always``, ``everysec`` or ``no``; None where unknown.
        role: ``master`` or ``slave``.
        replicas: Connected replicas.
        is_cluster: Cluster mode.
        clients: Connected clients.
        max_clients: Their bound, 0 where unknown.
        is_loading: Still reading its data from disk.
        clock_offset_s: The server's clock minus ours, measured against the middle of the round trip.
        round_trip_s: Of that measurement: the offset is known to half of it.
    """

    engine: str
    version: tuple[int, ...]
    max_memory_bytes: int
    used_memory_bytes: int
    eviction_policy: str
    evicted_keys: int
    is_aof_on: bool
    appendfsync: str | None
    role: str
    replicas: int
    is_cluster: bool
    clients: int
    max_clients: int
    is_loading: bool
    clock_offset_s: float
    round_trip_s: float

    @property
    def version_text(self) -> str:
        """Engine and version as people write them."""
        return f"{self.engine} {'.'.join(map(str, self.version))}"


def parse_facts(
    text: str, config: Mapping[str, str] | None, *, clock_offset_s: float, round_trip_s: float
) -> ServerFacts:
    """
    Read the text of ``INFO everything``, and the reply to ``CONFIG GET`` where there is one.

    Args:
        text: The lines ``name:value``.
        config: Settings by name, or None where the server refuses to tell.
        clock_offset_s: See `ServerFacts`.
        round_trip_s: See `ServerFacts`.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def number(name: str) -> int:
        digits = fields.get(name, "0")
        return int(digits) if digits.isdigit() else 0

    is_valkey = "valkey_version" in fields
    return ServerFacts(
        engine="valkey" if is_valkey else "redis",
        version=_version(fields.get("valkey_version" if is_valkey else "redis_version", "0")),
        max_memory_bytes=number("maxmemory"),
        used_memory_bytes=number("used_memory"),
        eviction_policy=fields.get("maxmemory_policy", ""),
        evicted_keys=number("evicted_keys"),
        is_aof_on=number("aof_enabled") == 1,
        appendfsync=config.get("appendfsync") if config else None,
        role=fields.get("role", ""),
        replicas=number("connected_slaves"),
        is_cluster=number("cluster_enabled") == 1,
        clients=number("connected_clients"),
        max_clients=number("maxclients"),
        is_loading=number("loading") == 1,
        clock_offset_s=clock_offset_s,
        round_trip_s=round_trip_s,
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.partition("-")[0].split(".") if part.isdigit())
