# Generated from tests/async_/recovery/test_backup.py by tools/unasync.py. Do not edit.
"""Backups and restores on real servers: what comes back, what must not, and what a damaged file does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sync_.recovery.conftest import CANARY, ring
from tests.rig.redis import RedisServer, ValkeyServer
from tiercel import Cache, CacheOptions, EntityRule, Matrix, RegionOptions
from tiercel._sync.link import open_link
from tiercel._sync.recovery import Recovery
from tiercel._backups.reader import BackupReader, read_header
from tiercel._backups.writer import PART
from tiercel._core.backupfile import Damage
from tiercel._core.backupscope import Scope, kept_until_ms
from tiercel._paired import Function, Poll
from tiercel._process import Process
from tiercel.errors import ConfigurationError
from tiercel.options import KeyOptions
from tiercel.typing import MISS

Open = Function[..., Cache]
COUNT = 300


@pytest.fixture
def plain(tmp_path: Path, clean_redis: RedisServer) -> Matrix:
    """One region of derived data and one that an entity names, on the session's Redis."""
    return Matrix.of(
        RegionOptions(name="page", tiers=("local", "redis"), ttl_s=600.0),
        RegionOptions(name="profile", tiers=("redis",), ttl_s=600.0),
        EntityRule(name="user", regions=("profile:{id}",)),
        CacheOptions(namespace=f"t{secrets.token_hex(6)}", redis=clean_redis.url, state_dir=str(tmp_path / "state")),
    )


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open caches that play machines of their own, and close them."""
    caches: list[Cache] = []

    def make(matrix: Matrix) -> Cache:
        cache = Cache(matrix, process=Process())
        caches.append(cache)
        return cache.start()

    yield make
    for cache in caches:
        cache.close()


def check(path: Path) -> None:
    """Read a file as a restore does before it writes."""
    read_header(path)
    BackupReader(path).check()


def settled(cache: Cache) -> None:
    """Wait until every node can read of what was written."""
    poll = Poll(10.0)
    while not cache.is_settled:
        assert poll.again(), "what was written was not told"


def fill(cache: Cache, tag: str = "shown") -> None:
    """Put numbered entries into both regions, those of ``page`` with a tag each."""
    tenant = cache.tenant("acme")
    for last in range(10):
        pages = {f"p{number}": {"n": number} for number in range(last, COUNT, 10)}
        tenant.region("page").set_many(pages, tags=[f"{tag}:{last}"])
    tenant.region("profile").set_many({f"u{number}": {"n": number} for number in range(COUNT)})
    settled(cache)


def wipe_entries(matrix: Matrix) -> None:
    """Evict every entry; tokens and streams stay, as under memory pressure."""
    link = open_link(matrix.cache.redis or "")
    try:
        for names in link.scan(matrix.cache.namespace.encode() + b"{}:[^~]*"):
            link.execute_many([(b"DEL", name) for name in names])
    finally:
        link.close()


def records(url: str | None, matrix: Matrix) -> dict[bytes, bytes]:
    """Return every entry's record by name."""
    link = open_link(url or matrix.cache.redis or "")
    found: dict[bytes, bytes] = {}
    try:
        for names in link.scan(matrix.cache.namespace.encode() + b"{}:[^~]*"):
            replies = link.execute_many([(b"GET", name) for name in names])
            found.update(zip(names, replies, strict=True))
    finally:
        link.close()
    return found


def test_what_was_evicted_comes_back_with_its_ttl(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)
    before = records(None, plain)
    report = Recovery(plain).backup(tmp_path / "b")
    assert report["entries"] == 2 * COUNT
    wipe_entries(plain)
    restored = Recovery(plain).restore(tmp_path / "b")
    assert (restored.restored, restored.gap) == (2 * COUNT, "")
    after = records(None, plain)
    assert {name: kept_until_ms(record) for name, record in after.items()} == {
        name: kept_until_ms(record) for name, record in before.items()
    }
    fresh = opened(plain)
    assert fresh.tenant("acme").region("page").get("p7") == {"n": 7}
    assert 595 < (fresh.tenant("acme").region("profile").ttl("u7") or 0) <= 600


def test_nothing_that_fell_since_comes_back(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)
    Recovery(plain).backup(tmp_path / "b")
    tenant = cache.tenant("acme")
    tenant.invalidate_tags("shown:3")
    for number in range(20):
        tenant.region("profile").remove(f"u{number}")
    tenant.region("profile").set("u20", "new")
    cache.erase("acme", "user:u30")
    cache.close()
    wipe_entries(plain)
    restored = Recovery(plain).restore(tmp_path / "b")
    assert (restored.outdated, restored.changed, restored.erased) == (COUNT // 10, 21, 1)
    fresh = (opened(plain)).tenant("acme")
    assert fresh.region("page").get("p3") is MISS
    assert fresh.region("page").get("p4") == {"n": 4}
    for key in ("u0", "u19", "u20", "u30"):
        assert fresh.region("profile").get(key) is MISS
    assert fresh.region("profile").get("u21") == {"n": 21}


def test_blind_copies_would_bring_stale_data_back(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    """The naive way: DUMP by GET, restore by SET with the remaining ttl."""
    cache = opened(plain)
    fill(cache)
    copies = records(None, plain)
    cache.tenant("acme").region("profile").remove("u1")
    wipe_entries(plain)
    link = open_link(plain.cache.redis or "")
    try:
        link.execute_many([(b"SET", name, record, b"PX", 600_000) for name, record in copies.items()])
    finally:
        link.close()
    assert (opened(plain)).tenant("acme").region("profile").get("u1") == {"n": 1}


def test_what_is_there_stays(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)
    Recovery(plain).backup(tmp_path / "b")
    restored = Recovery(plain).restore(tmp_path / "b")
    assert (restored.restored, restored.occupied) == (0, 2 * COUNT)


def test_a_lost_stream_leaves_everything_out(
    plain: Matrix, opened: Open, tmp_path: Path, clean_redis: RedisServer
) -> None:
    cache = opened(plain)
    fill(cache)
    Recovery(plain).backup(tmp_path / "b")
    cache.close()
    clean_redis.flush()
    restored = Recovery(plain).restore(tmp_path / "b")
    assert (restored.restored, restored.unprovable) == (0, 2 * COUNT)
    assert "not the one" in restored.gap


def test_a_dry_run_writes_nothing(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)
    Recovery(plain).backup(tmp_path / "b")
    wipe_entries(plain)
    restored = Recovery(plain).restore(tmp_path / "b", is_dry_run=True)
    assert (restored.restored, records(None, plain)) == (2 * COUNT, {})


def test_scopes_leave_the_rest_out(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)
    cache.tenant("acme2").region("page").set("x", 1)
    recovery = Recovery(plain)
    assert (recovery.backup(tmp_path / "t", Scope("acme2")))["entries"] == 1
    assert (recovery.backup(tmp_path / "r", Scope("acme", "profile")))["entries"] == COUNT
    assert (recovery.backup(tmp_path / "a"))["entries"] == 2 * COUNT + 1


def test_another_server_takes_it_from_a_living_source_and_back(
    plain: Matrix, opened: Open, tmp_path: Path, clean_valkey: ValkeyServer
) -> None:
    cache = opened(plain)
    fill(cache)
    there = plain.overlay(replace(plain.cache, redis=clean_valkey.url))
    Recovery(plain).backup(tmp_path / "b")
    cache.tenant("acme").invalidate_tags("shown:3")
    cache.tenant("acme").region("profile").remove("u5")
    cache.close()
    restored = Recovery(there).restore(tmp_path / "b", source=plain.cache.redis)
    assert restored.restored == 2 * COUNT - COUNT // 10 - 1
    moved = opened(there)
    assert moved.tenant("acme").region("page").get("p4") == {"n": 4}
    assert moved.tenant("acme").region("page").get("p3") is MISS
    assert moved.tenant("acme").region("profile").get("u5") is MISS
    Recovery(there).backup(tmp_path / "back")
    moved.close()
    wipe_entries(plain)
    again = Recovery(plain).restore(tmp_path / "back", source=clean_valkey.url)
    assert again.restored == restored.restored
    assert (opened(plain)).tenant("acme").region("profile").get("u6") == {"n": 6}


def test_an_interrupted_backup_is_carried_on(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)

    def stop(entries: int, size_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Recovery(plain).backup(tmp_path / "b", progress=stop)
    part = tmp_path / f"b{PART}"
    part.write_bytes(part.read_bytes() + b"torn")
    assert not (tmp_path / "b").exists()
    with pytest.raises(ConfigurationError, match="another scope"):
        Recovery(plain).backup(tmp_path / "b", Scope("acme"))
    report = Recovery(plain).backup(tmp_path / "b")
    assert report["entries"] >= 2 * COUNT
    wipe_entries(plain)
    assert (Recovery(plain).restore(tmp_path / "b")).restored == 2 * COUNT


def test_an_interrupted_restore_is_carried_on(plain: Matrix, opened: Open, tmp_path: Path) -> None:
    cache = opened(plain)
    fill(cache)
    Recovery(plain).backup(tmp_path / "b")
    wipe_entries(plain)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Recovery(plain).restore(tmp_path / "b", progress=stop)
    restored = Recovery(plain).restore(tmp_path / "b")
    assert restored.is_resumed
    assert len(records(None, plain)) == 2 * COUNT


def test_every_flipped_byte_is_refused_before_anything_is_written(
    plain: Matrix, opened: Open, tmp_path: Path
) -> None:
    cache = opened(plain)
    cache.tenant("acme").region("page").set("k", "value")
    path = tmp_path / "b"
    Recovery(plain).backup(path)
    wipe_entries(plain)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(Damage) as caught:
            check(path)
        assert 0 <= caught.value.position <= at
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(Damage):
            Recovery(plain).restore(path)
    assert records(None, plain) == {}


def test_an_encrypted_backup_is_sealed_and_authenticated(
    sealed_matrix: Matrix, opened: Open, tmp_path: Path, clean_redis: RedisServer
) -> None:
    matrix = sealed_matrix.overlay(replace(sealed_matrix.cache, redis=clean_redis.url))
    cache = opened(matrix)
    for region in ("page", "profile"):
        cache.tenant("acme").region(region).set("42", {"name": CANARY})
    settled(cache)
    path = tmp_path / "b"
    report = Recovery(matrix).backup(path)
    assert report["is_authenticated"]
    assert CANARY.encode() not in path.read_bytes()
    wipe_entries(matrix)
    assert (Recovery(matrix).restore(path)).restored == 2
    fresh = (opened(matrix)).tenant("acme")
    assert fresh.region("page").get("42") == {"name": CANARY}
    assert fresh.region("profile").get("42") == {"name": CANARY}
    forger = matrix.overlay(KeyOptions(name="main", provider=lambda tenant: ring("k1").replace("a", "b")))
    with pytest.raises(Damage):
        Recovery(forger).restore(path)
    unsealed = matrix.overlay(*(replace(options, encrypt=None) for options in matrix.regions.values()))
    Recovery(unsealed).backup(tmp_path / "unsigned")
    with pytest.raises(ConfigurationError, match="not authenticated"):
        Recovery(matrix).restore(tmp_path / "unsigned")


def test_subjects_keys_move_along_to_another_server(
    sealed_matrix: Matrix, opened: Open, tmp_path: Path, clean_redis: RedisServer, clean_valkey: ValkeyServer
) -> None:
    matrix = sealed_matrix.overlay(replace(sealed_matrix.cache, redis=clean_redis.url))
    there = matrix.overlay(replace(matrix.cache, redis=clean_valkey.url))
    cache = opened(matrix)
    cache.tenant("acme").region("profile").set("42", {"name": CANARY})
    settled(cache)
    Recovery(matrix).backup(tmp_path / "b")
    report = Recovery(there).restore(tmp_path / "b", source=clean_redis.url)
    assert report.restored == 1
    assert (opened(there)).tenant("acme").region("profile").get("42") == {"name": CANARY}


def test_an_erased_subject_cannot_be_read_from_an_old_backup(
    sealed_matrix: Matrix, opened: Open, tmp_path: Path, clean_redis: RedisServer
) -> None:
    """Even a blind copy of the old record opens nowhere: the subject's key is gone."""
    matrix = sealed_matrix.overlay(replace(sealed_matrix.cache, redis=clean_redis.url))
    cache = opened(matrix)
    profile: Any = cache.tenant("acme").region("profile")
    profile.set("42", {"name": CANARY})
    copies = records(None, matrix)
    receipt = cache.erase("acme", "user:42")
    assert receipt.is_complete, receipt.as_dict()
    assert [place.count for place in receipt.places if place.place == "keys"] == [1]
    link = open_link(clean_redis.url)
    try:
        link.execute_many([(b"SET", name, record) for name, record in copies.items()])
    finally:
        link.close()
    assert profile.get("42") is MISS
