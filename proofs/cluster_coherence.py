"""
Coherence on a Redis Cluster while a slot moves and a master is killed: the stress of `proofs.stress` on 3 + 3 nodes.

While a slot moves nothing may be stale at all. A killed master takes acknowledged changes with it, and until a replica
is promoted invalidations wait in their journal: reads may be stale for that long. Once the cluster is well again and
the journals are empty, every node must agree with the store.

Run: ``python -m proofs.cluster_coherence [--seconds 15] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from proofs.stress import stress
from tests.rig import RedisCluster

SETTLE_S = 10.0


def migrate(cluster: RedisCluster, seconds: float) -> None:
    """Move slots between masters for *seconds*."""
    masters = cluster.masters()
    for slot in range(0, 16_384, 1000):
        if threading.Event().wait(seconds / 17):
            return
        owner = cluster.owner_of_slot(slot)
        cluster.migrate_slot(slot, next(node for node in masters if node is not owner))


def kill(cluster: RedisCluster, seconds: float) -> None:
    """Kill a master in the middle."""
    threading.Event().wait(seconds / 2)
    cluster.kill_node(cluster.masters()[0])


def disturbed(disturb: Callable[[RedisCluster, float], None], seconds: float, settle_s: float) -> dict[str, Any]:
    """Run the stress on a cluster of its own while *disturb* runs beside it; return its figures."""
    with RedisCluster() as cluster:
        beside = threading.Thread(target=disturb, args=(cluster, seconds))
        beside.start()
        tally = asyncio.run(stress(cluster.url.replace("redis://", "redis+cluster://"), seconds, settle_s))
        beside.join()
    return tally.figures()


def main() -> int:
    """Run the command line; exit status 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--short", action="store_true", help="6 seconds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds = 6.0 if arguments.short else arguments.seconds
    moved, killed = disturbed(migrate, seconds, 1.0), disturbed(kill, seconds, SETTLE_S)
    figures = {"slots_moved": moved, "master_killed": killed}
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, row in figures.items():
            print(f"{name:14} " + ", ".join(f"{key} {value}" for key, value in row.items()))
    return 0 if moved["violations"] == 0 and killed["stale_at_end"] == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
