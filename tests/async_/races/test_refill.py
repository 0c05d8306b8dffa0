"""
Refill races: a load that an invalidation or a write overtakes (R1, R2, R3, R4).
"""

from __future__ import annotations

from typing import Any

from tests.async_.races.conftest import AsyncNaive, MakeWorld
from tests.schedules import AsyncStage, async_explore


async def test_r1_a_load_overtaken_by_a_write_is_not_kept(world: MakeWorld) -> None:
    """
    1. reader misses, loads v1
    2. writer commits v2 and clears the cache
    3. reader stores v1
    """
    scene = await world()
    item = scene.nodes[0]

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        await scene.store.rows.write(_row(key, 1))
        stage.actor("reader", lambda: item.read(key))
        stage.actor("writer", lambda: item.write(key, 2))

        async def check() -> str | None:
            seen = await item.read(key)
            return None if seen == 2 else f"read {seen} after 2 was written"

        return check

    explored = await async_explore(race)
    assert explored.violations == {}, explored.losing
    assert explored.is_exhaustive
    assert explored.gates["fill.loaded"] > 0
    assert explored.gates["write.stored"] > 0


async def test_r1_naive_loses(world: MakeWorld) -> None:
    scene = await world()
    naive = AsyncNaive(scene)

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        await scene.store.rows.write(_row(key, 1))
        stage.actor("reader", lambda: naive.read(key))
        stage.actor("writer", lambda: naive.write(key, 2))

        async def check() -> str | None:
            seen = await naive.read(key)
            return None if seen == 2 else "stale"

        return check

    assert (await async_explore(race)).violations["stale"] > 0


def _row(key: str, value: Any) -> Any:
    from tiercel.typing import Change

    return Change("acme", key, value, 1)
