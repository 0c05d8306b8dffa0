# Generated from tests/async_/races/test_naive.py by tools/unasync.py. Do not edit.
"""
The naive ways of races whose safe ways are played elsewhere: each must lose in some order, or its race proves nothing.

A naive way is a few lines over a dictionary, as an application writes them; stores and schedules are those of the safe
ways.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sync_.races.conftest import Naive, World, MakeWorld
from tests.schedules import Stage, explore
from tiercel._gates import gate
from tiercel._paired import Function
from tiercel.typing import Change

pytestmark = pytest.mark.parametrize("far_url", ["memory"], indirect=True)

Race = Function[[Stage], Any]


def loses(race: Race) -> bool:
    """Say whether some order of *race* goes wrong."""
    return (explore(race)).violations["wrong"] > 0


def reads_as(cache: dict[str, Any], key: str, wanted: Any) -> Function[[], str | None]:
    """Return the check that *cache* holds nothing but *wanted* under *key*."""

    def check() -> str | None:
        return None if cache.get(key, wanted) == wanted else "wrong"

    return check


def test_r2_setting_after_the_commit_leaves_the_older_write(world: MakeWorld) -> None:
    scene: World = world()

    def race(stage: Stage) -> Any:
        key, cache = scene.key(), dict[str, Any]()

        def write(value: str) -> None:
            scene.store.write(Change("acme", key, value, 0))
            cache[key] = value

        stage.actor("A", lambda: write("A"))
        stage.actor("B", lambda: write("B"))

        def check() -> str | None:
            row = scene.store.rows.read("acme", key)
            return None if row is not None and row.value == cache[key] else "wrong"

        return check

    assert loses(race)


def test_r3_clearing_before_the_commit_lets_the_old_row_in(world: MakeWorld) -> None:
    scene: World = world()

    def race(stage: Stage) -> Any:
        key, cache = scene.row(1), dict[str, Any]()

        def write() -> None:
            cache.pop(key, None)
            gate("naive.cleared")
            scene.store.write(Change("acme", key, 2, 0))

        def read() -> None:
            row = scene.store.read("acme", key)
            cache[key] = None if row is None else row.value

        stage.actor("reader", read)
        stage.actor("writer", write)
        return reads_as(cache, key, 2)

    assert loses(race)


def test_r4_caching_that_there_is_no_row_hides_an_insert(world: MakeWorld) -> None:
    scene: World = world()
    naive = Naive(scene)

    def race(stage: Stage) -> Any:
        key = scene.key()
        stage.actor("reader", lambda: naive.read(key))
        stage.actor("writer", lambda: naive.write(key, "new"))

        def check() -> str | None:
            return None if naive.read(key) == "new" else "wrong"

        return check

    assert loses(race)


def test_r6_stamping_tags_after_the_load_keeps_what_fell_meanwhile(world: MakeWorld) -> None:
    def race(stage: Stage) -> Any:
        tags, source, kept = {"t": 1}, {"value": 1}, list[tuple[int, int]]()

        def load() -> None:
            value = source["value"]
            gate("naive.loaded")
            kept.append((value, tags["t"]))

        def change() -> None:
            source["value"] = 2
            gate("source.changed")
            tags["t"] += 1

        stage.actor("reader", load)
        stage.actor("writer", change)

        def check() -> str | None:
            value, stamp = kept[0]
            return "wrong" if stamp == tags["t"] and value != source["value"] else None

        return check

    assert loses(race)


def test_r7_caching_what_a_lagging_replica_says_brings_the_old_row_back(world: MakeWorld) -> None:
    def race(stage: Stage) -> Any:
        cache = dict[str, Any]()

        def read() -> None:
            gate("replica.read")
            cache.setdefault("k", "old")

        def write() -> None:
            gate("primary.written")
            cache.pop("k", None)

        stage.actor("reader", read)
        stage.actor("writer", write)
        return reads_as(cache, "k", "new")

    assert loses(race)


def test_r8_a_lock_that_ran_out_lets_both_loaders_store(world: MakeWorld) -> None:
    scene: World = world()

    def race(stage: Stage) -> Any:
        key, cache, lock = scene.row(1), dict[str, Any](), list[str]()

        def load(name: str) -> None:
            if lock:
                return
            lock.append(name)
            row = scene.store.read("acme", key)
            cache[key] = None if row is None else row.value

        def run_out() -> None:
            lock.clear()
            scene.store.rows.write(Change("acme", key, 2, 2))
            cache.pop(key, None)

        stage.actor("A", lambda: load("A"))
        stage.actor("B", run_out)
        stage.actor("C", lambda: load("C"))
        return reads_as(cache, key, 2)

    assert loses(race)


def test_r15_a_removal_that_keeps_the_fallback_serves_it_when_the_load_fails(world: MakeWorld) -> None:
    def race(stage: Stage) -> Any:
        fresh, fallback, seen = {"k": "secret"}, {"k": "secret"}, list[Any]()

        def remove() -> None:
            fresh.pop("k", None)
            gate("naive.removed")
            seen.append(fresh.get("k", fallback.get("k")))  # the load fails: stale if error

        stage.actor("remover", remove)

        def check() -> str | None:
            return "wrong" if "secret" in seen else None

        return check

    assert loses(race)


def test_r16_a_tombstone_that_was_evicted_looks_like_permission(world: MakeWorld) -> None:
    scene: World = world()

    def race(stage: Stage) -> Any:
        key, cache, tombstones = scene.row(1), dict[str, Any](), set[str]()

        def read() -> None:
            row = scene.store.read("acme", key)
            if key not in tombstones:
                cache[key] = None if row is None else row.value

        def write() -> None:
            scene.store.write(Change("acme", key, 2, 2))
            cache.pop(key, None)
            tombstones.add(key)
            gate("naive.tombstone")
            tombstones.clear()

        stage.actor("reader", read)
        stage.actor("writer", write)
        return reads_as(cache, key, 2)

    assert loses(race)
