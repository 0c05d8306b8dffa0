"""
The faults of the drill, each with how it begins and how it ends.

========= ==============================================================================================================
refused   connections are cut and refused
deaf      connections stand and nothing comes through: the peer is gone and nobody said so (half-open)
frozen    the process stands still (SIGSTOP)
+N ms     every reply comes N milliseconds late
reset     connections are cut once, half-way through replies too
busy      a script holds the server
loading   the server loads its data
oom       the memory is full: writes are refused
readonly  the primary has become a replica
unserved  nobody serves the victim's slots (CLUSTERDOWN)
flushed   the data is gone
restarted the process is killed and started again, empty
killed    the primary is killed; its replica takes over
========= ==============================================================================================================

Strikes block, so they run in a thread of their own.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tiercel.drill.deployments import Cluster, Deployment, Standalone
from tiercel.drill.members import Member, Refusal, until

__all__ = ["Fault", "faults_of"]

Strike: TypeAlias = Callable[[], None]
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Fault:
    """
    One fault on one deployment.

    Args:
        name: Its name.
        strike: Begins it.
        mend: Ends it.
        opens_breaker: It makes calls fail, so the victim's breaker must open.
        fails_over: The deployment mends itself by another primary.
        loses_writes: The last changes may be lost with the primary, as replication is asynchronous.
    """

    name: str
    strike: Strike
    mend: Strike
    opens_breaker: bool = True
    fails_over: bool = False
    loses_writes: bool = False


def faults_of(deployment: Deployment, only: Iterable[str] = ()) -> list[Fault]:
    """Return the faults that *deployment* can be struck with, of those named *only* if any are; made for one use."""
    found = [*_of_the_network(deployment)]
    victim = deployment.victim
    if victim is not None:
        found += _of_the_process(deployment, victim)
        found += _of_the_server(deployment, victim)
    wanted = set(only)
    return [fault for fault in found if not wanted or fault.name in wanted]


def _of_the_network(deployment: Deployment) -> list[Fault]:
    proxy = deployment.proxy

    def slow(latency_s: float) -> Strike:
        return lambda: proxy.slow(latency_s)

    return [
        Fault("refused", proxy.stop, proxy.heal, fails_over=deployment.kind == "sentinel"),
        Fault("deaf", proxy.deaf, proxy.heal, fails_over=deployment.kind == "sentinel"),
        Fault("+30 ms", slow(0.03), proxy.heal, opens_breaker=False),
        Fault("+100 ms", slow(0.1), proxy.heal, opens_breaker=False),
        Fault("+500 ms", slow(0.5), proxy.heal),
        Fault("reset", proxy.reset, proxy.heal, opens_breaker=False),
    ]


def _of_the_process(deployment: Deployment, victim: Member) -> list[Fault]:
    replaced = bool(deployment.fails_over_after_s)

    def thaw() -> None:
        victim.send(signal.SIGCONT)

    def revive() -> None:
        if not victim.is_running:
            victim.start()

    def restart() -> None:
        victim.kill()
        victim.start()

    frozen = Fault("frozen", lambda: victim.send(signal.SIGSTOP), thaw, fails_over=replaced, loses_writes=replaced)
    if replaced:
        return [frozen, Fault("killed", victim.kill, revive, fails_over=True, loses_writes=True)]
    flush = Fault("flushed", lambda: _tell(victim, "FLUSHALL"), _nothing, opens_breaker=False)
    return [frozen, flush, Fault("restarted", restart, _nothing, opens_breaker=False)]


def _of_the_server(deployment: Deployment, victim: Member) -> list[Fault]:
    script, reload = _Script(victim), _Reload(victim)
    found = [
        Fault("busy", script.begin, script.end, fails_over=deployment.kind != "standalone"),
        Fault("loading", reload.begin, reload.end, fails_over=deployment.kind != "standalone"),
        Fault("oom", lambda: _set(victim, "maxmemory", "1"), lambda: _set(victim, "maxmemory", "0"), False),
    ]
    if isinstance(deployment, Standalone):
        demote, promote = ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")
        found.append(Fault("readonly", lambda: _tell(victim, *demote), lambda: _tell(victim, *promote), False))
    if isinstance(deployment, Cluster):
        first, last = 0, 5460
        slots = ("SLOTSRANGE", str(first), str(last))

        def unserve() -> None:
            _set(victim, "cluster-require-full-coverage", "yes")
            _tell(victim, "CLUSTER", "DEL" + slots[0], *slots[1:])
            until(lambda: "cluster_state:fail" in victim.ask("CLUSTER", "INFO"), "the victim says CLUSTERDOWN")

        def serve() -> None:
            _tell(victim, "CLUSTER", "ADD" + slots[0], *slots[1:])
            _set(victim, "cluster-require-full-coverage", "no")

        found.append(Fault("unserved", unserve, serve))
    return found


def _nothing() -> None:
    """A fault that is over as soon as it struck."""


def _tell(member: Member, *words: str) -> None:
    member.ask(*words)


def _set(member: Member, name: str, value: str) -> None:
    member.ask("CONFIG", "SET", name, value)


class _Script:
    """A script that holds the server until it is killed, so that it answers BUSY."""

    def __init__(self, victim: Member) -> None:
        self._victim = victim
        self._thread = threading.Thread(target=self._run, name="drill-script")

    def begin(self) -> None:
        """Start the script, and have the server say BUSY soon."""
        _set(self._victim, "busy-reply-threshold", "1")
        self._thread.start()

    def end(self) -> None:
        """Kill the script."""
        with contextlib.suppress(Refusal):  # it is not running any more
            self._victim.ask("SCRIPT", "KILL")
        self._thread.join(PATIENCE_S)
        _set(self._victim, "busy-reply-threshold", "5000")

    def _run(self) -> None:
        with contextlib.suppress(Refusal, OSError):  # that it was killed
            self._victim.ask("EVAL", "while true do end", 0, timeout_s=PATIENCE_S)


class _Reload:
    """A server that loads its data slowly, so that it answers LOADING."""

    def __init__(self, victim: Member) -> None:
        self._victim = victim
        self._thread = threading.Thread(target=self._run, name="drill-reload")

    def begin(self) -> None:
        """Have the server save and load everything, a key at a time, for a few seconds."""
        keys = max(1, int(self._victim.ask("DBSIZE")))
        _set(self._victim, "key-load-delay", str(int(3.0 / keys * 1e6)))
        _set(self._victim, "loading-process-events-interval-bytes", "1024")
        self._thread.start()

    def end(self) -> None:
        """Wait until it has loaded."""
        self._thread.join(PATIENCE_S)
        _set(self._victim, "key-load-delay", "0")

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # a connection that the reload ends
            self._victim.ask("DEBUG", "RELOAD", timeout_s=PATIENCE_S)
