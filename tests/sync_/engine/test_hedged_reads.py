# Generated from tests/async_/engine/test_hedged_reads.py by tools/unasync.py. Do not edit.
"""
Hedged reads: a replica answers where the primary is late, within a budget, and never with what is known to have fallen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.sync_.engine.conftest import Node
from tests.rig.cluster import RedisCluster
from tests.rig.process import LOOPBACK
from tests.rig.redis import RedisServer, info
from tests.rig.sentinel import RedisSentinel
from tiercel import Region, RegionOptions, read_your_writes
from tiercel._sync.hedge import Hedge
from tiercel._core.floors import Floors
from tiercel._paired import Poll
from tiercel.testing import FaultProxy

LATE_S = 0.8
PATIENT_S = 10.0
"""Longest that the primary is waited for: far more than it is late, so that a busy machine changes nothing."""
DOC = RegionOptions(name="doc", tiers=("redis",), ttl_s=600.0, hot_keys=0)

pytestmark = pytest.mark.parametrize("far_url", [None], ids=["replicated"])


@dataclass
class Pair:
    """A primary behind a proxy, a replica that follows it through another, and a region that reads from both."""

    primary: FaultProxy
    replication: FaultProxy
    replica: RedisServer
    doc: Region

    @property
    def hedge(self) -> Hedge:
        """What asks the replica."""
        hedge = self.doc.place.node.hedge
        assert hedge is not None
        return hedge

    def replicated(self, key: str) -> None:
        """Wait until the replica has *key* and there is a connection to it."""
        name, poll = self.doc.place.name(key), Poll(10.0)
        while self.hedge._replicas.get(name, 1.0) is None:
            assert poll.again()


@pytest.fixture
def pair(node: Node) -> Iterator[Pair]:
    with (
        RedisServer("--repl-diskless-sync-delay", "0") as main,
        FaultProxy(port=main.port) as replication,
        RedisServer("--replicaof", f"{LOOPBACK} {replication.port}") as replica,
        FaultProxy(port=main.port) as primary,
    ):
        poll = Poll(20.0)
        while info(replica.port, "replication").get("master_link_status") != "up":
            assert poll.again()
        url = f"redis://{LOOPBACK}:{primary.port}"
        cache = node(redis=url, hedge_share=0.2, redis_timeout_s=PATIENT_S, doc=DOC)
        made = Pair(primary, replication, replica, cache.tenant("acme").region("doc"))
        made.doc.place.node.process.keep_floors().all_fell(0)  # nothing fell before the test began
        yield made
        primary.heal()
        cache.close()


def test_a_late_primary_is_answered_for_by_its_replica(pair: Pair) -> None:
    pair.doc.set("k", "v1")
    pair.doc.place.node.process.keep_floors().all_fell(0)
    pair.replicated("k")
    pair.primary.slow(LATE_S)
    assert pair.doc.get("k") == "v1"
    assert (pair.hedge.asked, pair.hedge.won) == (1, 1)


def test_an_early_primary_is_not_hedged(pair: Pair) -> None:
    pair.doc.set("k", "v1")
    assert pair.doc.get("k") == "v1"
    assert pair.hedge.won == 0


def test_strong_reads_and_reads_of_ones_writes_ask_the_primary_alone(pair: Pair) -> None:
    pair.doc.set("k", "v1")
    pair.replicated("k")
    pair.primary.slow(0.1)
    assert pair.doc.get("k", consistency="strong") == "v1"
    pair.doc.get("k", consistency=read_your_writes(1))
    assert pair.hedge.asked == 0


def test_the_budget_bounds_the_extra_reads(pair: Pair) -> None:
    pair.doc.set("k", "v1")
    pair.replicated("k")
    pair.hedge._late_s.most = pair.hedge._late_s.value = 0.001
    pair.primary.slow(0.02)
    for _ in range(100):
        pair.doc.get("k")
    assert pair.hedge.asked <= 0.2 * 100 + 5, "every read was late"
    assert pair.hedge.asked >= 5


def _after_a_lagging_replica(pair: Pair) -> str:
    """Return what is read after a change that the replica has not got, from a primary that is late."""
    pair.doc.set("k", "v1")
    pair.replicated("k")
    pair.replication.deaf()
    pair.doc.set("k", "v2")
    pair.primary.slow(LATE_S)
    seen: str = pair.doc.get("k")
    return seen


def test_a_lagging_replica_is_refused(pair: Pair) -> None:
    assert _after_a_lagging_replica(pair) == "v2"
    assert (pair.hedge.asked, pair.hedge.won) == (1, 0)


def test_without_floors_the_lagging_replica_wins(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Floors, "admits", lambda self, key, created_ms: True)
    assert _after_a_lagging_replica(pair) == "v1"


def test_a_replica_that_lost_its_primary_is_not_believed(pair: Pair) -> None:
    pair.doc.set("k", "v1")
    pair.doc.place.node.process.keep_floors().all_fell(0)
    pair.replicated("k")
    pair.replication.stop()
    poll = Poll(10.0)
    while info(pair.replica.port, "replication").get("master_link_status") == "up":
        assert poll.again()
    pair.primary.slow(LATE_S)
    assert pair.doc.get("k") == "v1"
    assert (pair.hedge.asked, pair.hedge.won) == (1, 0)


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_replicas_of_a_cluster_and_behind_sentinels_are_found_and_read(
    node: Node, kind: str, redis_cluster: RedisCluster, redis_sentinel: RedisSentinel
) -> None:
    url = redis_sentinel.url if kind == "sentinel" else redis_cluster.url.replace("redis://", "redis+cluster://")
    doc = (node(redis=url, hedge_share=0.2, doc=DOC)).tenant("acme").region("doc")
    hedge = doc.place.node.hedge
    assert hedge is not None
    doc.set("k", "v1")
    name, poll = doc.place.name("k"), Poll(20.0)
    while hedge._replicas.get(name, 1.0) is None:
        assert poll.again(), "no replica has it"
    doc.place.node.process.keep_floors().all_fell(0)
    frame = hedge._from_replica(name, doc.place.flight_key("k"))
    assert frame is not None
    assert frame.has_body
