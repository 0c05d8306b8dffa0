# Generated from tests/async_/races/test_refill.py by tools/unasync.py. Do not edit.
"""
Refill races: a load that an invalidation or a write overtakes (R1, R2, R3, R4).
"""

from __future__ import annotations

from typing import Any

from tests.sync_.races.conftest import Naive, MakeWorld
from tests.schedules import Stage, explore


def test_r1_a_load_overtaken_by_a_write_is_not_kept(world: MakeWorld) -> None:
    """
    1. reader misses, loads v1
    2. writer commits v2 and clears the cache
    3. reader stores v1
    """
    scene = world()
    item = scene.nodes[0]

    def race(stage: Stage) -> Any:
        key = scene.key()
        scene.store.rows.write(_row(key, 1))
        stage.actor("reader", lambda: item.read(key))
        stage.actor("writer", lambda: item.write(key, 2))

        def check() -> str | None:
            seen = item.read(key)
            return None if seen == 2 else f"read {seen} after 2 was written"

        return check

    explored = explore(race)
    assert explored.violations == {}, explored.losing
    assert explored.is_exhaustive
    assert explored.gates["fill.loaded"] > 0
    assert explored.gates["write.stored"] > 0


def test_r1_naive_loses(world: MakeWorld) -> None:
    scene = world()
    naive = Naive(scene)

    def race(stage: Stage) -> Any:
        key = scene.key()
        scene.store.rows.write(_row(key, 1))
        stage.actor("reader", lambda: naive.read(key))
        stage.actor("writer", lambda: naive.write(key, 2))

        def check() -> str | None:
            seen = naive.read(key)
            return None if seen == 2 else "stale"

        return check

    assert (explore(race)).violations["stale"] > 0


def _row(key: str, value: Any) -> Any:
    from tiercel.typing import Change

    return Change("acme", key, value, 1)
