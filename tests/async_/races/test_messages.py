"""
Races of messages: an invalidation that overtakes a local fill (R5), that a fail-over loses (R9), that is told while a
node is cut off (R14); in every order of the actors' steps, each beside the naive way, which must lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.async_.races.conftest import AsyncWorld, MakeWorld, played
from tests.schedules import AsyncStage, async_explore
from tiercel import MISS, RegionOptions
from tiercel._async.backplane import AsyncBackplane
from tiercel._core.clock import SystemClock
from tiercel._core.keys import KeySpace, encode_key
from tiercel._core.message import Filled, KeysFell, Message, TagsFell, pack_batch
from tiercel._core.stream import StreamEntry, StreamState
from tiercel._gates import async_gate
from tiercel._paired import AsyncPoll
from tiercel.errors import TierUnavailable
from tiercel.observe.recorder import Recorder
from tiercel.options import BackplaneOptions
from tiercel.typing import Change, Clock, Key


class Held:
    """An announcer that keeps its messages until a schedule delivers them: the real backplane is too quick to order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def is_live(self) -> bool:
        return True

    def check(self) -> None:
        """Messages are late here, never missed."""

    def lag_s(self) -> float:
        return 0.0

    def policy_changed(self, version: int) -> None:
        """No policy changes here."""

    def key_hot(self, tenant: str, region: str, key: Key) -> None:
        """No key is hot here."""

    def keep_for(self, keep_s: float) -> None:
        """Nothing waits to be sent."""

    def keys_fell(self, tenant: str, region: str, keys: Sequence[Key], tags: Sequence[int]) -> None:
        self.messages.append(KeysFell(tenant, region, tuple(encode_key(key) for key in keys), tuple(tags)))

    def tags_fell(self, tenant: str, tags: Sequence[int]) -> None:
        self.messages.append(TagsFell(tenant, tuple(tags)))

    def filled(self, name_hash: int) -> None:
        self.messages.append(Filled(name_hash))

    def deliver(self, world: AsyncWorld, node: int) -> None:
        """Apply what was said to *node*."""
        while self.messages:
            world.caches[node]._assembly.invalidator._arrivals.apply(self.messages.pop(0))


async def held_world(world: MakeWorld) -> tuple[AsyncWorld, Held]:
    scene, held = await world(2), Held()
    scene.nodes[0].place.node.announcer = held
    return scene, held


async def test_r5_a_local_fill_that_a_message_overtook_is_not_kept(world: MakeWorld) -> None:
    """
    1. node 2 reads v1 from the far tier
    2. node 1 writes v2 everywhere and tells node 2, which has nothing to drop
    3. node 2 stores v1 locally
    """
    scene, held = await held_world(world)

    async def write(key: str) -> None:
        await scene.nodes[0].write(key, 2)
        await async_gate("message.sent")
        held.deliver(scene, 1)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        assert await scene.nodes[0].read(key) == 1
        stage.actor("reader", lambda: scene.nodes[1].read(key))
        stage.actor("writer", lambda: write(key))

        async def check() -> str | None:
            seen = await scene.nodes[1].read(key)
            return None if seen == 2 else f"node 2 goes on reading {seen}"

        return check

    await played(race, "look.far_read", "message.sent")


async def test_r5_a_local_fill_that_a_tags_message_overtook_is_not_trusted(world: MakeWorld) -> None:
    scene, held = await held_world(world)

    async def fell() -> None:
        await scene.caches[0].tenant("acme").invalidate_tags("t")
        await async_gate("message.sent")
        held.deliver(scene, 1)

    async def race(stage: AsyncStage) -> Any:
        key = scene.key()
        await scene.nodes[0].set(key, 1, tags=["t"])
        held.deliver(scene, 1)
        stage.actor("reader", lambda: scene.nodes[1].get(key))
        stage.actor("writer", fell)

        async def check() -> str | None:
            seen = await scene.nodes[1].get(key)
            return None if seen is MISS else f"node 2 goes on reading {seen}"

        return check

    await played(race, "look.far_read", "message.sent")


async def test_r5_the_naive_way_loses() -> None:
    """A local dictionary before a shared one; a message removes from the local one."""

    async def race(stage: AsyncStage) -> Any:
        far, local = {"k": 1}, dict[str, int]()

        async def read() -> None:
            value = far["k"]
            await async_gate("naive.far_read")
            local["k"] = value

        async def write() -> None:
            far["k"] = 2
            await async_gate("message.sent")
            local.pop("k", None)

        stage.actor("reader", read)
        stage.actor("writer", write)

        async def check() -> str | None:
            return None if local.get("k", far["k"]) == 2 else "stale"

        return check

    assert (await async_explore(race)).violations["stale"] > 0


async def fail_over(scene: AsyncWorld, key: str, record: Any, *, repeats: bool) -> None:
    """Bring *record* back, as a replica does that never got what followed; then make the connection anew."""
    await scene.roll_back(key, record)
    await async_gate("failed.over")
    redelivery = scene.caches[0]._assembly.redelivery
    assert redelivery is not None
    if repeats:
        redelivery.repeat_recent()
        poll = AsyncPoll(10.0)
        while redelivery.depth:
            assert await poll.again(), "it was not sent again"


async def lost_in_a_fail_over(world: MakeWorld, change: Any, *, repeats: bool) -> Any:
    """
    Return a race of a reader on node 2 with a fail-over that loses *change* of node 1.

    1. node 1 changes the row, and Redis acknowledges
    2. the master dies before its replica has that; the replica, with v1, is promoted
    3. node 2 reads v1, and keeps it locally
    """
    scene = await world(2)

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        assert await scene.nodes[0].read(key) == 1
        record = await scene.record(key)
        await change(scene, key)
        stage.actor("failing", lambda: fail_over(scene, key, record, repeats=repeats))
        stage.actor("reader", lambda: scene.nodes[1].read(key))

        async def check() -> str | None:
            seen = await scene.strong(key)
            if seen not in (2, MISS):
                return "stale"
            poll = AsyncPoll(5.0)
            while await scene.nodes[1].read(key) != 2:
                if not await poll.again():
                    return "stale on node 2"
            return None

        return check

    return race


async def overwritten(scene: AsyncWorld, key: str) -> None:
    await scene.nodes[0].write(key, 2)


async def removed(scene: AsyncWorld, key: str) -> None:
    await scene.store.rows.write(Change("acme", key, 2, 2))
    await scene.nodes[0].remove(key)


@pytest.mark.parametrize("change", [overwritten, removed])
async def test_r9_what_a_fail_over_lost_is_said_again(world: MakeWorld, change: Any) -> None:
    await played(await lost_in_a_fail_over(world, change, repeats=True), "failed.over")


@pytest.mark.parametrize("change", [overwritten, removed])
async def test_r9_without_saying_it_again_the_old_value_stays(world: MakeWorld, change: Any) -> None:
    explored = await async_explore(await lost_in_a_fail_over(world, change, repeats=False))
    assert explored.violations["stale"] == explored.schedules


class AsyncBrittleStream:
    """A far tier's stream that can be cut off and rolled back; ids go on rising, as they do with Redis' clock."""

    name = "far"

    def __init__(self, length: int) -> None:
        self._length = length
        self._entries: list[StreamEntry] = []
        self._number = 0
        self._cuts = 0

    async def publish(self, stream: bytes, body: bytes, max_entries: int) -> bytes:
        self._number += 1
        self._entries.append(StreamEntry(b"%d-0" % self._number, body))
        del self._entries[: -self._length]
        return self._entries[-1].id

    async def listen(self, stream: bytes, after: bytes, block_s: float) -> list[StreamEntry]:
        if self._cuts:
            self._cuts -= 1
            raise TierUnavailable("cut off")
        return [entry for entry in self._entries if int(entry.id[:-2]) > int(after[:-2])]

    async def stream_state(self, stream: bytes) -> StreamState:
        if not self._entries:
            return StreamState(b"0-0", b"0-0")
        return StreamState(self._entries[0].id, self._entries[-1].id)

    def cut(self) -> None:
        """Refuse the next read."""
        self._cuts += 1

    def fail_over(self) -> None:
        """Lose the newest entry, and every connection."""
        if len(self._entries) > 1:
            self._entries.pop()
        self.cut()


class Heard:
    """A receiver that knows what it was told, and what a doubt made good."""

    def __init__(self) -> None:
        self.settled: set[int] = set()
        self.said = 0

    def apply(self, message: Message) -> None:
        assert isinstance(message, Filled)
        self.settled.add(message.name_hash)

    def doubt(self, why: str) -> None:
        self.settled.update(range(self.said))

    def trust_until(self, moment_s: float) -> None:
        """Nothing is served here."""


def listener(tier: Any, receiver: Any, clock: Clock | None = None) -> AsyncBackplane:
    item = RegionOptions(name="item")
    return AsyncBackplane(
        tier,
        KeySpace("ns"),
        b"listener",
        receiver,
        clock=clock or SystemClock(),
        options=BackplaneOptions(partitions=1),
        max_staleness_s=item.max_staleness_s,
        keep_s=60.0,
        recorder=Recorder(),
    )


@pytest.mark.parametrize("length", [1, 2, 100])
@pytest.mark.parametrize("fault", ["cut", "fail_over"])
async def test_r14_what_is_told_meanwhile_is_heard_later_or_doubted(fault: str, length: int) -> None:
    """
    1. a node is cut off
    2. a key falls; the message goes to who is listening
    3. the node is back, and serves its copy: trimmed, rolled back and missed messages must all show
    """

    async def race(stage: AsyncStage) -> Any:
        tier, heard = AsyncBrittleStream(length), Heard()
        backplane = listener(tier, heard)
        await backplane._join(0)

        async def tell() -> None:
            for _ in range(3):
                await async_gate("message.told")
                heard.said += 1
                await told(tier, heard.said - 1)

        async def break_it() -> None:
            getattr(tier, fault)()
            await async_gate("far.broken")

        async def listen() -> None:
            await backplane._listened(0)
            await backplane._listened(0)

        stage.actor("teller", tell)
        stage.actor("breaker", break_it)
        stage.actor("listener", listen)

        async def check() -> str | None:
            await backplane._listened(0)
            await backplane._listened(0)
            missed = set(range(heard.said)) - heard.settled
            return f"messages {missed} were neither heard nor doubted" if missed else None

        return check

    await played(race, "message.told", "far.broken", "backplane.received")


async def told(tier: AsyncBrittleStream, number: int) -> None:
    """Publish a message as another node does."""
    await tier.publish(b"stream", pack_batch(b"teller", [Filled(number)]), 100)


async def test_r14_the_naive_way_loses() -> None:
    """Publish and subscribe: who is not connected is not told."""

    async def race(stage: AsyncStage) -> Any:
        connected, heard = [True], list[int]()

        async def tell() -> None:
            for number in range(3):
                await async_gate("message.told")
                if connected[0]:
                    heard.append(number)

        async def break_it() -> None:
            connected[0] = False
            await async_gate("far.broken")
            connected[0] = True

        stage.actor("teller", tell)
        stage.actor("breaker", break_it)

        async def check() -> str | None:
            return None if heard == [0, 1, 2] else "lost"

        return check

    assert (await async_explore(race)).violations["lost"] > 0
