# Generated from tests/async_/engine/test_hotkeys.py by tools/unasync.py. Do not edit.
"""
Hot keys: a region without local copies keeps the few that everybody reads near for a moment, and lets them fall.
"""

from __future__ import annotations

import pytest

from tests.sync_.engine.conftest import Node, until
from tiercel import MISS, Region, RegionOptions
from tiercel._sync.memory_tier import MemoryTier
from tiercel._core.frame import Frame
from tiercel._paired import Event, Poll

READS = 32
BUSY = RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, hot_reads=READS, hot_ttl_s=30.0)

either = pytest.mark.parametrize("far_url", ["memory", "redis"], indirect=True)
in_memory = pytest.mark.parametrize("far_url", ["memory"], indirect=True)


@in_memory
def test_the_report_shows_hot_keys_redacted(node: Node) -> None:
    cache = node(busy=BUSY)
    busy = cache.tenant("acme").region("busy")
    busy.set("customer-4711", 1)
    read_until_near(busy, "customer-4711")
    shown = cache.report().hot_keys["busy"]
    assert shown["acme:cust…(13)"] >= READS
    assert "4711" not in cache.report().to_json()


def busy_on(node: Node, options: RegionOptions = BUSY) -> Region:
    return (node(busy=options)).tenant("acme").region("busy")


def read_until_near(region: Region, key: str = "k") -> None:
    poll = Poll(10.0)
    while region.get_local(key) is MISS:
        region.get(key)
        assert poll.again(), "it was not promoted"


@either
def test_a_hot_key_is_served_here_for_a_moment_and_told_of(node: Node) -> None:
    busy = busy_on(node)
    busy.set_many({"k": {"n": 1}, "cold": 2})
    busy.get("cold")
    read_until_near(busy)
    stats = busy.place.core.stats.tier(busy.place.core.far.name if busy.place.core.far else "")
    before = stats.hits
    found = [busy.get("k") for _ in range(20)]
    assert found == [{"n": 1}] * 20
    assert stats.hits == before
    assert found[0] is not found[1], "callers own what they get, as without a local copy"
    assert busy.get_local("cold") is MISS
    told = busy.explain("k")
    assert told["hot"]["is_promoted"]
    assert told["verdict"] == "hit in this process: the key is hot"
    assert [event.name for event in busy.place.node.recorder.events_for("busy", "acme", "k")].count("hot_key") == 1


@either
def test_a_hot_copy_falls_with_its_key_here_and_on_other_nodes(node: Node) -> None:
    first, second = busy_on(node), busy_on(node)
    first.set("k", "v1", tags=["t"])
    read_until_near(first)
    read_until_near(second)
    first.set("k", "v2", tags=["t"])
    assert first.get("k") == "v2"
    until(lambda: second.get_local("k") is MISS)
    assert second.get("k") == "v2"
    read_until_near(first)
    first.place.node.tags.renew([first.place.node.space.tag_hash("acme", "t")], 1000)
    first.place.core.hot.table.view("acme").bump_epoch()  # type: ignore[union-attr]
    assert first.get("k") is MISS, "it carries its tags"


@either
def test_what_one_node_finds_hot_the_others_keep_as_soon_as_they_read_it(node: Node) -> None:
    first, second = busy_on(node), busy_on(node)
    first.set("k", "v1")
    read_until_near(first)
    hot = second.place.core.hot
    assert hot is not None
    until(lambda: hot.is_promoted("acme", "k"))
    for _ in range(8):
        assert second.get("k") == "v1"
    until(lambda: second.get_local("k") == "v1")


@in_memory
def test_a_strong_read_passes_over_hot_copies(node: Node) -> None:
    busy, other = busy_on(node), busy_on(node)
    busy.set("k", "v1")
    read_until_near(busy)
    other.place.node.announcer.keys_fell = lambda *_: None  # type: ignore[method-assign]  # the message is lost
    other.set("k", "v2")
    assert busy.get("k") == "v1", "eventual"
    assert busy.get("k", consistency="strong") == "v2"


@in_memory
@pytest.mark.parametrize(
    "options",
    [
        RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, hot_reads=READS, hot_keys=0),
        RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, hot_reads=READS, private=True),
    ],
    ids=["switched off", "private"],
)
def test_who_opted_out_or_is_private_keeps_nothing(node: Node, options: RegionOptions) -> None:
    busy = busy_on(node, options)
    busy.set("k", "v1")
    for _ in range(10 * READS):
        busy.get("k")
    assert busy.get_local("k") is MISS
    assert busy.place.core.hot is None


@in_memory
def test_an_invalidation_during_the_copy_is_not_overtaken(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. the copy of a hot key reads v1   2. the key is removed   3. the copy would be kept
    busy = busy_on(node)
    real, inside, go = MemoryTier.get, Event(), Event()
    busy.set("k", "v1")

    def held(self: MemoryTier, name: bytes) -> Frame | None:
        frame = real(self, name)
        inside.set()
        go.wait_for(10.0)
        return frame

    hot, near = busy.place.core.hot, busy._looker.hot
    assert hot is not None
    assert near is not None
    hot.promote("acme", "k")
    for _ in range(7):
        busy.get("k")
    with monkeypatch.context() as patched:
        patched.setattr(MemoryTier, "get", held)
        near.read("k")  # the eighth: it starts the copy
        assert inside.wait_for(10.0)
        busy.remove("k")
        go.set()
        until(lambda: not near._copying)
    assert busy.get_local("k") is MISS


@in_memory
def test_a_big_value_is_told_when_it_is_written_and_a_small_one_is_not(node: Node) -> None:
    options = RegionOptions(name="busy", tiers=("redis",), ttl_s=60.0, big_value_bytes=1000, compress_above_bytes=None)
    busy = busy_on(node, options)
    recorder = busy.place.node.recorder
    busy.set("small", "x" * 900)
    assert recorder.event_counts().get(("big_value", "busy"), 0) == 0
    busy.set("big", "x" * 2000)
    assert recorder.event_counts()["big_value", "busy"] == 1
    told = next(event for event in recorder.events() if event.name == "big_value")
    assert told.fields["size_bytes"] >= 2000
