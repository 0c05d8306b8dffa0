# Generated from tests/async_/recovery/test_encryption.py by tools/unasync.py. Do not edit.
"""Encrypted regions: what a reader sees, what the tier and the journals hold, keys that change or go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sync_.recovery.conftest import CANARY, Open, ring
from tiercel import Cache
from tiercel._sync.journals.payload import SealedValue
from tiercel._core.frame import Frame, pack, unpack
from tiercel._core.keys import hash64
from tiercel.errors import ConfigurationError, StoreError
from tiercel.options import KeyOptions, LocalOptions, RegionOptions
from tiercel.typing import MISS

VALUE = {"name": CANARY, "rest": "x" * 2000}


def stored(cache: Cache, region: str, key: str) -> Frame | None:
    """Return the record as the tier holds it."""
    far = cache.tenant("acme").region(region).place.node.far
    assert far is not None
    return far.get(cache.tenant("acme").region(region).place.name(key))


def put_record(cache: Cache, region: str, key: str, frame: Frame) -> None:
    """Put a record into the tier behind the cache's back, under the name of *key*."""
    place = cache.tenant("acme").region(region).place
    far: Any = place.node.far
    moved = frame._replace(key_hash=hash64(place.name(key)))
    if hasattr(far, "link"):
        far.link.execute(b"SET", place.name(key), pack(moved))
    else:
        far.records._records[place.name(key)] = moved
    assert far.get(place.name(key)) is not None


def test_another_node_reads_what_is_sealed(open_cache: Open) -> None:
    here, there = open_cache(), open_cache()
    for region in ("page", "profile"):
        here.tenant("acme").region(region).set("42", VALUE)
        assert there.tenant("acme").region(region).get("42") == VALUE
        assert there.tenant("acme").region(region).get_many(["42", "43"]) == {"42": VALUE}
        frame = stored(here, region, "42")
        assert frame is not None
        assert CANARY.encode() not in frame.payload
        assert CANARY not in repr(frame)


def test_fills_are_sealed_and_reused(open_cache: Open) -> None:
    here, there = open_cache(), open_cache()
    loads: list[str] = []

    def load() -> Any:
        loads.append("one")
        return VALUE

    assert here.tenant("acme").region("profile").get_or_load("7", load) == VALUE
    assert there.tenant("acme").region("profile").get_or_load("7", load) == VALUE
    assert len(loads) == 1
    frame = stored(here, "profile", "7")
    assert frame is not None
    assert CANARY.encode() not in frame.payload


def test_a_moved_record_is_a_miss_and_an_event(open_cache: Open) -> None:
    cache = open_cache()
    page = cache.tenant("acme").region("page")
    page.set("a", "value of a")
    page.set("b", "value of b")
    frame = stored(cache, "page", "a")
    assert frame is not None
    put_record(cache, "page", "c", frame)
    assert page.get("c") is MISS
    assert cache.recorder.region("page").damaged_frames >= 1
    assert any(event.name == "unopened" for event in cache.recorder.events())


def test_a_plain_record_in_an_encrypted_region_is_a_miss(open_cache: Open) -> None:
    cache = open_cache()
    plain = cache.tenant("acme").region("plain")
    plain.set("p", "planted")
    frame = stored(cache, "plain", "p")
    assert frame is not None
    put_record(cache, "page", "p", frame._replace(tags=()))
    assert cache.tenant("acme").region("page").get("p") is MISS


def test_rotation_keeps_every_entry_readable(open_cache: Open, ring_path: Path) -> None:
    before = open_cache()
    before.tenant("acme").region("page").set("old", VALUE)
    ring_path.write_text(ring("k2", "k1"))
    after = open_cache()
    page = after.tenant("acme").region("page")
    assert page.get("old") == VALUE
    page.set("new", VALUE)
    frame = stored(after, "page", "new")
    assert frame is not None
    assert frame.payload[3:5] == b"k2"


def test_a_missing_key_is_a_miss_and_the_load_is_kept(open_cache: Open, ring_path: Path) -> None:
    before = open_cache()
    before.tenant("acme").region("page").set("old", VALUE)
    ring_path.write_text(ring("k9"))
    after = open_cache()
    page = after.tenant("acme").region("page")
    assert page.get("old") is MISS
    assert page.get_or_load("old", lambda: "loaded") == "loaded"
    third = open_cache()
    assert third.tenant("acme").region("page").get("old") == "loaded"


def test_a_ring_that_is_missing_at_the_start_is_named(open_cache: Open, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'main'.*gives no ring"):
        open_cache(KeyOptions(name="main", source=f"file:{tmp_path}/nowhere"))


def test_journaled_values_are_sealed_and_overlaid(open_cache: Open, tmp_path: Path) -> None:
    cache = open_cache()
    order = cache.tenant("acme").region("order")
    order.write("of-1", VALUE)
    order.clear()
    assert order.read("of-1") == VALUE
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert CANARY.encode() not in held


def test_a_journaled_value_without_its_key_waits(open_cache: Open, ring_path: Path) -> None:
    cache = open_cache()
    order = cache.tenant("acme").region("order")
    order.write("of-1", VALUE)
    order.clear()
    ring_path.write_text(ring("k9"))
    behind: Any = cache._assembly.cores["order"].behind
    behind._journal._sealer.keychain._rings.clear()
    with pytest.raises(StoreError, match="cannot be opened"):
        order.read("of-1")
    ring_path.write_text(ring("k1"))
    behind._journal._sealer.keychain._rings.clear()
    assert order.read("of-1") == VALUE
    assert CANARY not in repr(SealedValue(b"x"))


def test_a_value_that_cannot_be_sealed_is_not_kept(open_cache: Open, ring_path: Path) -> None:
    cache = open_cache()
    ring_path.unlink()
    cache._assembly.seals._sealers["main"].keychain._rings.clear()
    page = cache.tenant("acme").region("page")
    assert page.get_or_load("k", lambda: VALUE) == VALUE
    assert stored(cache, "page", "k") is None or (stored(cache, "page", "k")).payload == b""  # type: ignore[union-attr]


def test_regions_without_encryption_see_the_tier_itself(open_cache: Open) -> None:
    cache = open_cache()
    place = cache.tenant("acme").region("plain").place
    assert place.core.far is place.node.far


def test_records_of_one_key_cannot_take_each_others_place(open_cache: Open) -> None:
    """An old ciphertext under the header of a newer version is refused."""
    cache = open_cache(RegionOptions(name="page", tiers=("redis",), encrypt="main"))
    page = cache.tenant("acme").region("page")
    page.set("k", "old")
    old = stored(cache, "page", "k")
    assert old is not None
    put_record(cache, "page", "k", unpack(pack(old._replace(version=old.version + 1))))
    assert page.get("k") is MISS


def test_local_copies_are_sealed_where_that_is_asked_for(open_cache: Open) -> None:
    local = LocalOptions(copy="sealed")
    cache = open_cache(RegionOptions(name="page", tiers=("local", "redis"), encrypt="main", local=local))
    page = cache.tenant("acme").region("page")
    page.set("k", VALUE)
    assert page.get("k") == VALUE
    assert page.get_local("k") == VALUE
    entry = page.place.view.entry("k") if page.place.view is not None else None
    assert entry is not None
    assert page.get_local("k") is not page.get_local("k")
    held: Any = page.place.core.as_local(VALUE)
    assert CANARY.encode() not in held
