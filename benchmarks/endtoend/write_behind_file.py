"""
What the file journal is made of: SQLite in write-ahead mode against a checksummed log of our own, both synced.

Each keeps the same encoded writes, in groups of 1, 64 and 500, and syncs after each group. The log appends length, CRC
and payload and calls fdatasync; it keeps an index in memory, as it would need for reading what waits. SQLite keeps the
rows with the journal's two indexes and its counters.

Run: ``python -m benchmarks.endtoend.write_behind_file [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tiercel._async.journals._filedb import FileDatabase
from tiercel._async.journals.payload import encode_draft
from tiercel._core.journal import Draft

GROUPS: Final = {1: 1_000, 64: 32_000, 500: 100_000}
"""Writes in a group, and in all."""


def drafts(count: int, start: int) -> list[Draft]:
    """Return *count* writes of about 150 bytes."""
    numbers = range(start, start + count)
    return [encode_draft("acme", f"user-{number}", {"name": "x" * 100, "n": number}, number, 0.0) for number in numbers]


def keep_in_log(folder: Path, group: int, total: int) -> None:
    """Append to a checksummed log, one sync a group."""
    index: dict[bytes, bytes] = {}
    descriptor = os.open(folder / "segment", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for start in range(0, total, group):
        records = bytearray()
        for draft in drafts(group, start):
            records += struct.pack("<IIQ", len(draft.payload), zlib.crc32(draft.payload), draft.version) + draft.payload
            index[draft.identity] = draft.payload
        os.write(descriptor, records)
        os.fdatasync(descriptor)
    os.close(descriptor)


def keep_in_sqlite(folder: Path, group: int, total: int) -> None:
    """Append to the file journal's database, one transaction a group."""
    database = FileDatabase(folder / "journal", 4, synced=True)
    for start in range(0, total, group):
        database.append(drafts(group, start))
    database.close()


def rate(keep: Callable[[Path, int, int], None], group: int, total: int) -> float:
    """Return writes a second."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        keep(Path(folder), group, total)
        return total / (time.perf_counter() - began)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = {
        name: {str(group): round(rate(keep, group, total)) for group, total in GROUPS.items()}
        for name, keep in (("log", keep_in_log), ("sqlite", keep_in_sqlite))
    }
    print(json.dumps(figures) if arguments.json else f"writes a second by group size: {figures}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
