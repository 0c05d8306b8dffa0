"""The test kit itself: the proxy does to connections what it says, and the wrappers fail when told."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.rig import RedisServer
from tiercel import testing
from tiercel.testing import Chaos, FaultPlan, FaultProxy, InjectedFault, ManualClock

# What ``pytest_plugins = ["tiercel.testing"]`` brings a conftest.
fault_proxy, manual_clock = testing.fault_proxy, testing.manual_clock

PING = b"PING\r\n"
PONG = b"+PONG\r\n"


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.port) as proxy:
        yield proxy


def _connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=2.0)


def _ping(connection: socket.socket) -> bytes:
    connection.sendall(PING)
    return connection.recv(100)


def test_it_forwards(proxy: FaultProxy) -> None:
    with _connect(proxy) as connection:
        assert _ping(connection) == PONG
    assert proxy.accepted == 1


def test_stopped_it_refuses_and_cuts(proxy: FaultProxy) -> None:
    with _connect(proxy) as connection:
        assert _ping(connection) == PONG
        proxy.stop()
        with pytest.raises(ConnectionError):
            _ping(connection)
    with pytest.raises(ConnectionError):
        _connect(proxy)
    proxy.start()
    with _connect(proxy) as connection:
        assert _ping(connection) == PONG


def test_deaf_it_holds_back_and_delivers_later(proxy: FaultProxy) -> None:
    with _connect(proxy) as connection:
        assert _ping(connection) == PONG
        proxy.deaf()
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            _ping(connection)
        proxy.heal()
        connection.settimeout(2.0)
        assert connection.recv(100) == PONG


def test_slow_it_adds_latency_and_keeps_order(proxy: FaultProxy) -> None:
    with _connect(proxy) as connection:
        proxy.slow(0.1)
        started = time.monotonic()
        connection.sendall(b"ECHO 1\r\n")
        proxy.slow(0.05)
        connection.sendall(b"ECHO 2\r\n")
        received = b""
        while received.count(b"\r\n") < 4:
            received += connection.recv(100)
        assert time.monotonic() - started >= 0.05
        assert received == b"$1\r\n1\r\n$1\r\n2\r\n"


def test_reset_cuts_what_stands_and_lets_new_ones_in(proxy: FaultProxy) -> None:
    with _connect(proxy) as old:
        assert _ping(old) == PONG
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            _ping(old)
    with _connect(proxy) as new:
        assert _ping(new) == PONG


def test_closing_twice_is_harmless(redis_server: RedisServer) -> None:
    proxy = FaultProxy(redis_server.port)
    proxy.start()
    proxy.close()
    proxy.close()


class Shelf:
    """Something with methods of both colours."""

    size = 3

    def __init__(self) -> None:
        self.done: list[str] = []

    def put(self, name: str) -> str:
        self.done.append(name)
        return name

    async def aput(self, name: str) -> str:
        return self.put(name)


async def test_a_fault_before_the_call_prevents_it() -> None:
    shelf, plan = Shelf(), FaultPlan()
    chaos = Chaos(shelf, plan)
    assert chaos.put("a") == "a"
    plan.fail_next(2)
    with pytest.raises(InjectedFault):
        chaos.put("b")
    with pytest.raises(InjectedFault):
        await chaos.aput("c")
    assert await chaos.aput("d") == "d"
    assert shelf.done == ["a", "d"]
    assert (plan.calls, plan.faults) == (4, 2)


async def test_a_fault_after_the_call_loses_only_the_reply() -> None:
    shelf = Shelf()
    chaos = Chaos(shelf, FaultPlan(moment="after", share=1.0, error=TimeoutError))
    with pytest.raises(TimeoutError):
        chaos.put("a")
    with pytest.raises(TimeoutError):
        await chaos.aput("b")
    assert shelf.done == ["a", "b"]


def test_only_the_methods_named_are_struck() -> None:
    chaos = Chaos(Shelf(), FaultPlan(share=1.0, methods=frozenset({"aput"})))
    assert chaos.put("a") == "a"
    assert chaos.size == 3


def test_draws_repeat_with_their_seed() -> None:
    def faults(seed: int) -> list[bool]:
        plan = FaultPlan(share=0.3, seed=seed)
        return [plan.strikes() for _ in range(50)]

    assert faults(1) == faults(1)
    assert faults(1) != faults(2)


async def test_a_delay_delays() -> None:
    chaos = Chaos(Shelf(), FaultPlan(delay_s=0.02))
    started = time.monotonic()
    chaos.put("a")
    await chaos.aput("b")
    assert time.monotonic() - started >= 0.04


def test_the_clock_moves_when_told(manual_clock: ManualClock) -> None:
    before = manual_clock.monotonic()
    manual_clock.advance(2.0)
    assert manual_clock.monotonic() == before + 2.0


def test_the_fixture_gives_proxies(redis_server: RedisServer, fault_proxy: Callable[[int], FaultProxy]) -> None:
    with _connect(fault_proxy(redis_server.port)) as connection:
        assert _ping(connection) == PONG
