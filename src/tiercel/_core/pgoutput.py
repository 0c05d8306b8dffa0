"""
The decoder of PostgreSQL's logical replication messages, protocol version 1 of the plug-in ``pgoutput``.

Source: PostgreSQL manual, "Logical Replication Message Formats" and "Streaming Replication Protocol". Every length that
a message claims is checked: what does not add up raises `DecodeError`, and nothing is guessed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tiercel.errors import DecodeError

__all__ = [
    "Begin",
    "Commit",
    "KeepAlive",
    "LogPiece",
    "Relation",
    "RowChanged",
    "Truncated",
    "decode_copy",
    "decode_message",
    "format_lsn",
    "parse_lsn",
    "status_update",
]

EPOCH_S: Final = 946_684_800
"""PostgreSQL counts microseconds from the year 2000."""

_BEGIN: Final = struct.Struct("!QqI")
_COMMIT: Final = struct.Struct("!BQQq")
_PIECE: Final = struct.Struct("!QQq")
_KEEP_ALIVE: Final = struct.Struct("!QqB")
_STATUS: Final = struct.Struct("!cQQQqB")
_LENGTH: Final = struct.Struct("!I")
_COUNT: Final = struct.Struct("!H")
_COLUMN_TYPE: Final = struct.Struct("!Ii")

Cell: TypeAlias = str | None
Identity: TypeAlias = Literal["d", "n", "f", "i"]
"""Which old columns a change carries: the key's, none, all, those of an index."""


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of the log: one message of the plug-in, and where it stands."""

    start: int
    message: bytes


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The server lives, and has sent everything up to *end*; *wants_reply* where it doubts that we do."""

    end: int
    wants_reply: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction that committed at *committed_at_s* (server's clock) begins."""

    committed_at_s: float


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction ends; *end* is where the log goes on behind it."""

    end: int
    committed_at_s: float


@dataclass(frozen=True, slots=True)
class Relation:
    """A table: its columns in order, those that identify a row, and those whose values are *wanted* (None: all)."""

    number: int
    schema: str
    table: str
    identity: Identity
    columns: tuple[str, ...]
    identifying: frozenset[str]
    wanted: frozenset[str] | None = None

    @property
    def known_of_old(self) -> frozenset[str]:
        """Columns whose old values a change carries, or else has not changed."""
        return frozenset(self.columns) if self.identity == "f" else self.identifying


@dataclass(frozen=True, slots=True)
class RowChanged:
    """
    A row was inserted, updated or deleted.

    Attributes:
        relation: Number of the table.
        is_insert: There was no such row before.
        old: Its values before, as far as they were sent; None where nothing was.
        new: Its values after, None for a deletion; a large value that did not change is left out unless the old image
            had it.
    """

    relation: int
    is_insert: bool
    old: Mapping[str, Cell] | None
    new: Mapping[str, Cell] | None


@dataclass(frozen=True, slots=True)
class Truncated:
    """Tables were emptied."""

    relations: tuple[int, ...]


Message: TypeAlias = Begin | Commit | Relation | RowChanged | Truncated


def decode_copy(frame: bytes) -> LogPiece | KeepAlive:
    """Return what one frame of the replication stream is; raise `DecodeError` for anything else."""
    try:
        if frame[:1] == b"w":
            start, _, _ = _PIECE.unpack_from(frame, 1)
            return LogPiece(start, frame[1 + _PIECE.size :])
        if frame[:1] == b"k":
            end, _, wants_reply = _KEEP_ALIVE.unpack(frame[1:])
            return KeepAlive(end, bool(wants_reply))
    except struct.error as error:
        raise DecodeError(f"a replication frame {frame[:1]!r} of {len(frame)} bytes is cut off") from error
    raise DecodeError(f"a replication frame begins with {frame[:1]!r}; w and k are known")


def status_update(position: int, now_s: float, *, wants_reply: bool) -> bytes:
    """Return the frame that tells the server that everything up to *position* is dealt with."""
    return _STATUS.pack(b"r", position, position, position, int((now_s - EPOCH_S) * 1e6), wants_reply)


def decode_message(message: bytes, relations: Mapping[int, Relation]) -> Message | None:
    """
    Return what one message of the plug-in says, None for one that says nothing about rows.

    Args:
        message: The bytes of a `LogPiece`.
        relations: Tables that earlier messages described, by number.

    Raises:
        DecodeError: The message is cut off, too long, of an unknown kind, or about a table never described.
    """
    try:
        return _Reader(message).read(relations)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DecodeError(f"a change message {message[:1]!r} of {len(message)} bytes cannot be read") from error


def parse_lsn(text: str) -> int:
    """Return the position that PostgreSQL writes as ``16/B374D848``; raise `DecodeError` for anything else."""
    high, separator, low = text.partition("/")
    try:
        if not separator:
            raise ValueError("no slash")
        return (int(high, 16) << 32) | int(low, 16)
    except ValueError as error:
        raise DecodeError(f"{text!r} is no position in PostgreSQL's log") from error


def format_lsn(position: int) -> str:
    """Return *position* as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


class _Reader:
    """Reads one message from front to back."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, message: bytes) -> None:
        self._bytes = message
        self._at = 1

    def read(self, relations: Mapping[int, Relation]) -> Message | None:
        """Return the message; it must end where its parts do."""
        found = self._read(self._bytes[:1], relations)
        if found is not None and self._at != len(self._bytes):
            raise DecodeError(f"a change message {self._bytes[:1]!r} has {len(self._bytes) - self._at} bytes too many")
        return found

    def _read(self, kind: bytes, relations: Mapping[int, Relation]) -> Message | None:
        if kind in (b"I", b"U", b"D"):
            return self._row(kind, relations)
        if kind == b"B":
            _, committed, _ = self._unpack(_BEGIN)
            return Begin(committed / 1e6 + EPOCH_S)
        if kind == b"C":
            _, _, end, committed = self._unpack(_COMMIT)
            return Commit(end, committed / 1e6 + EPOCH_S)
        if kind == b"R":
            return self._relation()
        if kind == b"T":
            (count,) = self._unpack(_LENGTH)
            self._at += 1  # CASCADE and RESTART IDENTITY empty the table all the same
            return Truncated(tuple(self._unpack(_LENGTH)[0] for _ in range(count)))
        if kind in (b"Y", b"O", b"M"):
            return None
        raise DecodeError(f"a change message begins with {kind!r}; B C R I U D T Y O M are known")

    def _unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        values = layout.unpack_from(self._bytes, self._at)
        self._at += layout.size
        return values

    def _text(self) -> str:
        end = self._bytes.find(b"\0", self._at)
        if end < 0:
            raise DecodeError("a name in a change message has no end")
        text = self._bytes[self._at : end].decode()
        self._at = end + 1
        return text

    def _relation(self) -> Relation:
        (number,) = self._unpack(_LENGTH)
        schema, table = self._text(), self._text()
        identity = chr(self._bytes[self._at])
        self._at += 1
        if identity not in ("d", "n", "f", "i"):
            raise DecodeError(f"table {schema}.{table} has the replica identity {identity!r}; d n f i are known")
        (count,) = self._unpack(_COUNT)
        columns: list[str] = []
        identifying: set[str] = set()
        for _ in range(count):
            is_identifying = self._bytes[self._at] & 1
            self._at += 1
            columns.append(self._text())
            self._unpack(_COLUMN_TYPE)
            if is_identifying:
                identifying.add(columns[-1])
        return Relation(number, schema, table, identity, tuple(columns), frozenset(identifying))  # type: ignore[arg-type]

    def _row(self, kind: bytes, relations: Mapping[int, Relation]) -> RowChanged:
        (number,) = self._unpack(_LENGTH)
        relation = relations.get(number)
        if relation is None:
            raise DecodeError(f"a change of table number {number}, which was never described")
        old = new = None
        part = self._part()
        if kind != b"I" and part in (b"K", b"O"):
            old = self._cells(relation)
            if part == b"K":  # the other columns came as nulls that mean nothing
                old = {name: value for name, value in old.items() if name in relation.identifying}
            part = self._part() if kind == b"U" else b""
        if part == b"N" and kind != b"D":
            new = self._cells(relation)
            if old is not None and len(new) < len(old):
                new = {**old, **new}  # what is large and did not change was sent with the old image alone
        elif kind != b"D" or old is None:
            raise DecodeError(f"a change message {kind!r} has a part {part!r} where none such may stand")
        return RowChanged(number, kind == b"I", old, new)

    def _part(self) -> bytes:
        part = self._bytes[self._at : self._at + 1]
        self._at += 1
        return part

    def _cells(self, relation: Relation) -> dict[str, Cell]:
        """Return the values of a row, without those that were not sent because they did not change."""
        body, at, columns, wanted = self._bytes, self._at, relation.columns, relation.wanted
        (count,) = _COUNT.unpack_from(body, at)
        at += 2
        if count != len(columns):
            raise DecodeError(f"a row of {relation.table} has {count} values for {len(columns)} columns")
        cells: dict[str, Cell] = {}
        for name in columns:
            form = body[at]
            at += 1
            if form == 0x74:  # t: as text
                (length,) = _LENGTH.unpack_from(body, at)
                at += 4 + length
                if at > len(body):
                    raise DecodeError(f"a value of {relation.table}.{name} claims {length} bytes, more than there are")
                if wanted is None or name in wanted:
                    cells[name] = body[at - length : at].decode()
            elif form == 0x6E:  # n: null
                cells[name] = None
            elif form != 0x75:  # u: large and unchanged
                raise DecodeError(f"a value of {relation.table}.{name} has the form {chr(form)!r}; t n u are known")
        self._at = at
        return cells
