"""
What an encrypted region holds is found nowhere in plain, and keys change without a failed read.

A canary is written through encrypted regions and then looked for, byte by byte, in Redis's snapshot and append-only
file, in the journals (file and Redis), the dead letters, a backup, events, every log line and the metrics; the naive
way is the same with plain regions. Then any two ciphertexts are swapped, and keys are rotated under load.

Run: ``python -m proofs.encryption [--seconds 20] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.rig import RedisServer
from tiercel import MISS, Cache, CacheOptions, EntityRule, Matrix, RegionOptions
from tiercel._core.backupscope import Scope
from tiercel._core.frame import pack, unpack
from tiercel._core.keys import hash64
from tiercel._process import Process
from tiercel._sync.recovery import Recovery
from tiercel.observe.prometheus import exposition
from tiercel.options import JournalOptions, KeyOptions
from tiercel.typing import Change, Outcome, Record

CANARY = "canary-2f61b0c4-plain"
VALUE = {"name": CANARY, "text": "y" * 3000}
SWAPPED = 40


class RefusingStore:
    """A store that refuses every row with an error that quotes it, as databases do."""

    def read(self, tenant: str, key: Any) -> Record | None:
        return None

    def read_many(self, tenant: str, keys: Any) -> dict[Any, Record]:
        return {}

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        return Outcome(False, 0, ValueError(f"failing row contains {change.value}"))

    def write_many(self, changes: Any, *, guard: bool = False) -> list[Outcome]:
        return [self.write(change) for change in changes]

    def ping(self) -> None:
        return None

    def close(self) -> None:
        return None


def ring(*ids: str) -> str:
    """Return a ring with a key for each id."""
    return "\n".join(f"{each}:{base64.b64encode(each.encode().ljust(32, b'.')).decode()}" for each in ids)


def matrix_of(url: str, folder: Path, *, is_sealed: bool) -> Matrix:
    key, people = ("main", "people") if is_sealed else (None, None)
    behind = {"strategy": "write-behind", "tiers": ("redis",), "encrypt": key, "store": "sqlite:///:memory:#rows"}
    stuck = JournalOptions(kind="redis", partitions=1, flush=False)
    parked = JournalOptions(kind="file", partitions=1, interval_s=0.01, poison_after=1, retry_s=0.01)
    return Matrix.of(
        KeyOptions(name="main", source=f"file:{folder}/ring"),
        KeyOptions(name="people", source=f"file:{folder}/ring", subjects=True),
        RegionOptions(name="page", tiers=("local", "redis"), encrypt=key),
        RegionOptions(name="profile", tiers=("redis",), encrypt=people),
        RegionOptions(name="queued", journal=stuck, **behind),  # type: ignore[arg-type]  # one dict for two regions
        RegionOptions(name="parked", journal=parked, **behind),  # type: ignore[arg-type]
        EntityRule(name="user", regions=("profile:{id}",)),
        CacheOptions(namespace="proof", redis=url, state_dir=str(folder / "state")),
    )


class Logged(logging.Handler):
    """Every line that anybody logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def listening() -> Iterator[Logged]:
    handler = Logged()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def use(cache: Cache) -> None:
    """Put the canary into every region and make some reads, failures and events."""
    tenant = cache.tenant("acme")
    for region in ("page", "profile"):
        tenant.region(region).set("42", VALUE)
        tenant.region(region).get_or_load("43", lambda: VALUE)
    tenant.region("queued").write("42", VALUE)
    tenant.region("parked").write("42", VALUE)
    ends = time.monotonic() + 20.0
    while not any(event.name == "row_parked" for event in cache.recorder.events()) and time.monotonic() < ends:
        time.sleep(0.02)


def search(*, is_sealed: bool) -> dict[str, int]:
    """Return where the canary was found, and how often."""
    with (
        RedisServer("--appendonly", "yes", "--save", "1000 1000") as server,
        tempfile.TemporaryDirectory() as name,
        listening() as logged,
    ):
        folder = Path(name)
        (folder / "ring").write_text(ring("k1"))
        matrix = matrix_of(server.url, folder, is_sealed=is_sealed)
        store: Any = RefusingStore()
        with Cache(matrix, process=Process(), stores={"parked": store, "queued": store}, drain_s=0.0) as cache:
            use(cache)
            told = "\n".join(str(event) for event in cache.recorder.events())
            metrics = exposition(cache.snapshot()).decode()
        Recovery(matrix).backup(folder / "backup", Scope())
        server.cli("SAVE")
        places = {"events": told, "metrics": metrics, "logs": "\n".join(logged.lines), "repr": repr((matrix, cache))}
        found = {place: text.count(CANARY) for place, text in places.items()}
        rows = folder / "rows"
        for path in [*_files(server), *(path for path in folder.rglob("*") if path.is_file() and path != rows)]:
            place = "redis " + path.suffix.strip(".") if folder not in path.parents else path.name
            found[place] = found.get(place, 0) + path.read_bytes().count(CANARY.encode())
        return found


def _files(server: RedisServer) -> list[Path]:
    reply = server.cli("CONFIG", "GET", "dir")
    folder = Path(str(reply[1] if isinstance(reply, list) else reply).split()[-1])
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".rdb", ".aof")]


def swapped() -> dict[str, int]:
    """Put each ciphertext in each other's place, in one tenant and across two; count what opens."""
    with RedisServer("--appendonly", "yes") as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ring").write_text(ring("k1"))
        opened = tried = 0
        with Cache(matrix_of(server.url, folder, is_sealed=True), process=Process()) as cache:
            places = [cache.tenant(tenant).region("profile").place for tenant in ("acme", "other")]
            names = [place.name(f"{number}") for place in places for number in range(SWAPPED // 2)]
            for place in places:
                for number in range(SWAPPED // 2):
                    cache.tenant(place.tenant).region("profile").set(f"{number}", f"secret of {place.tenant} {number}")
            far: Any = cache.tenant("acme").region("profile").place.core.far
            link: Any = cache.tenant("acme").region("profile").place.node.far.link  # type: ignore[union-attr]
            records = {each: unpack(link.execute(b"GET", each)) for each in names}
            for here, there in itertools.permutations(names, 2):
                moved = records[there]._replace(key_hash=hash64(here))
                link.execute(b"SET", here, pack(moved))
                tried += 1
                opened += far.get(here) is not None
            for each, frame in records.items():
                link.execute(b"SET", each, pack(frame))
            kept = sum(far.get(each) is not None for each in names)
        return {"tried": tried, "opened": opened, "own_opened": kept}


def rotated(seconds: float) -> dict[str, int]:
    """Rotate keys while two nodes read and write; count the reads that miss or fail."""
    with RedisServer("--appendonly", "yes") as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ring"
        path.write_text(ring("k0"))
        matrix = matrix_of(server.url, folder, is_sealed=True)
        matrix = matrix.overlay(replace(matrix.region("page"), tiers=("redis",)))
        counts = {"reads": 0, "failed": 0, "rotations": 0}
        stop = threading.Event()
        with Cache(matrix, process=Process()) as here, Cache(matrix, process=Process()) as there:
            here.tenant("acme").region("page").set_many({str(n): [n, VALUE] for n in range(100)})
            threads = [threading.Thread(target=_work, args=(cache, stop, counts)) for cache in (here, there)]
            for thread in threads:
                thread.start()
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                counts["rotations"] += 1
                newest = counts["rotations"]
                fresh = folder / "ring.new"
                fresh.write_text(ring(*(f"k{each}" for each in range(newest, -1, -1))))
                fresh.replace(path)
                time.sleep(max(0.2, seconds / 20))
            stop.set()
            for thread in threads:
                thread.join()
        return counts


def _work(cache: Cache, stop: threading.Event, counts: dict[str, int]) -> None:
    page = cache.tenant("acme").region("page")
    for number in itertools.cycle(range(100)):
        if stop.is_set():
            return
        value = page.get(str(number))
        counts["reads"] += 1
        counts["failed"] += value is MISS or value[0] != number
        if number % 10 == 0:
            page.set(str(number), [number, VALUE])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--seconds", type=float, default=20.0, help="of load while keys rotate")
    parser.add_argument("--short", action="store_true", help="2 seconds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = {
        "tiercel": search(is_sealed=True),
        "naive": search(is_sealed=False),
        "swapped": swapped(),
        "rotated": rotated(2.0 if arguments.short else arguments.seconds),
    }
    if arguments.json:
        print(json.dumps(rows))
    else:
        for name, row in rows.items():
            print(f"{name:8} {row}")
    is_hidden = max(rows["tiercel"].values()) == 0 and max(rows["naive"].values()) > 0
    is_kept = rows["swapped"]["opened"] == rows["rotated"]["failed"] == 0 and rows["rotated"]["reads"] > 0
    return 0 if is_hidden and is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
