"""
Findings of ``tiercel doctor``: pure probes that judge facts, each saying what is wrong and what to do about it.

A probe takes plain objects, so that it can be fed by a live server or by a test. Levels: ``ok`` (looked at, fine),
``note`` (worth knowing), ``warning`` (works, but not as promised), ``error`` (a promise is broken).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tiercel._core.changeoptions import ChangeSource, SlotFacts
from tiercel._core.durations import format_duration, format_size
from tiercel._core.linkoptions import LinkHealth
from tiercel._core.redisfacts import ServerFacts
from tiercel.options import JournalOptions, RegionOptions

__all__ = [
    "Finding",
    "Level",
    "judge_backplane",
    "judge_changes",
    "judge_clock",
    "judge_codec",
    "judge_connections",
    "judge_durability",
    "judge_eviction",
    "judge_local_tier",
    "judge_server",
    "judge_slots",
    "judge_version",
]

Level: TypeAlias = Literal["ok", "note", "warning", "error"]

OLDEST_VERSION: Final = {"redis": (7, 0), "valkey": (7, 2)}
CLOCK_NOTE_S: Final = 0.5
CLOCK_WARNING_S: Final = 2.0

# First fixed release of each maintained branch. A branch that is not named here got no fix from its makers.
KNOWN_CVES: Final[dict[str, tuple[str, dict[str, tuple[tuple[int, int, int], ...]]]]] = {
    "CVE-2025-49844": (
        "use after free through Lua: code execution by who may run scripts",
        {
            "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
            "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
        },
    ),
    "CVE-2025-21605": (
        "memory exhaustion by clients that have not signed in",
        {"redis": ((6, 2, 18), (7, 2, 8), (7, 4, 3)), "valkey": ((7, 2, 9), (8, 0, 3))},
    ),
    "CVE-2024-46981": (
        "code execution through Lua's garbage collector",
        {"redis": ((6, 2, 17), (7, 2, 7), (7, 4, 2)), "valkey": ((7, 2, 8), (8, 0, 2))},
    ),
    "CVE-2024-31228": (
        "crash through long patterns",
        {"redis": ((6, 2, 16), (7, 2, 6), (7, 4, 1)), "valkey": ((7, 2, 7), (8, 0, 1))},
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at.

    Args:
        subject: What: ``redis 127.0.0.1:6379``, ``local tier``.
        level: How bad it is.
        message: What was found.
        action: What to do; empty where nothing need be done.
    """

    subject: str
    level: Level
    message: str
    action: str = ""


def judge_local_tier(implementation: str, reason: str = "") -> Finding:
    """Say which implementation of the local tier serves; *reason* is why it is not the native one."""
    if implementation == "native":
        return Finding("local tier", "ok", "the native accelerator serves")
    message = f"the {implementation} implementation serves" + (f": {reason}" if reason else "")
    return Finding(
        "local tier",
        "note",
        f"{message}; it behaves alike and is slower",
        "install a C compiler and reinstall tiercel, or use a wheel for this platform",
    )


def judge_codec(name: str, is_equal: bool, seconds: float) -> Finding:
    """Judge a value that was encoded and decoded with codec *name*."""
    if is_equal:
        return Finding(f"codec {name}", "ok", f"a round trip took {seconds * 1e6:.0f} µs")
    return Finding(
        f"codec {name}", "error", "a value came back different", "reinstall msgspec; report this if it stays"
    )


def judge_server(name: str, facts: ServerFacts, regions: Iterable[RegionOptions]) -> list[Finding]:
    """Return every finding about one server, against what *regions* rely on."""
    subject = f"redis {name}"
    regions = list(regions)
    findings = [
        *judge_version(subject, facts),
        *judge_eviction(subject, facts, regions),
        *judge_durability(subject, facts, regions),
        judge_clock(subject, facts.clock_offset_s, facts.round_trip_s),
    ]
    if facts.is_loading:
        findings.append(Finding(subject, "error", "the server is still loading its data", "wait until it is done"))
    if facts.max_clients and facts.clients > 0.8 * facts.max_clients:
        message = f"{facts.clients} of {facts.max_clients} clients are connected"
        findings.append(Finding(subject, "warning", message, "raise maxclients, or find who keeps connections open"))
    return findings


def judge_version(subject: str, facts: ServerFacts) -> Iterator[Finding]:
    """Judge the version against what is needed and against known holes."""
    oldest = OLDEST_VERSION[facts.engine]
    if facts.version < oldest:
        needed = ".".join(map(str, oldest))
        yield Finding(
            subject, "error", f"{facts.version_text} is too old", f"upgrade to {facts.engine} {needed} or newer"
        )
    holes = [cve for cve, (_, fixes) in KNOWN_CVES.items() if _is_open(facts.version, fixes[facts.engine])]
    if holes:
        what = "; ".join(f"{cve} ({KNOWN_CVES[cve][0]})" for cve in holes)
        yield Finding(
            subject,
            "warning",
            f"{facts.version_text} by its number has {what}",
            "upgrade, or make sure that the distribution's package carries the fixes; restrict EVAL by ACL meanwhile",
        )
    elif facts.version >= oldest:
        yield Finding(subject, "ok", f"{facts.version_text}, no known hole by its number")


def _is_open(version: tuple[int, ...], fixes: tuple[tuple[int, int, int], ...]) -> bool:
    """Say whether *version* precedes the fix of its branch; branches newer than every fix were born fixed."""
    branch = version[:2]
    for fix in fixes:
        if fix[:2] == branch:
            return version < fix
    return branch < max(fix[:2] for fix in fixes)


def judge_eviction(subject: str, facts: ServerFacts, regions: list[RegionOptions]) -> Iterator[Finding]:
    """Judge memory bound and eviction policy: tags and leases survive eviction by design, a journal does not."""
    policy = facts.eviction_policy
    journals = [region.name for region in regions if (journal := _journal(region)) and journal.kind == "redis"]
    if facts.max_memory_bytes == 0:
        yield Finding(
            subject,
            "warning",
            f"memory is unbounded ({format_size(facts.used_memory_bytes)} used)",
            "set maxmemory, and maxmemory-policy to volatile-lfu or allkeys-lfu",
        )
    elif policy == "noeviction":
        yield Finding(
            subject,
            "warning",
            "maxmemory-policy is noeviction: a full server refuses writes, so fills and invalidations fail",
            "set maxmemory-policy to " + ("volatile-lfu" if journals else "allkeys-lfu"),
        )
    elif journals and policy.startswith("allkeys"):
        yield Finding(
            subject,
            "error",
            f"maxmemory-policy is {policy}: journals may be evicted: {', '.join(journals)}",
            "set maxmemory-policy to volatile-lfu (journals have no ttl), or keep journals on a server of their own",
        )
    else:
        yield Finding(subject, "ok", f"{format_size(facts.max_memory_bytes)} with {policy}: an evicted tag is a miss")


def judge_durability(subject: str, facts: ServerFacts, regions: list[RegionOptions]) -> Iterator[Finding]:
    """Judge what the server keeps against what the Redis journals of *regions* promise."""
    for region in regions:
        journal = _journal(region)
        if journal is None or journal.kind != "redis":
            continue
        lacks = _lacks(facts, journal)
        where = f"{subject}, journal of {region.name}"
        if lacks:
            yield Finding(where, "error", f"durability={journal.durability!r}, but {lacks[0]}", lacks[1])
        else:
            yield Finding(where, "ok", f"durability={journal.durability!r} is kept")


def _lacks(facts: ServerFacts, journal: JournalOptions) -> tuple[str, str] | None:
    """Return what the server lacks for the journal's durability and what to do, None where it lacks nothing."""
    if journal.durability == "replicated" and facts.replicas < 2:
        return (
            f"the server has {facts.replicas} replicas: with one, losing it stops all writes",
            "run at least two replicas of each primary",
        )
    if not facts.is_aof_on:
        return "the append-only file is off: a restart loses the journal", "set appendonly yes"
    if journal.durability == "always" and facts.appendfsync != "always":
        shown = facts.appendfsync or "unknown (CONFIG is refused)"
        return f"appendfsync is {shown}: a power loss loses up to a second", "set appendfsync always"
    return None


def _journal(region: RegionOptions) -> JournalOptions | None:
    """Return the journal that *region* writes to, None where it has no store or writes through."""
    if region.strategy != "write-behind" or region.store is None:
        return None
    return region.journal or JournalOptions()


def judge_clock(subject: str, offset_s: float, round_trip_s: float) -> Finding:
    """Judge how far the server's clock is from ours; freshness goes by the server's, so small offsets are harmless."""
    known_to = round_trip_s / 2
    text = f"its clock differs by {abs(offset_s) * 1e3:.1f} ms (± {known_to * 1e3:.1f} ms)"
    if abs(offset_s) - known_to > CLOCK_WARNING_S:
        return Finding(subject, "warning", text, "run NTP on both machines: versions are ordered by wall clocks")
    return Finding(subject, "note" if abs(offset_s) - known_to > CLOCK_NOTE_S else "ok", text)


def judge_slots(subject: str, health: LinkHealth) -> Finding:
    """Judge whether every key has a server."""
    if health.coverage < 1:
        part = f"{(1 - health.coverage) * 100:.1f} % of the key space has no server"
        return Finding(subject, "error", part, "bring the missing primaries back, or reassign their slots")
    return Finding(subject, "ok", f"{health.topology}, every key has a server")


def judge_connections(subject: str, health: LinkHealth) -> Iterator[Finding]:
    """Judge each node of a link as its connections see it."""
    for name, node in health.nodes.items():
        where = f"{subject} {name}"
        if node.breaker != "closed":
            message = f"the circuit breaker is {node.breaker}: {node.last_error or 'calls were slow'}"
            yield Finding(where, "error", message, "look at the server's load and at the network between")
        elif not node.is_connected and node.role == "primary":
            yield Finding(where, "error", f"not connected: {node.last_error}", "start it, or correct the URL")
        else:
            yield Finding(where, "ok", f"{node.role}, {node.connections} connections, {node.version}")


def judge_backplane(round_trip_s: float, regions: Mapping[str, RegionOptions]) -> Finding:
    """Judge a message that went out and came back, against the tightest ``max_staleness`` of the local copies."""
    bounds = [region.max_staleness_s for region in regions.values() if {"local", "redis"} <= set(region.tiers)]
    text = f"a message came back in {round_trip_s * 1e3:.1f} ms"
    if bounds and round_trip_s > min(bounds):
        action = f"raise max_staleness above {format_duration(round(round_trip_s, 3))}, or move nearer to the server"
        return Finding("backplane", "error", f"{text}, max_staleness is {format_duration(min(bounds))}", action)
    return Finding("backplane", "ok", text)


def judge_changes(source: ChangeSource, slot: SlotFacts) -> Iterator[Finding]:
    """Judge the replication slot of a watched database: what it keeps, who reads it, and what bounds it."""
    subject, worker = f"changes {source.name}", "start tiercel worker --cdc"
    if not slot.is_there:
        yield Finding(subject, "note", "there is no replication slot yet", worker)
    elif slot.status == "lost":
        yield Finding(subject, "error", "the slot was lost: changes were not read in time", worker)
    elif slot.retained_bytes > source.max_lag_bytes // 2:
        message = f"the slot keeps {format_size(slot.retained_bytes)} of log"
        action = worker if not slot.is_read else "look at the worker's lag, and for transactions that never end"
        yield Finding(subject, "error", message, f"{action}, or drop the slot before the disk is full")
    elif not slot.is_read:
        yield Finding(subject, "warning", f"nobody reads the slot; it keeps {format_size(slot.retained_bytes)}", worker)
    else:
        yield Finding(subject, "ok", f"followed; the slot keeps {format_size(slot.retained_bytes)}")
    if slot.bound == "-1":
        message = "max_slot_wal_keep_size is unset: a slot that nobody reads fills the disk"
        yield Finding(subject, "warning", message, "ALTER SYSTEM SET max_slot_wal_keep_size = '8GB'")
