"""
Reads while an invalidation waits that Redis did not take: on the node that made it, nothing old is read from the moment
that its call ended, whatever Redis says and whenever it answers again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from tests.async_.races.conftest import AsyncWorld, MakeWorld, played
from tests.schedules import AsyncStage, async_explore
from tiercel import MISS
from tiercel._core.undelivered import Undelivered
from tiercel._gates import async_gate
from tiercel._unsettled import Unsettled
from tiercel.errors import TierUnavailable
from tiercel.typing import Change

CHANGING = ("store_many", "invalidate_many", "expire_many", "renew_tags")


class Forgetful(Unsettled):
    """What is unsettled, forgotten at once: the naive way."""

    def add(self, number: Hashable, record: Undelivered) -> None:
        """Remember nothing."""


def deafen(scene: AsyncWorld) -> Any:
    """Let the first node's far tier answer reads, and refuse changes until what is returned is called."""
    far: Any = scene.nodes[0].place.node.far

    async def refused(*_args: Any, **_kwargs: Any) -> Any:
        raise TierUnavailable("deaf")

    for name in CHANGING:
        setattr(far, name, refused)

    def hear() -> None:
        for name in CHANGING:
            delattr(far, name)

    return hear


async def overwritten(scene: AsyncWorld, key: str) -> None:
    await scene.nodes[0].write(key, 2)


async def removed(scene: AsyncWorld, key: str) -> None:
    await scene.store.rows.write(Change("acme", key, 2, 2))
    await scene.nodes[0].remove(key)


async def fallen_by_tag(scene: AsyncWorld, key: str) -> None:
    await scene.store.rows.write(Change("acme", key, 2, 2))
    await scene.caches[0].tenant("acme").invalidate_tags("t")


async def race_of(world: MakeWorld, change: Any, consistency: Any, *, remembers: bool) -> Any:
    """
    Return a race of a reader with a change that Redis does not take at first.

    1. node 1 changes the row; Redis does not take the invalidation, which is queued; the call ends
    2. a read of node 1 finds v1 in Redis, before or while the queue is sent
    """
    scene = await world(tags=("t",))

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        redelivery = scene.caches[0]._assembly.redelivery
        assert redelivery is not None
        unsettled = Unsettled() if remembers else Forgetful()
        scene.nodes[0].place.node.process.unsettled = redelivery._unsettled = unsettled
        assert await scene.nodes[0].read(key) == 1
        hear = deafen(scene)
        ended, seen = [False], list[Any]()

        async def write() -> None:
            await change(scene, key)
            ended[0] = True
            await async_gate("write.ended")
            hear()
            await redelivery._round()

        async def read() -> None:
            for _ in range(2):
                was_over = ended[0]
                value = await scene.nodes[0].read(key, consistency=consistency)
                if was_over:
                    seen.append(value)
                await async_gate("read.ended")

        stage.actor("changes", write)
        stage.actor("reads", read)

        async def check() -> str | None:
            assert redelivery.depth == 0, "it was not sent again"
            seen.append(await scene.nodes[0].read(key, consistency="strong"))
            return "stale" if any(value not in (2, MISS) for value in seen) else None

        return check

    return race


CHANGES = [overwritten, removed, fallen_by_tag]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("consistency", ["strong", None])
async def test_what_waits_for_redis_is_not_read_from_it(world: MakeWorld, change: Any, consistency: Any) -> None:
    race = await race_of(world, change, consistency, remembers=True)
    await played(race, "write.ended", "redelivery.send", "read.ended", limit=60, exhaustive=False)


@pytest.mark.parametrize("change", CHANGES)
async def test_without_remembering_what_waits_the_old_value_is_read(world: MakeWorld, change: Any) -> None:
    race = await race_of(world, change, "strong", remembers=False)
    assert (await async_explore(race, 60)).violations["stale"] > 0


async def test_a_receipt_is_clean_once_redis_took_what_waited(world: MakeWorld) -> None:
    scene = await world()
    key = await scene.row(1)
    hear = deafen(scene)
    receipt = await scene.nodes[0].remove(key)
    assert receipt.state.queued == ["redis"]
    assert "redis" not in receipt.state.clean_s
    hear()
    assert await receipt.wait("redis", 10.0) > 0
    assert scene.nodes[0].place.node.process.unsettled.count == 0
