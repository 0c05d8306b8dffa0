"""
Refill races: a load that something overtakes (R1 to R4, R6 to R8, R15, R16), in every order of the actors' steps.

Each race says its losing schedule; each is also played with the naive cache-aside, or with the one safeguard taken
away, which must lose: a race that nobody can lose proves nothing.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.async_.races.conftest import AsyncNaive, MakeWorld, played
from tests.schedules import AsyncStage, async_explore
from tiercel import MISS, NotFound, Record
from tiercel._gates import async_gate
from tiercel.typing import Change


async def test_r1_a_load_overtaken_by_a_write_is_not_kept(world: MakeWorld) -> None:
    """
    1. reader misses, loads v1
    2. writer commits v2 and clears the cache
    3. reader stores v1
    """
    scene = await world()

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("writer", lambda: scene.nodes[0].write(key, 2))
        return scene.ends_with(key, 2)

    await played(race, "fill.loaded", "write.stored")


async def test_r1_between_two_nodes(world: MakeWorld) -> None:
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("writer", lambda: scene.nodes[1].write(key, 2))
        return scene.ends_with(key, 2)

    await played(race, "fill.loaded", "write.stored")


async def test_r1_r3_the_naive_way_loses(world: MakeWorld) -> None:
    scene = await world()
    naive = AsyncNaive(scene)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("reader", lambda: naive.read(key))
        stage.actor("writer", lambda: naive.write(key, 2))

        async def check() -> str | None:
            seen = await naive.read(key)
            return None if seen == 2 else "stale"

        return check

    assert (await async_explore(race)).violations["stale"] > 0


async def test_r2_two_writes_never_leave_the_older_one(world: MakeWorld) -> None:
    """
    1. writer A commits v1, writer B commits v2
    2. B sets the cache to v2
    3. A sets the cache to v1
    """
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(0)
        stage.actor("A", lambda: scene.nodes[0].write(key, "A"))
        stage.actor("B", lambda: scene.nodes[1].write(key, "B"))

        async def check() -> str | None:
            row = await scene.store.rows.read("acme", key)
            assert row is not None
            seen = await scene.strong(key)
            return None if seen == row.value else f"the store holds {row.value}, the cache says {seen}"

        return check

    await played(race, "write.stored", "write.far_stored")


async def test_r2_a_write_that_a_later_change_overtook_is_not_kept(world: MakeWorld) -> None:
    """
    1. writer A commits v1
    2. somebody else commits v2 behind the cache's back, and clears the cache: that names no version
    3. A sets the cache to v1
    """
    scene = await world(2)

    async def change(key: str) -> None:
        await scene.store.write(Change("acme", key, "B", 0))
        await scene.nodes[1].remove(key)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(0)
        stage.actor("A", lambda: scene.nodes[0].write(key, "A"))
        stage.actor("B", lambda: change(key))

        async def check() -> str | None:
            row = await scene.store.rows.read("acme", key)
            assert row is not None
            seen = await scene.strong(key)
            return None if seen in (row.value, MISS) else f"the store holds {row.value}, the cache says {seen}"

        return check

    await played(race, "write.stored", "invalidate.far_clean")


async def test_r3_a_deletion_is_not_undone_by_a_reader(world: MakeWorld) -> None:
    """
    1. the cache is cleared
    2. a reader loads the row that is about to go, and stores it
    3. the row is deleted
    """
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("writer", lambda: scene.nodes[1].delete(key))
        return scene.ends_with(key, MISS)

    await played(race, "fill.loaded", "delete.stored")


async def test_r4_an_insert_is_not_hidden_by_an_earlier_miss(world: MakeWorld) -> None:
    """
    1. reader finds no row
    2. writer inserts it and clears the cache
    3. reader stores "none"
    """
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("writer", lambda: scene.nodes[1].write(key, "new"))
        return scene.ends_with(key, "new")

    await played(race, "fill.loaded", "write.stored")


async def test_r6_a_tag_that_falls_during_a_load_takes_the_entry_with_it(world: MakeWorld) -> None:
    """
    1. the loader reads v1
    2. the row changes, the tag falls
    3. the entry is stored with the tag's token of now
    """
    scene = await world(2)
    source = {"value": 1}

    async def load() -> int:
        value = source["value"]
        await async_gate("source.read")
        return value

    async def change() -> None:
        source["value"] += 1
        await async_gate("source.changed")
        await scene.caches[1].tenant("acme").invalidate_tags("t")

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        stage.actor("reader", lambda: scene.nodes[0].get_or_load(key, load, tags=["t"]))
        stage.actor("writer", change)

        async def check() -> str | None:
            seen = await scene.nodes[0].get(key, consistency="strong")
            return None if seen in (MISS, source["value"]) else f"{seen} outlived its tag; the source has {source}"

        return check

    await played(race, "source.read", "invalidate.tags_renewed")


async def test_r7_a_row_from_a_lagging_replica_is_not_kept(world: MakeWorld) -> None:
    """
    1. writer commits v2 on the primary, clears the cache (floor 2)
    2. reader loads v1 from a replica that lags
    3. reader stores v1
    """
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row("old")
        old = await scene.store.rows.read("acme", key)
        assert old is not None
        stage.actor("writer", lambda: scene.nodes[1].write(key, "new"))
        lagging = Record("old", old.version)
        stage.actor("reader", lambda: scene.nodes[0].get_or_load(key, lambda: lagging))

        async def check() -> str | None:
            seen = await scene.strong(key)
            return None if seen in ("new", MISS) else f"a lagging replica's {seen} was kept"

        return check

    await played(race, "fill.loaded", "write.far_stored")


async def test_r8_a_lease_that_ran_out_under_a_slow_loader_stores_nothing(world: MakeWorld) -> None:
    """
    1. loader A gets the lease, reads v1, and is slow: its lease runs out
    2. v2 is committed, the cache cleared; loader B gets a lease, loads v2, stores it
    3. A stores v1
    """
    scene = await world(2)

    async def lose_lease(key: str) -> None:
        await scene.evict(key)
        await async_gate("lease.gone")

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("A", lambda: scene.nodes[0].read(key))
        stage.actor("evictor", lambda: lose_lease(key))
        stage.actor("writer", lambda: scene.nodes[1].write(key, 2))
        return scene.ends_with(key, 2)

    await played(race, "lease.gone", "fill.loaded", limit=700, exhaustive=False)


async def test_r15_a_removed_value_is_not_served_when_the_load_fails(world: MakeWorld) -> None:
    scene = await world(2, keep_s=300.0)
    item, other = scene.nodes
    key = await scene.row("secret")
    assert await item.read(key) == "secret"
    assert await other.read(key) == "secret"

    async def failing() -> None:
        raise ConnectionError("down")

    await item.remove(key)
    with pytest.raises(ConnectionError):
        await item.get_or_load(key, failing)
    with pytest.raises(ConnectionError):
        await other.get_or_load(key, failing, consistency="strong")


async def test_r16_an_evicted_tombstone_lets_nothing_old_in(world: MakeWorld) -> None:
    """
    1. reader gets a lease, loads v1
    2. writer commits v2, leaves a tombstone; the tombstone is evicted
    3. reader stores v1: a lock or tombstone that is gone must not look like permission
    """
    scene = await world(2)

    async def write_and_evict(key: str) -> None:
        await scene.store.rows.write(Change("acme", key, 2, 2))
        await async_gate("source.changed")
        await scene.nodes[1].remove(key)
        await scene.evict(key)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("writer", lambda: write_and_evict(key))
        return scene.ends_with(key, 2)

    await played(race, "fill.loaded", "invalidate.far_clean")


async def test_a_refresh_that_ends_after_an_invalidation_is_not_kept(world: MakeWorld) -> None:
    scene = await world(2, grace_s=300.0)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        await scene.nodes[0].read(key)
        await scene.store.rows.write(Change("acme", key, 2, 2))
        stage.actor("refresher", lambda: scene.nodes[0].read(key, consistency="strong"))
        stage.actor("remover", lambda: scene.nodes[1].remove(key))
        return scene.ends_with(key, 2)

    await played(race, "invalidate.far_clean", limit=300)


async def test_tags_evicted_in_the_middle_cost_misses_and_never_serve_stale(world: MakeWorld) -> None:
    scene = await world(2)
    source = {"value": 1}

    async def load() -> int:
        value = source["value"]
        await async_gate("source.read")
        return value

    async def change_and_evict() -> None:
        source["value"] += 1
        await async_gate("source.changed")
        await scene.caches[1].tenant("acme").invalidate_tags("t")
        await scene.evict_tag("t")

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        stage.actor("reader", lambda: scene.nodes[0].get_or_load(key, load, tags=["t"]))
        stage.actor("writer", change_and_evict)

        async def check() -> str | None:
            seen = await scene.nodes[0].get(key, consistency="strong")
            return None if seen in (MISS, source["value"]) else f"{seen} outlived its tag"

        return check

    await played(race, "source.read", "invalidate.tags_renewed")


async def test_single_flight_among_nodes_loads_once_in_every_order(world: MakeWorld) -> None:
    scene = await world(2)
    loads: list[str] = []

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        before = len(loads)

        async def load() -> str:
            loads.append(key)
            await async_gate("source.read")
            return "value"

        stage.actor("first", lambda: scene.nodes[0].get_or_load(key, load))
        stage.actor("second", lambda: scene.nodes[1].get_or_load(key, load))
        stage.actor("third", lambda: scene.nodes[0].get_or_load(key, load))

        async def check() -> str | None:
            return None if len(loads) == before + 1 else f"{len(loads) - before} loads"

        return check

    await played(race, "source.read", limit=400, exhaustive=False)


async def test_an_invalidation_wakes_who_waits_for_the_load_that_it_voided(world: MakeWorld) -> None:
    """
    1. a loader has the lease, another node waits for its fill
    2. the key falls: the lease is void, the loader's commit will be refused
    3. the other node waits for the lease's end
    """
    scene = await world(2, load_timeout_s=30.0)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        stage.actor("loads", lambda: scene.nodes[0].read(key))
        stage.actor("waits", lambda: scene.nodes[1].read(key))
        stage.actor("removes", lambda: scene.nodes[0].remove(key))

        async def check() -> str | None:
            return f"{stage.cast.errors}" if stage.cast.errors else None

        return check

    began = time.monotonic()
    explored = await played(race, "invalidate.far_clean", limit=150, exhaustive=False)
    assert time.monotonic() - began < explored.schedules  # a wait for a lease's end takes 31 s


async def test_a_failed_load_gives_its_lease_back(world: MakeWorld) -> None:
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()

        async def failing() -> None:
            await async_gate("source.read")
            raise NotADirectoryError

        async def absent() -> None:
            raise NotFound(key)

        stage.actor("fails", lambda: scene.nodes[0].get_or_load(key, failing))
        stage.actor("waits", lambda: scene.nodes[1].get_or_load(key, absent))

        async def check() -> str | None:
            others = {actor: error for actor, error in stage.cast.errors.items() if actor != "fails"}
            return f"{others}" if others else None

        return check

    await played(race, "source.read", limit=300, exhaustive=False)
