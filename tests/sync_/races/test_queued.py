# Generated from tests/async_/races/test_queued.py by tools/unasync.py. Do not edit.
"""
Reads while an invalidation waits that Redis did not take: on the node that made it, nothing old is read from the moment
that its call ended, whatever Redis says and whenever it answers again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from tests.sync_.races.conftest import World, MakeWorld, played
from tests.schedules import Stage, explore
from tiercel import MISS
from tiercel._core.undelivered import Undelivered
from tiercel._gates import gate
from tiercel._unsettled import Unsettled
from tiercel.errors import TierUnavailable
from tiercel.typing import Change

CHANGING = ("store_many", "invalidate_many", "expire_many", "renew_tags")


class Forgetful(Unsettled):
    """What is unsettled, forgotten at once: the naive way."""

    def add(self, number: Hashable, record: Undelivered) -> None:
        """Remember nothing."""


def deafen(scene: World) -> Any:
    """Let the first node's far tier answer reads, and refuse changes until what is returned is called."""
    far: Any = scene.nodes[0].place.node.far

    def refused(*_args: Any, **_kwargs: Any) -> Any:
        raise TierUnavailable("deaf")

    for name in CHANGING:
        setattr(far, name, refused)

    def hear() -> None:
        for name in CHANGING:
            delattr(far, name)

    return hear


def overwritten(scene: World, key: str) -> None:
    scene.nodes[0].write(key, 2)


def removed(scene: World, key: str) -> None:
    scene.store.rows.write(Change("acme", key, 2, 2))
    scene.nodes[0].remove(key)


def fallen_by_tag(scene: World, key: str) -> None:
    scene.store.rows.write(Change("acme", key, 2, 2))
    scene.caches[0].tenant("acme").invalidate_tags("t")


def race_of(world: MakeWorld, change: Any, consistency: Any, *, remembers: bool) -> Any:
    """
    Return a race of a reader with a change that Redis does not take at first.

    1. node 1 changes the row; Redis does not take the invalidation, which is queued; the call ends
    2. a read of node 1 finds v1 in Redis, before or while the queue is sent
    """
    scene = world(tags=("t",))

    def race(stage: Stage) -> Any:
        key = scene.row(1)
        redelivery = scene.caches[0]._assembly.redelivery
        assert redelivery is not None
        unsettled = Unsettled() if remembers else Forgetful()
        scene.nodes[0].place.node.process.unsettled = redelivery._unsettled = unsettled
        assert scene.nodes[0].read(key) == 1
        hear = deafen(scene)
        ended, seen = [False], list[Any]()

        def write() -> None:
            change(scene, key)
            ended[0] = True
            gate("write.ended")
            hear()
            redelivery._round()

        def read() -> None:
            for _ in range(2):
                was_over = ended[0]
                value = scene.nodes[0].read(key, consistency=consistency)
                if was_over:
                    seen.append(value)
                gate("read.ended")

        stage.actor("changes", write)
        stage.actor("reads", read)

        def check() -> str | None:
            assert redelivery.depth == 0, "it was not sent again"
            seen.append(scene.nodes[0].read(key, consistency="strong"))
            return "stale" if any(value not in (2, MISS) for value in seen) else None

        return check

    return race


CHANGES = [overwritten, removed, fallen_by_tag]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("consistency", ["strong", None])
def test_what_waits_for_redis_is_not_read_from_it(world: MakeWorld, change: Any, consistency: Any) -> None:
    race = race_of(world, change, consistency, remembers=True)
    played(race, "write.ended", "redelivery.send", "read.ended", limit=60, exhaustive=False)


@pytest.mark.parametrize("change", CHANGES)
def test_without_remembering_what_waits_the_old_value_is_read(world: MakeWorld, change: Any) -> None:
    race = race_of(world, change, "strong", remembers=False)
    assert (explore(race, 60)).violations["stale"] > 0


def test_a_receipt_is_clean_once_redis_took_what_waited(world: MakeWorld) -> None:
    scene = world()
    key = scene.row(1)
    hear = deafen(scene)
    receipt = scene.nodes[0].remove(key)
    assert receipt.state.queued == ["redis"]
    assert "redis" not in receipt.state.clean_s
    hear()
    assert receipt.wait("redis", 10.0) > 0
    assert scene.nodes[0].place.node.process.unsettled.count == 0
