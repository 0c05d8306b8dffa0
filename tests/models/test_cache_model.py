"""
A cache against a dictionary: any order of verbs, time, evictions, fail-overs and restarts gives what that has.

The dictionary is the truth about what was last stored and has neither fallen nor run out. The cache may forget
(evictions, restarts), and must never give anything else.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tiercel import MISS, Cache, CacheOptions, Matrix, RegionOptions
from tiercel._core.clock import ManualClock
from tiercel._process import Process
from tiercel._sync.memory_tier import MemoryTier

KEYS = [f"k{number}" for number in range(4)]
TAGS = ["red", "blue"]
TTL_S = 100.0
keys, nodes, tags = st.sampled_from(KEYS), st.sampled_from([0, 1]), st.sampled_from(TAGS)


class Model(RuleBasedStateMachine):
    """Two nodes, one far tier, one clock; strong reads, so that what nodes tell each other need not be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.records = Process(self.clock).records
        self.truth: dict[str, tuple[int, float, tuple[str, ...]]] = {}
        self.least: dict[tuple[int, str], int] = {}
        """What each node did last to a key: values grow, so none below this may be seen there."""
        self.number = 0
        item = RegionOptions(name="item", tiers=("local", "redis"), ttl_s=TTL_S, ttl_jitter=0.0)
        self.matrix = Matrix.of(item, CacheOptions(namespace="model"))
        self.caches = [self.opened(), self.opened()]

    def opened(self) -> Cache:
        process = Process(self.clock)
        process.records = self.records
        return Cache(self.matrix, process=process).start()

    def region(self, node: int) -> Any:
        return self.caches[node].tenant("acme").region("item")

    def alive(self, key: str) -> Any:
        value, ends, _ = self.truth.get(key, (MISS, 0.0, ()))
        return value if ends > self.clock.monotonic() else MISS

    @rule(node=nodes, key=keys, tagged=st.lists(tags, unique=True), ttl_s=st.sampled_from([1.0, 10.0, TTL_S]))
    def set(self, node: int, key: str, tagged: list[str], ttl_s: float) -> None:
        self.number += 1
        self.region(node).set(key, self.number, tags=tagged, ttl_s=ttl_s)
        self.truth[key] = self.number, self.clock.monotonic() + ttl_s, tuple(tagged)
        self.least[node, key] = self.number

    @rule(node=nodes, key=keys)
    def load(self, node: int, key: str) -> None:
        self.number += 1
        got = self.region(node).get_or_load(key, lambda: self.number, consistency="strong")
        assert got in (self.alive(key), self.number)
        if got == self.number:
            self.truth[key] = got, self.clock.monotonic() + TTL_S, ()

    @rule(node=nodes, key=keys, verb=st.sampled_from(["expire", "remove", "delete"]))
    def fall(self, node: int, key: str, verb: str) -> None:
        getattr(self.region(node), verb)(key)
        self.truth.pop(key, None)
        self.least[node, key] = self.number + 1

    @rule(node=nodes, key=keys)
    def get(self, node: int, key: str) -> None:
        """An eventual read may be behind what another node did, never behind what its own node did."""
        seen = self.region(node).get(key)
        assert seen is MISS or seen >= self.least.get((node, key), 0), (node, key, seen)

    @rule(node=nodes, tag=tags)
    def fall_by_tag(self, node: int, tag: str) -> None:
        self.caches[node].tenant("acme").invalidate_tags(tag)
        self.truth = {key: row for key, row in self.truth.items() if tag not in row[2]}

    @rule(node=nodes)
    def clear(self, node: int) -> None:
        self.region(node).clear()
        self.truth.clear()

    @rule(seconds=st.sampled_from([0.5, 6.0, 60.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(key=keys)
    def evict(self, key: str) -> None:
        self.records.evict(self.region(0).place.name(key))
        self.truth.pop(key, None)

    @rule(tag=tags)
    def evict_tag(self, tag: str) -> None:
        space = self.region(0).place.node.space
        self.records.evict(space.tag_key(space.tag_hash("acme", tag)))
        self.truth = {key: row for key, row in self.truth.items() if tag not in row[2]}

    @rule(node=nodes, key=keys)
    def fail_over(self, node: int, key: str) -> None:
        """The key's last change is lost: an older record is back until the node that made the change repeats it."""
        far = self.region(node).place.node.far
        assert isinstance(far, MemoryTier)
        before = far.get(self.region(node).place.name(key))
        self.fall(node, key, "remove")
        if before is not None:
            self.records.put(self.region(node).place.name(key), before)
        redelivery = self.caches[node]._assembly.redelivery
        assert redelivery is not None
        redelivery.repeat_recent()
        redelivery._round()
        self.truth.pop(key, None)

    @rule(node=nodes)
    def restart(self, node: int) -> None:
        self.caches[node].close()
        self.caches[node] = self.opened()

    @invariant()
    def gives_nothing_but_the_truth(self) -> None:
        for node in (0, 1):
            for key in KEYS:
                seen = self.region(node).get(key, consistency="strong")
                assert seen in (MISS, self.alive(key)), (node, key, seen, self.alive(key))

    def teardown(self) -> None:
        for cache in self.caches:
            cache.close()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
