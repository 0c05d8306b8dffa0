"""
A Redis Cluster of three masters with one replica each, assembled with plain commands, so that Valkey serves as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.rig import resp
from tests.rig.process import (
    LOOPBACK,
    Process,
    Server,
    Unavailable,
    free_port,
    wait_until,
)
from tests.rig.redis import IN_MEMORY, answers, any_binary, engine_version, info

SLOTS = 16_384
MASTERS = 3


@dataclass
class Node:
    """One member: its port, bus port, folder and process. `process` is replaced by a restart."""

    port: int
    bus_port: int
    home: Path
    process: Process

    @property
    def id(self) -> str:
        """The node's cluster id."""
        return str(resp.call(self.port, "CLUSTER", "MYID"))

    @property
    def is_master(self) -> bool:
        """Whether the node says that it is a master."""
        return info(self.port, "replication")["role"] == "master"


class RedisCluster(Server):
    """
    Three masters, three replicas, ready for a kill: every replica's link is up.

    Args:
        node_timeout_ms: Silence after which a node counts as failed; a killed master is replaced after twice that.
    """

    name = "redis-cluster"

    def __init__(self, node_timeout_ms: int = 1000) -> None:
        super().__init__()
        self.node_timeout_ms = node_timeout_ms
        self.nodes: list[Node] = []

    @property
    def url(self) -> str:
        """``redis://`` address of the first node."""
        return f"redis://{LOOPBACK}:{self.nodes[0].port}"

    @property
    def ports(self) -> list[int]:
        """Ports of all six nodes, dead ones included."""
        return [node.port for node in self.nodes]

    @property
    def version(self) -> str:
        """Engine and version, as the first node says."""
        return engine_version(self.nodes[0].port)

    def start(self) -> None:
        """Start the nodes, join them, share out the slots, attach the replicas, wait until all is well."""
        binary = any_binary()
        for number in range(2 * MASTERS):
            port, bus_port, home = free_port(), free_port(), self.folder(str(number))
            self.nodes.append(Node(port, bus_port, home, self._spawn(binary, port, bus_port, home)))
        self._join()
        for master, replica in zip(self.nodes[:MASTERS], self.nodes[MASTERS:], strict=True):
            resp.call(replica.port, "CLUSTER", "REPLICATE", master.id)
        self.wait_ready()

    def _spawn(self, binary: Path, port: int, bus_port: int, home: Path) -> Process:
        place = ("--port", str(port), "--cluster-port", str(bus_port), "--bind", LOOPBACK, "--dir", str(home))
        cluster = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
        failing = ("--cluster-node-timeout", str(self.node_timeout_ms), "--cluster-replica-validity-factor", "0")
        serving = ("--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")
        command = [str(binary), *place, *cluster, *failing, *serving, *IN_MEMORY]
        return self.spawn(command, lambda: answers(port), home=home)

    def _join(self) -> None:
        for number, node in enumerate(self.nodes):
            resp.call(node.port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < MASTERS:
                first, last = SLOTS * number // MASTERS, SLOTS * (number + 1) // MASTERS - 1
                resp.call(node.port, "CLUSTER", "ADDSLOTSRANGE", first, last)
        hub = self.nodes[0]
        for node in self.nodes[1:]:
            resp.call(node.port, "CLUSTER", "MEET", LOOPBACK, hub.port, hub.bus_port)
        wait_until(lambda: all(_knows(node.port, len(self.nodes)) for node in self.nodes), "the nodes' meeting")

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until every running node says ok and every replica's link to its master is up."""
        wait_until(lambda: all(_is_well(node.port) for node in self.running), "cluster_state:ok", timeout_s=timeout_s)

    @property
    def running(self) -> list[Node]:
        """Nodes whose process runs."""
        return [node for node in self.nodes if node.process.is_running]

    def masters(self) -> list[Node]:
        """Return the running nodes that say they are masters."""
        return [node for node in self.running if node.is_master]

    def owner_of_key(self, key: str) -> Node:
        """Return the running node that owns the slot of *key*."""
        slot = resp.call(self.running[0].port, "CLUSTER", "KEYSLOT", key)
        assert isinstance(slot, int)
        return self.owner_of_slot(slot)

    def owner_of_slot(self, slot: int) -> Node:
        """Return the running node that owns *slot*, as the first running node sees it."""
        shards = resp.call(self.running[0].port, "CLUSTER", "SLOTS")
        assert isinstance(shards, list)
        for shard in shards:
            match shard:
                case [int(first), int(last), [_, int(port), *_], *_] if first <= slot <= last:
                    return next(node for node in self.nodes if node.port == port)
        raise Unavailable(f"nobody owns slot {slot}")

    def kill_node(self, node: Node) -> None:
        """SIGKILL *node*. A killed master is replaced by its replica; `wait_ready` does not wait for that."""
        node.process.kill()
        self.processes.remove(node.process)

    def restart_node(self, node: Node) -> None:
        """Start a killed *node* again on its port and folder: it rejoins as what it then is."""
        node.process = self._spawn(any_binary(), node.port, node.bus_port, node.home)

    def migrate_slot(self, slot: int, target: Node) -> None:
        """Move *slot* with its keys to *target*, as a live resharding does."""
        source = self.owner_of_slot(slot)
        self.begin_migration(slot, source, target)
        while keys := resp.call(source.port, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            assert isinstance(keys, list)
            resp.call(source.port, "MIGRATE", LOOPBACK, target.port, "", 0, 5000, "KEYS", *[str(key) for key in keys])
        self.finish_migration(slot, target)

    def begin_migration(self, slot: int, source: Node, target: Node) -> None:
        """Mark *slot* as moving: *source* answers ASK for keys that it no longer has."""
        resp.call(target.port, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        resp.call(source.port, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def finish_migration(self, slot: int, target: Node) -> None:
        """Give *slot* to *target* and tell every master: the others answer MOVED from now on."""
        for node in [target, *(other for other in self.masters() if other is not target)]:
            resp.call(node.port, "CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def flush(self) -> None:
        """Delete every key on every master."""
        for node in self.masters():
            resp.call(node.port, "FLUSHALL")

    def cli(self, *words: str | int | bytes, node: Node | None = None) -> resp.Reply:
        """Run one command on *node* (the first by default); redirections are not followed."""
        return resp.call((node or self.nodes[0]).port, *words)


def _knows(port: int, count: int) -> bool:
    reply = str(resp.call(port, "CLUSTER", "NODES"))
    return reply.count("connected\n") + reply.count("connected ") >= count and "handshake" not in reply


def _is_well(port: int) -> bool:
    replication = info(port, "replication")
    is_linked = replication["role"] == "master" or replication.get("master_link_status") == "up"
    state = str(resp.call(port, "CLUSTER", "INFO"))
    return is_linked and "cluster_state:ok" in state and "cluster_slots_assigned:16384" in state
