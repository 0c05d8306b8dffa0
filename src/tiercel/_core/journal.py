"""
The nouns of write-behind: what a journal holds, who may empty it, and what could not be written.

A *journal* keeps acknowledged writes until the store has them. It is split into *partitions*; a key always falls in
the same one. Each partition is emptied by one worker at a time, which holds a *lease* with a fencing number: a worker
that lost its lease without noticing is refused by number. Times are wall-clock seconds, sizes are encoded bytes.
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from tiercel.typing import Change

__all__ = [
    "Accepted",
    "DeadLetter",
    "Draft",
    "Fate",
    "FlushCounters",
    "JournalEntry",
    "JournalSize",
    "JournalStats",
    "Lease",
    "partition_of",
]


@dataclass(frozen=True, slots=True)
class Draft:
    """
    One write on its way into a journal, encoded.

    Args:
        identity: The encoded (tenant, key); names the row and picks the partition.
        version: The version that the writer proposes; the journal may raise it.
        accepted_s: When the write was accepted, wall-clock seconds.
        payload: The encoded write.
    """

    identity: bytes
    version: int
    accepted_s: float
    payload: bytes

    @property
    def size_bytes(self) -> int:
        """What the write counts against ``max_pending_bytes``."""
        return len(self.payload)


class JournalEntry(NamedTuple):
    """
    One write waiting in a journal.

    Args:
        position: Place in its partition's queue; larger is later.
        change: What is to be written, with its final version.
        accepted_s: When the write was accepted, wall-clock seconds.
        size_bytes: Encoded size.
    """

    position: int
    change: Change
    accepted_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Lease:
    """
    The right to empty one partition.

    Args:
        partition: Which one.
        owner: Who holds it; unique to a worker.
        fence: Grows with every change of hands; the journal refuses a smaller one.
    """

    partition: int
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """
    A write that the store refused for good.

    Args:
        id: Name for `retry` and `drop`, unique inside the journal.
        entry: The write.
        reason: The store's last error, as text.
        parked_s: When it was parked, wall-clock seconds.
    """

    id: str
    entry: JournalEntry
    reason: str
    parked_s: float


class Fate(enum.Enum):
    """What became of a journaled write."""

    PENDING = "pending"
    """It waits."""

    SETTLED = "settled"
    """The store has it, or a newer write of the same key."""

    PARKED = "parked"
    """The store refused it; it is a dead letter."""


@dataclass(frozen=True, slots=True)
class JournalSize:
    """
    How much waits in a journal.

    Args:
        rows: Writes waiting.
        size_bytes: Their encoded size.
        oldest_s: When the oldest was accepted, wall-clock seconds; None where nothing waits.
        dead: Dead letters.
    """

    rows: int = 0
    size_bytes: int = 0
    oldest_s: float | None = None
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    A journal's answer to an append.

    Args:
        versions: The final version of each entry, in order: each larger than every earlier one of its partition.
        size: What waits in the journal now.
    """

    versions: list[int]
    size: JournalSize


@dataclass(slots=True)
class FlushCounters:
    """What the flushers of one region did, this process."""

    flushed: int = 0
    coalesced: int = 0
    retried: int = 0
    parked: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class JournalStats:
    """
    What write-behind of one region has done and has to do.

    Args:
        depth: Writes waiting.
        size_bytes: Their encoded size.
        oldest_age_s: Age of the oldest, seconds; 0 where nothing waits.
        flushed: Rows that the store has, this process.
        coalesced: Writes that a later one of the same key made needless, this process.
        retried: Tries that failed, this process.
        dead: Dead letters waiting for somebody.
        last_error: Text of the last failure, None where the last flush went well.
    """

    depth: int
    size_bytes: int
    oldest_age_s: float
    flushed: int
    coalesced: int
    retried: int
    dead: int
    last_error: str | None

    @classmethod
    def of(cls, size: JournalSize, counters: FlushCounters, now_s: float) -> JournalStats:
        """Put *size* and *counters* together at wall-clock time *now_s*."""
        return cls(
            depth=size.rows,
            size_bytes=size.size_bytes,
            oldest_age_s=0.0 if size.oldest_s is None else max(0.0, now_s - size.oldest_s),
            flushed=counters.flushed,
            coalesced=counters.coalesced,
            retried=counters.retried,
            dead=size.dead,
            last_error=counters.last_error,
        )


def partition_of(identity: bytes, partitions: int) -> int:
    """Return the partition of an encoded (tenant, key); the same in every process and release."""
    return zlib.crc32(identity) % partitions
