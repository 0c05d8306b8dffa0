"""
The naive ways of races whose safe ways are played elsewhere: each must lose in some order, or its race proves nothing.

A naive way is a few lines over a dictionary, as an application writes them; stores and schedules are those of the safe
ways.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.async_.races.conftest import AsyncNaive, AsyncWorld, MakeWorld
from tests.schedules import AsyncStage, async_explore
from tiercel._gates import async_gate
from tiercel._paired import AsyncFunction
from tiercel.typing import Change

pytestmark = pytest.mark.parametrize("far_url", ["memory"], indirect=True)

Race = AsyncFunction[[AsyncStage], Any]


async def loses(race: Race) -> bool:
    """Say whether some order of *race* goes wrong."""
    return (await async_explore(race)).violations["wrong"] > 0


def reads_as(cache: dict[str, Any], key: str, wanted: Any) -> AsyncFunction[[], str | None]:
    """Return the check that *cache* holds nothing but *wanted* under *key*."""

    async def check() -> str | None:
        return None if cache.get(key, wanted) == wanted else "wrong"

    return check


async def test_r2_setting_after_the_commit_leaves_the_older_write(world: MakeWorld) -> None:
    scene: AsyncWorld = await world()

    async def race(stage: AsyncStage) -> Any:
        key, cache = scene.key(), dict[str, Any]()

        async def write(value: str) -> None:
            await scene.store.write(Change("acme", key, value, 0))
            cache[key] = value

        stage.actor("A", lambda: write("A"))
        stage.actor("B", lambda: write("B"))

        async def check() -> str | None:
            row = await scene.store.rows.read("acme", key)
            return None if row is not None and row.value == cache[key] else "wrong"

        return check

    assert await loses(race)


async def test_r3_clearing_before_the_commit_lets_the_old_row_in(world: MakeWorld) -> None:
    scene: AsyncWorld = await world()

    async def race(stage: AsyncStage) -> Any:
        key, cache = await scene.row(1), dict[str, Any]()

        async def write() -> None:
            cache.pop(key, None)
            await async_gate("naive.cleared")
            await scene.store.write(Change("acme", key, 2, 0))

        async def read() -> None:
            row = await scene.store.read("acme", key)
            cache[key] = None if row is None else row.value

        stage.actor("reader", read)
        stage.actor("writer", write)
        return reads_as(cache, key, 2)

    assert await loses(race)


async def test_r4_caching_that_there_is_no_row_hides_an_insert(world: MakeWorld) -> None:
    scene: AsyncWorld = await world()
    naive = AsyncNaive(scene)

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        stage.actor("reader", lambda: naive.read(key))
        stage.actor("writer", lambda: naive.write(key, "new"))

        async def check() -> str | None:
            return None if await naive.read(key) == "new" else "wrong"

        return check

    assert await loses(race)


async def test_r6_stamping_tags_after_the_load_keeps_what_fell_meanwhile(world: MakeWorld) -> None:
    async def race(stage: AsyncStage) -> Any:
        tags, source, kept = {"t": 1}, {"value": 1}, list[tuple[int, int]]()

        async def load() -> None:
            value = source["value"]
            await async_gate("naive.loaded")
            kept.append((value, tags["t"]))

        async def change() -> None:
            source["value"] = 2
            await async_gate("source.changed")
            tags["t"] += 1

        stage.actor("reader", load)
        stage.actor("writer", change)

        async def check() -> str | None:
            value, stamp = kept[0]
            return "wrong" if stamp == tags["t"] and value != source["value"] else None

        return check

    assert await loses(race)


async def test_r7_caching_what_a_lagging_replica_says_brings_the_old_row_back(world: MakeWorld) -> None:
    async def race(stage: AsyncStage) -> Any:
        cache = dict[str, Any]()

        async def read() -> None:
            await async_gate("replica.read")
            cache.setdefault("k", "old")

        async def write() -> None:
            await async_gate("primary.written")
            cache.pop("k", None)

        stage.actor("reader", read)
        stage.actor("writer", write)
        return reads_as(cache, "k", "new")

    assert await loses(race)


async def test_r8_a_lock_that_ran_out_lets_both_loaders_store(world: MakeWorld) -> None:
    scene: AsyncWorld = await world()

    async def race(stage: AsyncStage) -> Any:
        key, cache, lock = await scene.row(1), dict[str, Any](), list[str]()

        async def load(name: str) -> None:
            if lock:
                return
            lock.append(name)
            row = await scene.store.read("acme", key)
            cache[key] = None if row is None else row.value

        async def run_out() -> None:
            lock.clear()
            await scene.store.rows.write(Change("acme", key, 2, 2))
            cache.pop(key, None)

        stage.actor("A", lambda: load("A"))
        stage.actor("B", run_out)
        stage.actor("C", lambda: load("C"))
        return reads_as(cache, key, 2)

    assert await loses(race)


async def test_r15_a_removal_that_keeps_the_fallback_serves_it_when_the_load_fails(world: MakeWorld) -> None:
    async def race(stage: AsyncStage) -> Any:
        fresh, fallback, seen = {"k": "secret"}, {"k": "secret"}, list[Any]()

        async def remove() -> None:
            fresh.pop("k", None)
            await async_gate("naive.removed")
            seen.append(fresh.get("k", fallback.get("k")))  # the load fails: stale if error

        stage.actor("remover", remove)

        async def check() -> str | None:
            return "wrong" if "secret" in seen else None

        return check

    assert await loses(race)


async def test_r16_a_tombstone_that_was_evicted_looks_like_permission(world: MakeWorld) -> None:
    scene: AsyncWorld = await world()

    async def race(stage: AsyncStage) -> Any:
        key, cache, tombstones = await scene.row(1), dict[str, Any](), set[str]()

        async def read() -> None:
            row = await scene.store.read("acme", key)
            if key not in tombstones:
                cache[key] = None if row is None else row.value

        async def write() -> None:
            await scene.store.write(Change("acme", key, 2, 2))
            cache.pop(key, None)
            tombstones.add(key)
            await async_gate("naive.tombstone")
            tombstones.clear()

        stage.actor("reader", read)
        stage.actor("writer", write)
        return reads_as(cache, key, 2)

    assert await loses(race)
