"""
Public protocols and aliases: what a user may implement, and what the façades accept and return.

Times are seconds as float unless a name says otherwise; versions are unsigned 63-bit integers, larger is newer.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "DELETED",
    "GLOBAL",
    "MISS",
    "NOT_MODIFIED",
    "AsyncLoader",
    "AsyncOutboxStore",
    "AsyncStore",
    "Change",
    "Clock",
    "Codec",
    "Key",
    "Loader",
    "Miss",
    "Note",
    "OutboxStore",
    "Outcome",
    "Record",
    "Store",
]

Key: TypeAlias = str | bytes
Loader: TypeAlias = Callable[[], Any]
AsyncLoader: TypeAlias = Callable[[], Awaitable[Any]]

GLOBAL: Final = "@global"
"""The tenant of data that belongs to no tenant; it must be named, it is never assumed."""


class Miss(enum.Enum):
    """Type of `MISS`, the answer of a cache that holds nothing; false in a condition."""

    MISS = "MISS"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISS"

    __str__ = __repr__


MISS: Final = Miss.MISS


class Deleted(enum.Enum):
    """Type of `DELETED`, the value of a `Change` that removes its row."""

    DELETED = "DELETED"

    def __repr__(self) -> str:
        return "DELETED"


DELETED: Final = Deleted.DELETED


class NotModified(enum.Enum):
    """Type of `NOT_MODIFIED`, a loader's answer that the copy it was offered still holds."""

    NOT_MODIFIED = "NOT_MODIFIED"

    def __repr__(self) -> str:
        return "NOT_MODIFIED"


NOT_MODIFIED: Final = NotModified.NOT_MODIFIED


class Record(NamedTuple):
    """One row as a store holds it; ``version`` is 0 where the schema has no version column."""

    value: Any
    version: int


class Change(NamedTuple):
    """
    One write on its way to a store.

    Args:
        tenant: Owner of the row; `GLOBAL` for shared data.
        key: The row's key inside the tenant.
        value: The new value, or `DELETED`.
        version: Guarded writes: the version that the row gets, applied only where it is newer than the stored
            one. Unguarded writes: the least version that the row gets.
    """

    tenant: str
    key: Key
    value: Any
    version: int


class Outcome(NamedTuple):
    """
    What became of one `Change`.

    ``applied`` is false where a newer version was stored already (``error is None``) or where the row was
    refused (``error`` says why). ``version`` is the row's version after the call.
    """

    applied: bool
    version: int
    error: Exception | None = None


@runtime_checkable
class Store(Protocol):
    """
    A database that rows are read from and written to; blocking.

    Every method may raise `StoreError` when the database cannot be reached; a row that the database refuses
    is an `Outcome` with its error, so that one bad row never fails the rest of a batch.
    """

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key, in one query."""

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change; see `write_many`."""

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """
        Apply *changes* in bulk and return one outcome each, in order.

        With *guard*, a change applies only where its version is newer than the stored one, deletions included:
        a deletion leaves a tombstone with its version, so that a late older write cannot resurrect the row.
        Repeating a call has no further effect. Without *guard* every change applies, and the row's version
        becomes ``max(stored + 1, change.version)``.
        """

    def ping(self) -> None:
        """Raise `StoreError` where the database does not answer."""

    def close(self) -> None:
        """Release connections; calling twice is harmless."""


@runtime_checkable
class AsyncStore(Protocol):
    """The awaitable twin of `Store`."""

    async def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key, in one query."""

    async def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change; see `Store.write_many`."""

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply changes in bulk; see `Store.write_many`."""

    async def ping(self) -> None:
        """Raise `StoreError` where the database does not answer."""

    async def aclose(self) -> None:
        """Release connections; calling twice is harmless."""


class Note(NamedTuple):
    """A message that was kept in the same transaction as a write; ``id`` grows with age, with gaps."""

    id: int
    payload: bytes


@runtime_checkable
class OutboxStore(Store, Protocol):
    """
    A store that keeps a note in the transaction of a write: the write and its note are there together or not at all.

    A relay reads notes, acts on them and deletes them. Acting must be idempotent: a relay that dies after acting leaves
    its notes to the next one.
    """

    def write_many(
        self, changes: Sequence[Change], *, guard: bool = False, note: bytes | None = None, hold_s: float = 0.0
    ) -> list[Outcome]:
        """
        Apply *changes* as `Store.write_many` does, and keep *note*, whatever became of the rows.

        For *hold_s* seconds nobody else gets the note: its writer acts on it and forgets it by `settle_notes`.
        """

    def settle_notes(self, payloads: Sequence[bytes]) -> None:
        """Forget notes by what they say; unknown ones are ignored."""

    def read_notes(self, limit: int, *, lease_s: float = 30.0, prefix: bytes = b"") -> list[Note]:
        """
        Return up to *limit* of the oldest notes that nobody else holds, and hold them for *lease_s* seconds.

        Only notes that begin with *prefix* are taken. There is no cursor: a note whose transaction commits late is
        returned by a later call, never skipped.
        """

    def delete_notes(self, ids: Sequence[int]) -> None:
        """Forget notes that were acted on; unknown ids are ignored."""


@runtime_checkable
class AsyncOutboxStore(AsyncStore, Protocol):
    """The awaitable twin of `OutboxStore`."""

    async def write_many(
        self, changes: Sequence[Change], *, guard: bool = False, note: bytes | None = None, hold_s: float = 0.0
    ) -> list[Outcome]:
        """Apply *changes* and keep *note*; see `OutboxStore.write_many`."""

    async def settle_notes(self, payloads: Sequence[bytes]) -> None:
        """Forget notes by what they say; see `OutboxStore.settle_notes`."""

    async def read_notes(self, limit: int, *, lease_s: float = 30.0, prefix: bytes = b"") -> list[Note]:
        """Return and hold the oldest notes; see `OutboxStore.read_notes`."""

    async def delete_notes(self, ids: Sequence[int]) -> None:
        """Forget notes that were acted on; unknown ids are ignored."""


class Codec(Protocol):
    """Turns values into bytes and back; raises `EncodeError` or `DecodeError` and nothing else."""

    code: int
    """1 to 255, stored in the frame so that a reader knows how to decode."""

    def encode(self, value: Any) -> bytes:
        """Return *value* as bytes."""

    def decode(self, payload: bytes | memoryview) -> Any:
        """Return the value that *payload* holds."""


class Clock(Protocol):
    """Where time comes from; `tiercel.testing.ManualClock` stands still until told."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; the origin is arbitrary."""

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
