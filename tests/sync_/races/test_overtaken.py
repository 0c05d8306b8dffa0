# Generated from tests/async_/races/test_overtaken.py by tools/unasync.py. Do not edit.
"""
Races of a write in flight with a change behind its back (R16), which names no version: in the far tier, where a
tombstone may be evicted, and in a region that is only local; each beside the same code without its guard, which must
lose.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sync_.races.conftest import MakeWorld, played
from tests.schedules import Stage, explore
from tiercel import MISS
from tiercel._sync import writer
from tiercel.typing import Change


def overtaken_write(world: MakeWorld, *, is_marked: bool) -> Any:
    """
    Return a race of a write with a change behind its back, whose tombstone is evicted.

    1. writer A commits v1
    2. somebody else commits v2 behind the cache's back, and clears the cache; the tombstone is evicted
    3. A's v1 arrives in the far tier, finds nothing, and stays
    """
    scene = world(2)
    far: Any = scene.nodes[0].place.node.far
    store_many = far.store_many
    if not is_marked:
        far.store_many = lambda entries, _marks, tombstone_ms: store_many(entries, None, tombstone_ms)

    def change(key: str) -> None:
        scene.store.write(Change("acme", key, "B", 0))
        scene.nodes[1].remove(key)
        scene.evict(key)

    def race(stage: Stage) -> Any:
        key = scene.key()
        stage.actor("A", lambda: scene.nodes[0].write(key, "A"))
        stage.actor("B", lambda: change(key))

        def check() -> str | None:
            row = scene.store.rows.read("acme", key)
            assert row is not None
            seen = scene.strong(key)
            return None if seen in (row.value, MISS) else "stale"

        return check

    return race


def test_r16_a_write_whose_tombstone_was_evicted_is_left_to_the_next_load(world: MakeWorld) -> None:
    played(overtaken_write(world, is_marked=True), "write.marked", "write.stored", "invalidate.far_clean")


def test_r16_without_a_mark_the_overtaken_write_stays(world: MakeWorld) -> None:
    assert (explore(overtaken_write(world, is_marked=False))).violations["stale"] > 0


def local_write(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool = True, with_reader: bool = False
) -> Any:
    """
    Return a race of a write with a change behind its back, in a region that is only local.

    1. writer A commits v1
    2. somebody else commits v2 behind the cache's back, and removes the key
    3. A keeps v1 in its process
    """
    if not is_guarded:

        def unguarded(_place: Any, _keys: Any) -> None:
            return None

        monkeypatch.setattr(writer, "guard_write", unguarded)
    scene = world(tiers=("local",))

    def change(key: str) -> None:
        scene.store.write(Change("acme", key, "B", 0))
        scene.nodes[0].remove(key)

    def race(stage: Stage) -> Any:
        key = scene.key()
        stage.actor("A", lambda: scene.nodes[0].write(key, "A"))
        stage.actor("B", lambda: change(key))
        if with_reader:
            stage.actor("C", lambda: scene.nodes[0].read(key, None))

        def check() -> str | None:
            row = scene.store.rows.read("acme", key)
            assert row is not None
            seen = scene.nodes[0].get(key)
            return None if seen in (row.value, MISS) else f"the store holds {row.value}, the cache says {seen}"

        return check

    return race


@pytest.mark.parametrize("far_url", ["memory"], indirect=True)
def test_a_local_write_that_an_invalidation_overtook_is_not_kept(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(local_write(world, monkeypatch), "write.stored", "invalidate.far_clean")
    with_reader = local_write(world, monkeypatch, with_reader=True)
    played(with_reader, "write.stored", "fill.loaded", limit=500, exhaustive=False)


@pytest.mark.parametrize("far_url", ["memory"], indirect=True)
def test_an_unguarded_local_write_that_an_invalidation_overtook_stays(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = local_write(world, monkeypatch, is_guarded=False)
    assert (explore(race)).violations["the store holds B, the cache says A"] > 0


def test_a_write_after_a_removal_is_read_by_one_load(world: MakeWorld) -> None:
    """A removal names no version: only the store can tell whether it came for the sake of what is being written."""
    scene = world(2)
    key = scene.row(1)
    scene.nodes[0].remove(key)
    scene.nodes[0].write(key, 2)
    assert scene.nodes[1].get(key) is MISS
    stats = scene.nodes[1].place.core.stats
    before = stats.loads
    assert [scene.nodes[1].read(key) for _ in range(3)] == [2, 2, 2]
    assert stats.loads == before + 1
    scene.nodes[0].write(key, 3)
    assert scene.nodes[1].get(key, consistency="strong") == 3
