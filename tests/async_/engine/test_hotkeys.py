"""
Hot keys: a region without local copies keeps the few that everybody reads near for a moment, and lets them fall.
"""

from __future__ import annotations

import pytest

from tests.async_.engine.conftest import Node, until
from tiercel import MISS, AsyncRegion, RegionOptions
from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._core.frame import Frame
from tiercel._paired import AsyncEvent, AsyncPoll

READS = 32
BUSY = RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, hot_reads=READS, hot_ttl_s=30.0)

either = pytest.mark.parametrize("far_url", ["memory", "redis"], indirect=True)
in_memory = pytest.mark.parametrize("far_url", ["memory"], indirect=True)


@in_memory
async def test_the_report_shows_hot_keys_redacted(node: Node) -> None:
    cache = await node(busy=BUSY)
    busy = cache.tenant("acme").region("busy")
    await busy.set("customer-4711", 1)
    await read_until_near(busy, "customer-4711")
    shown = cache.report().hot_keys["busy"]
    assert shown["acme:cust…(13)"] >= READS
    assert "4711" not in cache.report().to_json()


async def busy_on(node: Node, options: RegionOptions = BUSY) -> AsyncRegion:
    return (await node(busy=options)).tenant("acme").region("busy")


async def read_until_near(region: AsyncRegion, key: str = "k") -> None:
    poll = AsyncPoll(10.0)
    while region.get_local(key) is MISS:
        await region.get(key)
        assert await poll.again(), "it was not promoted"


@either
async def test_a_hot_key_is_served_here_for_a_moment_and_told_of(node: Node) -> None:
    busy = await busy_on(node)
    await busy.set_many({"k": {"n": 1}, "cold": 2})
    await busy.get("cold")
    await read_until_near(busy)
    stats = busy.place.core.stats.tier(busy.place.core.far.name if busy.place.core.far else "")
    before = stats.hits
    found = [await busy.get("k") for _ in range(20)]
    assert found == [{"n": 1}] * 20
    assert stats.hits == before
    assert found[0] is not found[1], "callers own what they get, as without a local copy"
    assert busy.get_local("cold") is MISS
    told = await busy.explain("k")
    assert told["hot"]["is_promoted"]
    assert told["verdict"] == "hit in this process: the key is hot"
    assert [event.name for event in busy.place.node.recorder.events_for("busy", "acme", "k")].count("hot_key") == 1


@either
async def test_a_hot_copy_falls_with_its_key_here_and_on_other_nodes(node: Node) -> None:
    first, second = await busy_on(node), await busy_on(node)
    await first.set("k", "v1", tags=["t"])
    await read_until_near(first)
    await read_until_near(second)
    await first.set("k", "v2", tags=["t"])
    assert await first.get("k") == "v2"
    await until(lambda: second.get_local("k") is MISS)
    assert await second.get("k") == "v2"
    await read_until_near(first)
    await first.place.node.tags.renew([first.place.node.space.tag_hash("acme", "t")], 1000)
    first.place.core.hot.table.view("acme").bump_epoch()  # type: ignore[union-attr]
    assert await first.get("k") is MISS, "it carries its tags"


@either
async def test_what_one_node_finds_hot_the_others_keep_as_soon_as_they_read_it(node: Node) -> None:
    first, second = await busy_on(node), await busy_on(node)
    await first.set("k", "v1")
    await read_until_near(first)
    hot = second.place.core.hot
    assert hot is not None
    await until(lambda: hot.is_promoted("acme", "k"))
    for _ in range(8):
        assert await second.get("k") == "v1"
    await until(lambda: second.get_local("k") == "v1")


@in_memory
async def test_a_strong_read_passes_over_hot_copies(node: Node) -> None:
    busy, other = await busy_on(node), await busy_on(node)
    await busy.set("k", "v1")
    await read_until_near(busy)
    other.place.node.announcer.keys_fell = lambda *_: None  # type: ignore[method-assign]  # the message is lost
    await other.set("k", "v2")
    assert await busy.get("k") == "v1", "eventual"
    assert await busy.get("k", consistency="strong") == "v2"


@in_memory
@pytest.mark.parametrize(
    "options",
    [
        RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, hot_reads=READS, hot_keys=0),
        RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, hot_reads=READS, private=True),
    ],
    ids=["switched off", "private"],
)
async def test_who_opted_out_or_is_private_keeps_nothing(node: Node, options: RegionOptions) -> None:
    busy = await busy_on(node, options)
    await busy.set("k", "v1")
    for _ in range(10 * READS):
        await busy.get("k")
    assert busy.get_local("k") is MISS
    assert busy.place.core.hot is None


@in_memory
async def test_an_invalidation_during_the_copy_is_not_overtaken(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. the copy of a hot key reads v1   2. the key is removed   3. the copy would be kept
    busy = await busy_on(node)
    real, inside, go = AsyncMemoryTier.get, AsyncEvent(), AsyncEvent()
    await busy.set("k", "v1")

    async def held(self: AsyncMemoryTier, name: bytes) -> Frame | None:
        frame = await real(self, name)
        inside.set()
        await go.wait_for(10.0)
        return frame

    hot, near = busy.place.core.hot, busy._looker.hot
    assert hot is not None
    assert near is not None
    hot.promote("acme", "k")
    for _ in range(7):
        await busy.get("k")
    with monkeypatch.context() as patched:
        patched.setattr(AsyncMemoryTier, "get", held)
        near.read("k")  # the eighth: it starts the copy
        assert await inside.wait_for(10.0)
        await busy.remove("k")
        go.set()
        await until(lambda: not near._copying)
    assert busy.get_local("k") is MISS


@in_memory
async def test_a_big_value_is_told_when_it_is_written_and_a_small_one_is_not(node: Node) -> None:
    options = RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, big_value_bytes=1000, compress_above_bytes=None)
    busy = await busy_on(node, options)
    recorder = busy.place.node.recorder
    await busy.set("small", "x" * 900)
    assert recorder.event_counts().get(("big_value", "busy"), 0) == 0
    await busy.set("big", "x" * 2000)
    assert recorder.event_counts()["big_value", "busy"] == 1
    told = next(event for event in recorder.events() if event.name == "big_value")
    assert told.fields["size_bytes"] >= 2000
