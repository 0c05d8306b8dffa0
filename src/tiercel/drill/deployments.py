"""
Deployments that the drill can strike: one server, a cluster, a primary with Sentinels, or one that is given by URL.

Each is a context manager. `url` is what the cache under the drill is opened with; `victim` is the member that faults
strike. What the drill starts listens on loopback, keeps nothing on disk and ends with the drill.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tiercel._chaos import FaultProxy
from tiercel._core.redisurl import parse_redis_url
from tiercel.drill.members import LOOPBACK, Member, until
from tiercel.errors import ConfigurationError

__all__ = ["Cluster", "Deployment", "Given", "Sentinel", "Standalone"]

IN_MEMORY = ("--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0")
SLOTS = 16_384
SHARDS = 3
SENTINELS = 3
NODE_TIMEOUT_MS = 1000
SERVICE = "drill"


class Deployment(ABC):
    """
    What the drill strikes.

    Args:
        binary: Program of the servers.

    Attributes:
        kind: ``standalone``, ``cluster``, ``sentinel`` or ``given``.
        fails_over_after_s: Silence after which a dead primary is replaced; 0 where nothing replaces it.
    """

    kind = "standalone"
    fails_over_after_s = 0.0

    def __init__(self, binary: str) -> None:
        self.members: list[Member] = []
        self._binary = binary
        self._folder = tempfile.TemporaryDirectory(prefix="tiercel-drill-")

    @property
    @abstractmethod
    def url(self) -> str:
        """URL for the cache."""

    @property
    def victim(self) -> Member | None:
        """The primary that faults strike; None where the drill did not start it."""
        return self.members[0]

    @property
    def proxy(self) -> FaultProxy:
        """The proxy in front of the victim."""
        victim = self.victim
        assert victim is not None
        return victim.proxy

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it serves."""

    def wait_well(self) -> None:
        """Wait until every member that runs is back in its place."""
        until(lambda: all(member.ask("PING") == "PONG" for member in self.members if member.is_running), "all answer")

    def _member(self, *words: str) -> Member:
        member = Member(self._binary, Path(self._folder.name) / str(len(self.members)))
        self.members.append(member)
        member.start(*IN_MEMORY, *words)
        return member

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process, and remove the folder."""
        for member in reversed(self.members):
            member.close()
        self._folder.cleanup()


class Standalone(Deployment):
    """One server."""

    @property
    def url(self) -> str:
        """Where the cache finds it, through its proxies."""
        return f"redis://{LOOPBACK}:{self.proxy.port}"

    def start(self) -> None:
        """Start the server."""
        self._member()


class Cluster(Deployment):
    """Three primaries with one replica each."""

    kind = "cluster"
    fails_over_after_s = NODE_TIMEOUT_MS / 1000

    @property
    def url(self) -> str:
        """Where the cache finds it, through its proxies."""
        return f"redis+cluster://{LOOPBACK}:{self.members[1].proxy.port}"

    @property
    def victim(self) -> Member | None:
        """The primary of the first slots."""
        owner = next(int(shard[2][1]) for shard in self.members[1].ask("CLUSTER", "SLOTS") if shard[0] == 0)
        return next(member for member in self.members if member.proxy.port == owner)

    def start(self) -> None:
        """Start the nodes, join them, share out the slots and attach the replicas."""
        for _ in range(2 * SHARDS):
            self._node()
        hub = self.members[0]
        for number, member in enumerate(self.members):
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < SHARDS:
                member.ask("CLUSTER", "ADDSLOTSRANGE", *slots_of(number))
            if member is not hub:
                member.ask("CLUSTER", "MEET", LOOPBACK, hub.proxy.port, hub.bus_port)
        until(lambda: all(self._knows_all(member) for member in self.members), "the nodes know each other")
        for primary, replica in zip(self.members[:SHARDS], self.members[SHARDS:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        self.wait_well()

    def wait_well(self) -> None:
        """Wait until every node says that the cluster is whole and every replica is linked."""
        until(lambda: all(_is_well(member) for member in self.members if member.is_running), "the cluster is whole")

    def _node(self) -> None:
        member = Member(self._binary, Path(self._folder.name) / str(len(self.members)))
        self.members.append(member)
        place = ("--cluster-announce-port", str(member.proxy.port), "--cluster-port", str(member.bus_port))
        failing = ("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--cluster-replica-validity-factor", "0")
        serving = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
        member.start(*IN_MEMORY, *place, *failing, *serving)

    def _knows_all(self, member: Member) -> bool:
        nodes = str(member.ask("CLUSTER", "NODES")).splitlines()
        return len(nodes) == len(self.members) and not any("handshake" in node for node in nodes)


class Sentinel(Deployment):
    """A primary with two replicas, watched by three Sentinels."""

    kind = "sentinel"
    fails_over_after_s = NODE_TIMEOUT_MS / 1000

    def __init__(self, binary: str) -> None:
        super().__init__(binary)
        self._sentinels: list[Member] = []

    @property
    def url(self) -> str:
        """The Sentinels, which know the proxies."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self._sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def victim(self) -> Member | None:
        """Today's primary."""
        _, port = self._sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(member for member in self.members if member.proxy.port == int(port))

    def start(self) -> None:
        """Start the servers, then the Sentinels."""
        for _ in range(3):
            member = Member(self._binary, Path(self._folder.name) / str(len(self.members)))
            self.members.append(member)
            announced = ("--replica-announce-ip", LOOPBACK, "--replica-announce-port", str(member.proxy.port))
            first = self.members[0]
            follow = () if member is first else ("--replicaof", f"{LOOPBACK} {first.proxy.port}")
            member.start(*IN_MEMORY, *announced, *follow)
        until(lambda: "connected_slaves:2" in self.members[0].ask("INFO", "replication"), "the replicas are linked")
        for number in range(SENTINELS):
            self._start_sentinel(number)
        self.wait_well()

    def _start_sentinel(self, number: int) -> None:
        folder = Path(self._folder.name) / f"sentinel-{number}"
        sentinel = Member(self._binary, folder)
        self._sentinels.append(sentinel)
        folder.mkdir()
        watched = f"sentinel monitor {SERVICE} {LOOPBACK} {self.members[0].proxy.port} 2\n"
        rules = {"down-after-milliseconds": NODE_TIMEOUT_MS, "failover-timeout": 5000, "parallel-syncs": 2}
        lines = "".join(f"sentinel {name} {SERVICE} {value}\n" for name, value in rules.items())
        (folder / "sentinel.conf").write_text(watched + lines, encoding="utf-8")
        sentinel.start(str(folder / "sentinel.conf"), "--sentinel")

    def wait_well(self) -> None:
        """Wait until every Sentinel sees the primary, both replicas and the other Sentinels."""
        until(lambda: all(map(_sees_all, self._sentinels)), "the Sentinels see everything", limit_s=30.0)

    def close(self) -> None:
        """End every process, the Sentinels first."""
        for sentinel in self._sentinels:
            sentinel.close()
        super().close()


class Given(Deployment):
    """
    A server that somebody else runs: only what a proxy in front of it can do strikes it.

    Args:
        url: ``redis://…`` of one server. Behind a proxy neither a cluster's addresses nor a certificate's name hold.
    """

    kind = "given"

    def __init__(self, url: str) -> None:
        parsed = parse_redis_url(url)
        if not url.startswith("redis://"):
            raise ConfigurationError(
                "the drill goes through a proxy: give it a redis:// URL of one server, without TLS"
            )
        super().__init__("")
        address = parsed.addresses[0]
        self._proxy = FaultProxy(address.port, address.host)
        self._given = url
        self._place = f"{address.host}:{address.port}"

    @property
    def url(self) -> str:
        """The given URL, through the proxy."""
        head, at, tail = self._given.removeprefix("redis://").rpartition("@")
        path = tail.partition("/")[1:]
        return f"redis://{head}{at}{LOOPBACK}:{self._proxy.port}{''.join(path)}"

    @property
    def victim(self) -> Member | None:
        """None: its process is not the drill's."""
        return None

    @property
    def proxy(self) -> FaultProxy:
        """The proxy in front of the server."""
        return self._proxy

    def start(self) -> None:
        """Start the proxy."""
        self._proxy.start()

    def close(self) -> None:
        """End the proxy."""
        self._proxy.close()
        super().close()


def slots_of(shard: int) -> tuple[int, int]:
    """Return the first and the last slot of a shard of `Cluster`, as it starts."""
    return SLOTS * shard // SHARDS, SLOTS * (shard + 1) // SHARDS - 1


def _is_well(member: Member) -> bool:
    replication = str(member.ask("INFO", "replication"))
    state = str(member.ask("CLUSTER", "INFO"))
    is_linked = "role:master" in replication or "master_link_status:up" in replication
    return is_linked and "cluster_state:ok" in state and f"cluster_slots_assigned:{SLOTS}" in state


def _sees_all(sentinel: Member) -> bool:
    fields: list[str] = sentinel.ask("SENTINEL", "MASTER", SERVICE)
    state = dict(zip(fields[::2], fields[1::2], strict=True))
    return (state["flags"], state["num-slaves"], state["num-other-sentinels"]) == ("master", "2", "2")
