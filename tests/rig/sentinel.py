"""
A master with two replicas, watched by three sentinels.
"""

from __future__ import annotations

from tests.rig import resp
from tests.rig.process import LOOPBACK, Process, Server, free_port, wait_until
from tests.rig.redis import IN_MEMORY, answers, any_binary, engine_version, info

QUORUM = 2


class RedisSentinel(Server):
    """
    One master, two replicas, three sentinels, ready for a fail-over.

    Args:
        down_after_ms: Silence after which a sentinel calls the master down.

    The service is called `service`; `sentinel_ports` and `master_port` are what a client needs.
    """

    name = "redis-sentinel"
    service = "tiercel"

    def __init__(self, down_after_ms: int = 1000) -> None:
        super().__init__()
        self.down_after_ms = down_after_ms
        self.ports: list[int] = []
        self.sentinel_ports: list[int] = []
        self._by_port: dict[int, Process] = {}

    @property
    def url(self) -> str:
        """Address of the service through the sentinels: ``redis+sentinel://host:port,…/service/0``."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{hosts}/{self.service}/0"

    @property
    def version(self) -> str:
        """Engine and version, as the first server says."""
        return engine_version(self.sentinel_ports[0])

    def start(self) -> None:
        """Start the servers and the sentinels, and wait until each sentinel knows all the others and both replicas."""
        self.ports = [free_port() for _ in range(3)]
        for port in self.ports:
            self._start_server(port, master_port=self.ports[0] if port != self.ports[0] else None)
        wait_until(lambda: info(self.ports[0], "replication")["connected_slaves"] == "2", "the replicas")
        self.sentinel_ports = [free_port() for _ in range(3)]
        for port in self.sentinel_ports:
            self._start_sentinel(port)
        wait_until(lambda: all(self._sees_all(port) for port in self.sentinel_ports), "the sentinels' meeting")

    def _start_server(self, port: int, master_port: int | None) -> None:
        home = self.folder(str(port))
        place = ("--port", str(port), "--bind", LOOPBACK, "--dir", str(home), "--repl-diskless-sync-delay", "0")
        follow = ("--replicaof", f"{LOOPBACK} {master_port}") if master_port else ()
        command = [str(any_binary()), *place, *IN_MEMORY, *follow]
        self._by_port[port] = self.spawn(command, lambda: answers(port), home=home)

    def _start_sentinel(self, port: int) -> None:
        home = self.folder(str(port))
        lines = [
            f"port {port}",
            f"bind {LOOPBACK}",
            f"dir {home}",
            f"sentinel monitor {self.service} {LOOPBACK} {self.ports[0]} {QUORUM}",
            f"sentinel down-after-milliseconds {self.service} {self.down_after_ms}",
            f"sentinel failover-timeout {self.service} 5000",
            f"sentinel parallel-syncs {self.service} 2",
        ]
        (home / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [str(any_binary()), str(home / "sentinel.conf"), "--sentinel"]
        self._by_port[port] = self.spawn(command, lambda: answers(port), home=home)

    def _sees_all(self, port: int) -> bool:
        state = info(port, "sentinel").get("master0", "")
        return "status=ok,slaves" in state.replace(f"address={LOOPBACK}:{self.ports[0]},", "") and state.endswith(
            "slaves=2,sentinels=3"
        )

    def master_port(self) -> int:
        """Return the master's port, as the first sentinel sees it."""
        reply = resp.call(self.sentinel_ports[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        assert isinstance(reply, list)
        return int(str(reply[1]))

    def kill_port(self, port: int) -> None:
        """SIGKILL the server or sentinel on *port*."""
        process = self._by_port.pop(port)
        process.kill()
        self.processes.remove(process)

    def restart_port(self, port: int) -> None:
        """Start a killed server on *port* again as a replica of today's master."""
        self._start_server(port, master_port=self.master_port())

    def flush(self) -> None:
        """Delete every key."""
        resp.call(self.master_port(), "FLUSHALL")
