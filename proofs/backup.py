"""
A restore brings nothing stale and nothing erased back, and a damaged or interrupted backup does no harm.

A million keys are backed up while they change; then 10,000 entries fall and 100 subjects are erased, every entry is
evicted, and the backup is restored into the running Redis. Printed: stale and erased values that came back, the largest
error of a remaining ttl, rates, memory and sizes beside an RDB file; the same backup copied back blindly; twenty kills
of each command at random points; and every byte of a small backup flipped.

Run: ``python -m proofs.backup [--keys 1000000] [--kills 20] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests.rig import RedisServer
from tiercel import MISS, Cache, CacheOptions, EntityRule, Matrix, RegionOptions
from tiercel._backups.reader import BackupReader, entries_of, read_header
from tiercel._core.backupfile import Damage, Kind
from tiercel._core.backupscope import kept_until_ms
from tiercel._process import Process
from tiercel._sync.link import Link, open_link

TENANT = "acme"
PAGE = 1000
MOST_USERS = 10_000
LONGEST_S = 4.0
"""A command is killed somewhere within this; one that ended before is struck sooner the next time."""
GROUP = 50
"""Entries that share a tag."""


@dataclass
class World:
    """A Redis with entries, and what each entry's newest value is."""

    server: RedisServer
    folder: Path
    keys: int
    matrix: Matrix
    newest: list[int] = field(default_factory=list)
    ends_s: dict[int, float] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)

    @property
    def users(self) -> int:
        """How many subjects there are."""
        return min(MOST_USERS, self.keys)

    @property
    def toml(self) -> Path:
        """The matrix as a file, for the command line."""
        path = self.folder / "tiercel.toml"
        path.write_text(self.matrix.to_toml())
        return path


@contextmanager
def world(keys: int) -> Iterator[World]:
    """Start a Redis and make a matrix for it."""
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        matrix = Matrix.of(
            RegionOptions(name="item", tiers=("redis",), ttl_s=3600.0, track_dependencies=False),
            RegionOptions(name="profile", tiers=("redis",), ttl_s=3600.0),
            EntityRule(name="user", regions=("profile:{id}",)),
            CacheOptions(namespace="proof", redis=server.url, state_dir=f"{folder}/state", redis_timeout_s=30.0),
        )
        yield World(server, Path(folder), keys, matrix)


def opened(place: World) -> Cache:
    """Return a started cache that shares nothing with others of this process."""
    return Cache(place.matrix, process=Process()).start()


def fill(place: World) -> None:
    """Store numbered items, *GROUP* to a tag, and users."""
    with opened(place) as cache:
        tenant = cache.tenant(TENANT)
        for first in range(0, place.keys, GROUP):
            group = range(first, min(first + GROUP, place.keys))
            items = {f"i{number}": {"n": number, "v": 0, "text": "x" * 60} for number in group}
            ttl_s = 1200.0 + (first // GROUP) % 1200
            tenant.region("item").set_many(items, tags=[f"group:{first // GROUP}"], ttl_s=ttl_s)
            if first % (97 * GROUP) == 0:
                place.ends_s[first] = time.time() + ttl_s
        for first in range(0, place.users, PAGE):
            group = range(first, min(first + PAGE, place.users))
            tenant.region("profile").set_many({str(number): {"user": number} for number in group})
        place.newest = [0] * place.keys
        wait_until(lambda: cache.is_settled)


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    ends = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > ends:
            raise TimeoutError("it did not come about")
        time.sleep(0.01)


def run_command(place: World, name: str, *arguments: str) -> dict[str, Any]:
    """Run a command to its end; return its JSON and the most memory that it had, MiB."""
    process = start_command(place, name, *arguments)
    assert process.stdout is not None
    with process.stdout as stdout:
        output = stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"tiercel {name} ended with {process.returncode}")
    return {**json.loads(output), "memory_mib": round(usage.ru_maxrss / 1024)}


def start_command(place: World, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tiercel", name, str(place.toml), *arguments, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def change(place: World, stop: threading.Event) -> None:
    """Write and remove entries until told to stop."""
    chance = random.Random(1)
    with opened(place) as cache:
        item = cache.tenant(TENANT).region("item")
        while not stop.is_set():
            number = chance.randrange(place.keys)
            place.newest[number] += 1
            if chance.random() < 0.5:
                item.remove(f"i{number}")
            else:
                tags = [f"group:{number // GROUP}"]
                item.set(f"i{number}", {"n": number, "v": place.newest[number]}, tags=tags)
            time.sleep(0.001)
        wait_until(lambda: cache.is_settled)


def backed_up(place: World, path: Path) -> dict[str, Any]:
    """Back everything up while it changes."""
    stop = threading.Event()
    changer = threading.Thread(target=change, args=(place, stop))
    changer.start()
    try:
        return run_command(place, "backup", str(path))
    finally:
        stop.set()
        changer.join()


def fall(place: World, invalidations: int, erasures: int) -> set[int]:
    """Make entries fall, half by key and half by tag, and erase users; return the items that fell."""
    fallen: set[int] = set()
    chance = random.Random(2)
    with opened(place) as cache:
        tenant = cache.tenant(TENANT)
        for number in chance.sample(range(place.keys), invalidations // 2):
            tenant.region("item").remove(f"i{number}")
            fallen.add(number)
        for group in chance.sample(range(place.keys // GROUP), max(1, invalidations // 2 // GROUP)):
            tenant.invalidate_tags(f"group:{group}")
            fallen.update(range(group * GROUP, (group + 1) * GROUP))
        for number in fallen:
            place.newest[number] += 1
        for user in chance.sample(range(place.users), erasures):
            if not cache.erase(TENANT, f"user:{user}").is_complete:
                raise RuntimeError("an erasure is not complete")
            place.erased.add(user)
        wait_until(lambda: cache.is_settled)
    return fallen


def evict_entries(place: World) -> None:
    """Evict every entry and every tombstone; tokens, streams and the index of erasures stay."""
    with linked(place) as link:
        for names in link.scan(b"proof{}:[^~]*", 5000):
            link.execute_many([(b"UNLINK", name) for name in names])


@contextmanager
def linked(place: World) -> Iterator[Link]:
    link = open_link(place.server.url)
    try:
        yield link
    finally:
        link.close()


def copy_blindly(place: World, path: Path) -> None:
    """The naive way: put every record back as it was, with what is left of its ttl."""
    now_ms = int(time.time() * 1000)
    with linked(place) as link:
        for _, kind, plain in BackupReader(path).blocks_from(0):
            if kind is Kind.ENTRIES:
                entries = entries_of(plain)
                while page := list(islice(entries, PAGE)):
                    link.execute_many(
                        [(b"SET", name, record, b"PX", max(1, kept_until_ms(record) - now_ms)) for name, record in page]
                    )


def came_back(place: World) -> dict[str, Any]:
    """Read everything back; count what is stale or erased, and the largest error of a remaining ttl."""
    stale = erased = found = 0
    error_s = 0.0
    with opened(place) as cache:
        item, profile = (cache.tenant(TENANT).region(name) for name in ("item", "profile"))
        for first in range(0, place.keys, PAGE):
            values = item.get_many([f"i{n}" for n in range(first, min(first + PAGE, place.keys))])
            found += len(values)
            stale += sum(value["v"] < place.newest[value["n"]] for value in values.values())
        for user in place.erased:
            erased += profile.get(str(user)) is not MISS
        for number, ends_s in place.ends_s.items():
            left_s = item.ttl(f"i{number}")
            if left_s is not None and place.newest[number] == 0:
                error_s = max(error_s, abs(time.time() + left_s - ends_s))
    return {"found": found, "stale": stale, "erased_back": erased, "ttl_error_s": round(error_s, 3)}


def rdb_bytes(place: World) -> int:
    """Return the size of the server's own snapshot."""
    with linked(place) as link:
        link.execute(b"SAVE", timeout_s=120.0)
        folder = link.execute(b"CONFIG", b"GET", b"dir")
        name = link.execute(b"CONFIG", b"GET", b"dbfilename")
    path = Path(_setting(folder)) / _setting(name)
    return path.stat().st_size


def _setting(reply: Any) -> str:
    return bytes(next(iter(reply.values())) if isinstance(reply, dict) else reply[1]).decode()


def killed(place: World, name: str, kills: int, longest_s: float, *arguments: str) -> dict[str, Any]:
    """Kill a command at random points until it was killed *kills* times, then let it end."""
    chance = random.Random(3)
    done = 0
    while done < kills:
        process = start_command(place, name, *arguments)
        try:
            process.wait(chance.uniform(0.0, longest_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.communicate()
        if process.returncode in (0, 1):
            longest_s *= 0.9  # it ended before it was killed: strike sooner
    return run_command(place, name, *arguments)


def survives_kills(kills: int, keys: int) -> dict[str, Any]:
    """Kill backups and restores of a smaller world; return what was lost or came back wrong."""
    with world(keys) as place:
        fill(place)
        path = place.folder / "b"
        backup = killed(place, "backup", kills, LONGEST_S, str(path), "--rate", str(keys * 2))
        evict_entries(place)
        restore = killed(place, "restore", kills, LONGEST_S, str(path), "--rate", str(keys * 2))
        seen = came_back(place)
        return {
            "kills": 2 * kills,
            "entries_in_backup": backup["entries"],
            "is_resumed": restore["is_resumed"],
            "lost": keys - seen["found"],
            "stale": seen["stale"],
        }


def flips(path: Path) -> dict[str, int]:
    """Flip every byte of a file; count those that are not refused."""
    whole = path.read_bytes()
    accepted = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 0x20,)) + whole[at + 1 :])
        try:
            read_header(path)
            BackupReader(path).check()
        except Damage:
            continue
        accepted += 1
    path.write_bytes(whole)
    return {"bytes": len(whole), "accepted": accepted}


def small_backup() -> dict[str, int]:
    """Flip every byte of a backup of a hundred entries."""
    with world(100) as place:
        fill(place)
        evict = place.folder / "small"
        run_command(place, "backup", str(evict), "--region", "item")
        return flips(evict)


def whole(keys: int, invalidations: int, erasures: int) -> dict[str, Any]:
    """Back up, change, evict, restore; blindly first."""
    with world(keys) as place:
        fill(place)
        path = place.folder / "b"
        backup = backed_up(place, path)
        rdb = rdb_bytes(place)
        fall(place, invalidations, erasures)
        evict_entries(place)
        copy_blindly(place, path)
        naive = came_back(place)
        evict_entries(place)
        began = time.monotonic()
        restore = run_command(place, "restore", str(path))
        restore["per_s"] = round(backup["entries"] / (time.monotonic() - began))
        return {"backup": backup, "rdb_bytes": rdb, "restore": restore, "tiercel": came_back(place), "naive": naive}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--short", action="store_true", help="5,000 keys, 200 invalidations, 3 erasures, 1 kill each")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keys = 5_000 if arguments.short else arguments.keys
    rows = {
        **whole(keys, *((200, 3) if arguments.short else (10_000, 100))),
        "kills": survives_kills(1 if arguments.short else arguments.kills // 2, 2_000 if arguments.short else 20_000),
        "flips": small_backup(),
    }
    if arguments.json:
        print(json.dumps(rows))
    else:
        for name, row in rows.items():
            print(f"{name:10} {row}")
    ours, naive, kills = rows["tiercel"], rows["naive"], rows["kills"]
    kept = ours["stale"] == ours["erased_back"] == rows["flips"]["accepted"] == kills["lost"] == kills["stale"] == 0
    return 0 if kept and ours["ttl_error_s"] <= 1.0 and ours["found"] and naive["stale"] and naive["erased_back"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
