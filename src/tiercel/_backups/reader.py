"""
The backup reader: checks a whole file before anything of it is used, then gives out its blocks.

A file that is damaged, cut short, unfinished or changed is refused with the byte at which it goes wrong. Blocking;
memory is one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from tiercel._backups.packing import unpack
from tiercel._core.backupfile import (
    Block,
    Chain,
    Closing,
    Damage,
    Header,
    JournalRow,
    Kind,
    Place,
    Reader,
    unpack_entries,
)
from tiercel.errors import DecodeError

_JOURNAL = msgspec.msgpack.Decoder(list[JournalRow])
_TAGS = msgspec.msgpack.Decoder(dict[int, int])


def read_header(path: Path) -> Header:
    """Return what a file says it is, to know its key by; nothing of it is to be believed before `check`."""
    with path.open("rb") as file:
        block = Reader(file.read)
        try:
            head = block.peek()
            return msgspec.msgpack.decode(head, type=Header)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Damage(0, "it does not begin with a header") from error


class BackupReader:
    """
    Args:
        path: The file.
        key: Key of its chain.
    """

    def __init__(self, path: Path, key: bytes = b"") -> None:
        self.path = path
        self._key = key
        self.blocks = 0
        self.digest = b""

    def check(self) -> tuple[Header, Closing]:
        """Check every block and what it holds; return the first and the last. Raises `Damage`."""
        header: Header | None = None
        closing: Closing | None = None
        entries = self.blocks = 0
        for position, block in self._blocks():
            if closing is not None or (header is None) != (block.kind is Kind.HEAD):
                raise Damage(position, "a block stands where none may")
            try:
                plain = unpack(block)
                if block.kind is Kind.HEAD:
                    header = msgspec.msgpack.decode(plain, type=Header)
                elif block.kind is Kind.END:
                    closing = msgspec.msgpack.decode(plain, type=Closing)
                else:
                    entries += _checked(block.kind, plain)
            except (DecodeError, msgspec.MsgspecError, ValueError) as error:
                raise Damage(position, str(error)) from error
            self.blocks += 1
            self.digest = block.digest
        size = self.path.stat().st_size
        if header is None or closing is None:
            raise Damage(size, "it is not finished")
        if closing.entries != entries:
            raise Damage(size, f"it closes with {closing.entries} entries and holds {entries}")
        return header, closing

    def blocks_from(self, first: int) -> Iterator[tuple[int, Kind, bytes]]:
        """Yield (number, kind, plain bytes) of the blocks from number *first* on, checked once more."""
        for number, (_, block) in enumerate(self._blocks()):
            if number >= first:
                yield number, block.kind, unpack(block)

    def _blocks(self) -> Iterator[tuple[int, Block]]:
        chain = Chain(self._key)
        with self.path.open("rb") as file:
            reader = Reader(file.read)
            while True:
                position = reader.position
                block = reader.next(chain)
                if block is None:
                    return
                yield position, block


def entries_of(plain: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (name, record) pairs of a block of entries."""
    return unpack_entries(plain[4:])


def tags_of(plain: bytes) -> dict[int, int]:
    """Return the tokens of a block of tags."""
    return _TAGS.decode(plain)


def journal_of(plain: bytes) -> list[JournalRow]:
    """Return the writes of a block of a journal or of dead letters."""
    return _JOURNAL.decode(plain)


def _checked(kind: Kind, plain: bytes) -> int:
    """Take a block apart and return how many entries it holds."""
    if kind is Kind.ENTRIES:
        count = sum(1 for _ in entries_of(plain))
        if count != int.from_bytes(plain[:4], "big"):
            raise DecodeError("a block of entries does not hold what it says")
        return count
    if kind is Kind.TAGS:
        tags_of(plain)
    elif kind is Kind.PLACE:
        msgspec.msgpack.decode(plain, type=Place)
    else:
        journal_of(plain)
    return 0
