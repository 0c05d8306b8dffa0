# Generated from tests/async_/races/test_bounds.py by tools/unasync.py. Do not edit.
"""
The bounds of a local copy: what is left in the far tier, ``max_staleness`` after the last sign of life; and nodes whose
clocks disagree.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.sync_.races.conftest import MakeWorld, played
from tests.sync_.races.test_messages import listener
from tests.schedules import Stage
from tiercel import MISS
from tiercel._core.clock import ManualClock
from tiercel._core.stream import StreamState
from tiercel._paired import run_blocking
from tiercel.errors import TierUnavailable

SKEWS_S = (5.0, -5.0)


def test_a_local_copy_lives_no_longer_than_what_is_left_in_the_far_tier(world: MakeWorld) -> None:
    scene = world(2, ttl_s=600.0)
    first, second = scene.nodes
    first.set("k", 1, ttl_s=3.0)
    assert second.get("k") == 1
    assert second.place.view is not None
    left_s = second.place.view.ttl("k")
    assert left_s is not None
    assert 0 < left_s <= 3.0


@pytest.mark.parametrize("skews_s", [SKEWS_S, SKEWS_S[::-1]])
def test_clocks_that_disagree_neither_prolong_nor_shorten_a_life(world: MakeWorld, skews_s: Any) -> None:
    scene = world(2, skews_s=skews_s)
    for writer, reader in (scene.nodes, scene.nodes[::-1]):
        writer.set("k", 1, ttl_s=4.0)
        assert reader.get("k", consistency="strong") == 1
        left_s = reader.ttl("k")
        assert left_s is not None
        assert 1.0 < left_s <= 4.5


@pytest.mark.parametrize("skews_s", [SKEWS_S, SKEWS_S[::-1]])
def test_clocks_that_disagree_let_no_older_write_win(world: MakeWorld, skews_s: Any) -> None:
    scene = world(2, skews_s=skews_s)

    def race(stage: Stage) -> Any:
        key = scene.row(0)
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("first", lambda: scene.nodes[0].write(key, "A"))
        stage.actor("second", lambda: scene.nodes[1].write(key, "B"))

        def check() -> str | None:
            row = scene.store.rows.read("acme", key)
            assert row is not None
            seen = scene.strong(key)
            return None if seen in (row.value, MISS) else f"the store holds {row.value}, the cache says {seen}"

        return check

    played(race, "write.stored", limit=250, exhaustive=False)


class Trusting:
    """A receiver that notes until when it may serve, and why it was made to doubt."""

    def __init__(self) -> None:
        self.until_s = math.inf
        self.doubts: list[str] = []

    def apply(self, message: Any) -> None:
        """Nothing is told here."""

    def doubt(self, why: str) -> None:
        self.doubts.append(why)

    def trust_until(self, moment_s: float) -> None:
        self.until_s = moment_s


class SilentTier:
    """A far tier that answers as long as it is told to."""

    name = "far"

    def __init__(self) -> None:
        self.answers = True

    def publish(self, stream: bytes, body: bytes, max_entries: int) -> bytes:
        return b"1-0"

    def listen(self, stream: bytes, after: bytes, block_s: float) -> list[Any]:
        if not self.answers:
            raise TierUnavailable("silent")
        return []

    def stream_state(self, stream: bytes) -> StreamState:
        return StreamState(b"1-0", b"1-0")


def test_every_sign_of_life_trusts_for_the_bound_and_silence_ends_it() -> None:
    tier, trusting, clock = SilentTier(), Trusting(), ManualClock()
    backplane = listener(tier, trusting, clock)
    backplane._join(0)
    assert trusting.until_s == clock.monotonic() + 5.0
    clock.advance(3.0)
    backplane._listened(0)
    assert trusting.until_s == clock.monotonic() + 5.0
    tier.answers = False
    clock.advance(4.9)
    backplane._listened(0)
    assert trusting.doubts == []
    clock.advance(0.2)
    backplane._listened(0)
    assert trusting.doubts == ["the backplane was silent"]
    assert trusting.until_s == math.inf  # all that was there is suspect; what comes now lives no longer than the bound
    tier.answers = True
    backplane._listened(0)
    assert trusting.doubts[1:] == ["the connection was made anew"]
    assert trusting.until_s == clock.monotonic() + 5.0


def test_a_frozen_process_serves_nothing_old_before_it_has_heard_anything(world: MakeWorld) -> None:
    """
    1. node 2 holds v1 and is frozen
    2. v2 is written
    3. node 2 goes on: its first read comes before its listener's first turn
    """
    scene = world(2)
    key = scene.row(1)
    reader = scene.nodes[1]
    assert reader.read(key) == 1
    assert reader.get_local(key) == 1
    process = reader.place.node.process
    process.trust_until(process.clock.monotonic())
    assert reader.get_local(key) is MISS


@pytest.mark.parametrize("far_url", ["cluster"], indirect=True)
def test_a_slot_that_moves_under_a_race_changes_nothing(world: MakeWorld, redis_cluster: Any) -> None:
    """R1 between two nodes while the key's slot goes to another master: MOVED and ASK in the middle of a fill."""
    scene = world(2)

    def migrate(name: str) -> None:
        owner = redis_cluster.owner_of_key(name)
        target = next(node for node in redis_cluster.masters() if node is not owner)
        redis_cluster.migrate_slot(int(redis_cluster.cli("CLUSTER", "KEYSLOT", name)), target)

    def race(stage: Stage) -> Any:
        key = scene.row(1)
        name = scene.nodes[0].place.name(key).decode()
        stage.actor("reader", lambda: scene.nodes[0].read(key))
        stage.actor("writer", lambda: scene.nodes[1].write(key, 2))
        stage.actor("mover", lambda: run_blocking(migrate, name))
        return scene.ends_with(key, 2)

    played(race, "fill.loaded", "write.stored", limit=60, exhaustive=False)
