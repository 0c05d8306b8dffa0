"""
The backup writer: appends checked blocks to ``NAME.part`` and gives the file its name once it is whole.

An interrupted backup is carried on: what is in the ``.part`` is checked, cut behind its last whole block that says how
far the scan had come, and continued there. One writer a file; blocking.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from tiercel._backups.packing import PLAIN, pack, unpack
from tiercel._core.backupfile import MAGIC, Chain, Closing, Damage, Header, Kind, Place, Reader, write_block
from tiercel.errors import ConfigurationError

PART = ".part"


class BackupWriter:
    """
    Args:
        path: Where the finished file goes.
        key: Key of the chain; empty for checksums alone.
    """

    def __init__(self, path: Path, key: bytes = b"") -> None:
        self.path = path
        self.part = path.with_name(path.name + PART)
        self._key = key
        self._chain = Chain(key)
        self._file: Any = None
        self.size_bytes = 0
        self.entries = 0

    def begin(self, header: Header) -> None:
        """Start anew."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.part.open("wb")
        self._chain = Chain(self._key)
        self._write(MAGIC)
        self.add(Kind.HEAD, msgspec.msgpack.encode(header), packs=False)

    def resume(self) -> tuple[Header, Place] | None:
        """
        Carry an interrupted backup on.

        Returns:
            Its header and how far it came; None where there is nothing to carry on.
        """
        if not self.part.exists():
            return None
        with self.part.open("rb") as file:
            header, place, ends, chain, entries = self._whole_part(Reader(file.read))
        if header is None or place is None:
            return None
        self._chain, self.entries = chain, entries
        self._file = self.part.open("r+b")
        self._file.truncate(ends)
        self._file.seek(ends)
        self.size_bytes = ends
        return header, place

    def _whole_part(self, reader: Reader) -> tuple[Header | None, Place | None, int, Chain, int]:
        """Read on as long as blocks are whole; a torn one is what an interruption leaves, and the scan goes over it."""
        chain, kept = Chain(self._key), Chain(self._key)
        header: Header | None = None
        place: Place | None = None
        ends = entries = counted = 0
        while True:
            try:
                block = reader.next(chain)
            except Damage:
                block = None
            if block is None:
                return header, place, ends, kept, entries
            plain = unpack(block)
            if block.kind is Kind.HEAD:
                header = msgspec.msgpack.decode(plain, type=Header)
            elif block.kind is Kind.ENTRIES:
                counted += int.from_bytes(plain[:4], "big")
            elif block.kind is Kind.PLACE:
                place, ends, entries = msgspec.msgpack.decode(plain, type=Place), block.end, counted
                kept.digest = chain.digest

    def add(self, kind: Kind, plain: bytes, *, packs: bool = True) -> None:
        """Append a block."""
        packing, packed = pack(plain) if packs else (PLAIN, plain)
        self._write(write_block(self._chain, kind, packing, packed, len(plain)))

    def add_entries(self, count: int, run: bytes) -> None:
        """Append a block of *count* entries."""
        self.entries += count
        self.add(Kind.ENTRIES, count.to_bytes(4, "big") + run)

    def add_place(self, place: Place) -> None:
        """Say how far the scan has come, and hand everything before it to the operating system."""
        self.add(Kind.PLACE, msgspec.msgpack.encode(place), packs=False)
        self._file.flush()

    def finish(self, closing: Closing) -> None:
        """Close the chain, sync the file and give it its name."""
        self.add(Kind.END, msgspec.msgpack.encode(closing), packs=False)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self.part.replace(self.path)

    def close(self) -> None:
        """Leave an unfinished file as it is, to be carried on."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, body: bytes) -> None:
        try:
            self._file.write(body)
        except OSError as error:
            raise ConfigurationError(f"the backup cannot be written to {self.part}: {error.strerror}") from error
        self.size_bytes += len(body)
