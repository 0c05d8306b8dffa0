"""
An acknowledged write survives the loss of power where ``durability = "always"`` says so.

A process journals under a shim (``power_loss.c``) that records every write to the journal's files and every sync. It
is killed at a random moment; then the loss of power is acted out: of what was written after a file's last sync
nothing, or a random part in random order with one write torn, is kept. The journal is recovered from that, and every
acknowledged write must be in it or in the store. Beside it ``durability = "process"``, which does not promise this
and must lose.

Run: ``python -m proofs.write_behind_power_loss [--json] [--short]``; needs a C compiler.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proofs.write_behind_harness import TENANT, Ledger, Scratch, Work, key_of, start_child
from tiercel._async.journals import AsyncFileJournal
from tiercel._async.stores import open_store
from tiercel._core.clock import SystemClock
from tiercel.typing import Key

JOURNAL = "tiercel-proof.journal"
OUTCOMES = 4
SECTOR_BYTES = 512
_HEAD = struct.Struct("<cIqI")


@dataclass
class Disk:
    """One file as the platter has it, and what is still in the cache above."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        """Bring the cache to the platter."""
        for offset, content in self.pending:
            _apply(self.durable, offset, content)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random, keep: float) -> bytes:
        """Return the content after power went: cached writes kept with probability *keep*, in any order, one torn."""
        kept = [write for write in self.pending if chance.random() < keep]
        chance.shuffle(kept)
        content = bytearray(self.durable)
        for offset, written in kept[:-1]:
            _apply(content, offset, written)
        for offset, written in kept[-1:]:
            sectors = len(written or b"") // SECTOR_BYTES
            torn = None if written is None else written[: chance.randint(0, sectors) * SECTOR_BYTES]
            _apply(content, offset, torn)
        return bytes(content)


def _apply(content: bytearray, offset: int, written: bytes | None) -> None:
    if written is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(written)] = written


def replay(log: Path) -> dict[str, Disk]:
    """Return the files that the shim recorded, by path."""
    disks: dict[str, Disk] = {}
    paths: dict[int, str] = {}
    for kind, number, offset, content in _records(log.read_bytes()):
        if kind == b"N":
            paths[number] = content.decode()
            disks.setdefault(paths[number], Disk())
        elif kind == b"U":
            disks.pop(content.decode(), None)
        elif number in paths and paths[number] in disks:
            disk = disks[paths[number]]
            if kind == b"S":
                disk.sync()
            else:
                disk.pending.append((offset, content if kind == b"W" else None))
    return disks


def _records(log: bytes) -> Iterator[tuple[bytes, int, int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(log):
        kind, number, offset, length = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        yield kind, number, offset, log[at : at + length]
        at += length


def build_shim(folder: Path) -> Path:
    """Compile the shim; raises `FileNotFoundError` where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("a C compiler is missing (Debian: gcc)")
    library = folder / "power_loss.so"
    source = Path(__file__).with_name("power_loss.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


async def numbers_in(home: Path, work: Work) -> dict[str, int]:
    """Return the newest number of every key, in the journal at *home* or in the store."""
    keys: list[Key] = [key_of(p, n, work.keys) for p in range(work.producers) for n in range(work.keys)]
    journal = AsyncFileJournal(home / JOURNAL, 4, clock=SystemClock())
    store = await open_store(work.store)
    await journal.open()
    try:
        stored = await store.read_many(TENANT, keys)
        waiting = await journal.newest(TENANT, keys)
        found = [*stored.items(), *waiting.items()]
    finally:
        await journal.aclose()
        await store.aclose()
    numbers: dict[str, int] = {}
    for key, record in found:
        numbers[str(key)] = max(numbers.get(str(key), 0), record.value["n"])
    return numbers


def lose_power(shim: Path, durability: str, chance: random.Random) -> tuple[int, int]:
    """Kill one process, act out every outcome; return acknowledged writes and the most that one outcome lost."""
    with Scratch() as root:
        home, log = root / "home", root / "log"
        home.mkdir()
        work = Work(
            home=str(home),
            store=f"sqlite:///{root}/store.db#proof",
            durability=durability,
            producers=8,
            keys=500,
            rows=5,
        )
        ledger = Ledger(work.ledger, work.producers)
        preload = {"LD_PRELOAD": str(shim), "POWER_LOSS_FOLDER": f"{home}/{JOURNAL}", "POWER_LOSS_LOG": str(log)}
        process = start_child(work, preload=preload)
        try:
            while ledger.acknowledged == 0 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.5))
        finally:
            process.kill()
            process.wait()
        lost = [_outcome(root / f"after-{at}", log, work, ledger, chance, at) for at in range(OUTCOMES)]
        return ledger.acknowledged, max(lost)


def _outcome(home: Path, log: Path, work: Work, ledger: Ledger, chance: random.Random, at: int) -> int:
    home.mkdir()
    keep = (0.0, 0.5, 0.9, 1.0)[at]
    for path, disk in replay(log).items():
        (home / Path(path).name).write_bytes(disk.after_power_loss(chance, keep))
    return ledger.lost(asyncio.run(numbers_in(home, work)), work.keys)


def main() -> int:
    """Run the command line; exit status 1 where ``always`` lost something or ``process`` nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="3 power cuts in place of 50")
    arguments = parser.parse_args()
    cuts = {"always": 3 if arguments.short else 50, "process": 3}
    chance = random.Random(6)
    figures: dict[str, dict[str, int]] = {}
    with Scratch() as folder:
        shim = build_shim(folder)
        for durability, count in cuts.items():
            rounds = [lose_power(shim, durability, chance) for _ in range(count)]
            figures[durability] = {
                "cuts": count,
                "outcomes": count * OUTCOMES,
                "acknowledged": sum(acknowledged for acknowledged, _ in rounds),
                "lost": sum(lost for _, lost in rounds),
            }
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name}: {each}" for name, each in figures.items()))
    return 0 if figures["always"]["lost"] == 0 and figures["process"]["lost"] > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
