"""
A log cut at any byte loses no write that was acknowledged before that byte was written.

A file journal keeps writes one by one; the length of its log is noted at each acknowledgement. Then the log is cut at
every byte, and the journal recovered from each: it must hold exactly the first writes, at least all those
acknowledged while the log was no longer than the cut. Beside it the naive log, one JSON line a write without
checksums: a torn last line either stops its reader or is taken for a write.

Run: ``python -m proofs.write_behind_truncation [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from proofs.write_behind_harness import Scratch
from tiercel._async.journals import AsyncFileJournal
from tiercel._async.journals.payload import decode_entry, encode_draft
from tiercel._core.clock import SystemClock

WRITES = 8
STEP_SHORT = 211


async def fill(path: Path) -> list[int]:
    """Keep `WRITES` writes, copy the files aside as they stand, and return the log's length after each."""
    journal = AsyncFileJournal(path, 1, durability="always", clock=SystemClock())
    await journal.open()
    log = path.with_name(path.name + "-wal")
    lengths = []
    for number in range(WRITES):
        await journal.append([encode_draft("acme", f"key-{number}", {"n": number}, 1, 0.0)])
        lengths.append(log.stat().st_size)
    for file in (path, log):
        shutil.copy(file, file.with_name("copy-" + file.name))
    await journal.aclose()
    return lengths


def recovered(path: Path) -> list[int]:
    """Return the numbers that a fresh connection finds in the journal at *path*, in order."""
    connection = sqlite3.connect(path)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "entry" not in tables:
            return []
        rows = connection.execute("SELECT position, version, payload FROM entry ORDER BY position").fetchall()
    finally:
        connection.close()
    return [decode_entry(*row).change.value["n"] for row in rows]


def cut_everywhere(folder: Path, source: Path, lengths: list[int], cuts: Iterable[int]) -> tuple[int, int]:
    """Cut the log at each of *cuts* and recover; return how many cuts lost an acknowledged write, or made one up."""
    content = source.read_bytes()
    log = source.with_name(source.name + "-wal").read_bytes()
    lost = wrong = 0
    target = folder / "cut.journal"
    for cut in cuts:
        target.write_bytes(content)
        target.with_name("cut.journal-wal").write_bytes(log[:cut])
        target.with_name("cut.journal-shm").unlink(missing_ok=True)
        found = recovered(target)
        lost += len(found) < sum(length <= cut for length in lengths)
        wrong += found != list(range(len(found)))
    return lost, wrong


def cut_naive(cuts: int) -> int:
    """Return at how many bytes a log of JSON lines, read to its last line, fails or gives a number never written."""
    lines = [json.dumps(10**6 + number) + "\n" for number in range(WRITES)]
    log, bad = "".join(lines), 0
    written = {10**6 + number for number in range(WRITES)}
    for cut in range(min(cuts, len(log)) + 1):
        try:
            bad += any(json.loads(line) not in written for line in log[:cut].splitlines())
        except json.JSONDecodeError:
            bad += 1
    return bad


def main() -> int:
    """Run the command line; exit status 1 where a cut lost something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--short", action="store_true", help=f"every {STEP_SHORT}th byte and those beside each write's end"
    )
    arguments = parser.parse_args()
    with Scratch.in_memory() as folder:
        path = folder / "whole.journal"
        lengths = asyncio.run(fill(path))
        copy = path.with_name("copy-" + path.name)
        total = copy.with_name(copy.name + "-wal").stat().st_size
        cuts = set(range(total + 1))
        if arguments.short:
            near = {length + offset for length in lengths for offset in (-1, 0, 1)}
            cuts = set(range(0, total + 1, STEP_SHORT)) | {cut for cut in near if cut <= total}
        lost, wrong = cut_everywhere(folder, copy, lengths, sorted(cuts))
    figures = {"log_bytes": total, "cuts": len(cuts), "lost": lost, "wrong": wrong, "naive_wrong": cut_naive(total)}
    print(json.dumps(figures) if arguments.json else figures)
    return 0 if lost == wrong == 0 and figures["naive_wrong"] > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
