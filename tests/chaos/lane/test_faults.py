"""
What callers see while Redis is killed, frozen, slow, deaf or cut off: an answer or a clear error in time, never a wrong
value.

Every fault runs under load: callers in a closed loop with a budget of 200 ms a call. Measured are the wrong values, the
99th percentile of a call's time, when the breaker opened, and how long after the end of the fault calls succeeded
again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.rig import RedisServer, resp
from tiercel._async.link import AsyncLink, LinkOptions, open_link
from tiercel.errors import ReplyError, TierError
from tiercel.testing import FaultProxy

BUDGET_S = 0.2
CALLERS = 16
KEYS = 64


@dataclass
class Seen:
    """What the callers saw, in seconds of the monotonic clock."""

    wrong: list[object] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    failures: list[tuple[float, TierError]] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    """How late the loop itself was, measured beside the calls: a busy machine's share of a call's time."""

    def ends_in_time(self) -> bool:
        """The 99th percentile of a call's time is the budget and a tenth, and what the loop was late."""
        return _p99(self.durations_s) <= BUDGET_S * 1.1 + _p99(self.lags_s)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


@pytest.fixture
def proxy(clean_redis: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(clean_redis.port) as proxy:
        yield proxy


@asynccontextmanager
async def under_load(url: str) -> AsyncIterator[tuple[AsyncLink, Seen]]:
    link = await open_link(url)
    await link.execute_many([("SET", f"k{number}", f"v{number}") for number in range(KEYS)])
    seen, stop = Seen(), asyncio.Event()
    callers = [asyncio.ensure_future(_call(link, seen, stop, number)) for number in range(CALLERS)]
    callers.append(asyncio.ensure_future(_watch_lag(seen, stop)))
    try:
        yield link, seen
    finally:
        stop.set()
        await asyncio.gather(*callers)
        await link.aclose()


async def _call(link: AsyncLink, seen: Seen, stop: asyncio.Event, number: int) -> None:
    while not stop.is_set():
        number = (number * 31 + 7) % KEYS
        started = time.monotonic()
        try:
            value = await link.execute("GET", f"k{number}", timeout_s=BUDGET_S)
            if value != b"v%d" % number:
                seen.wrong.append((number, value))
            seen.answered_at.append(time.monotonic())
        except TierError as error:
            seen.failures.append((time.monotonic(), error))
        seen.durations_s.append(time.monotonic() - started)
        await asyncio.sleep(0.005)


async def _watch_lag(seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        started = time.monotonic()
        await asyncio.sleep(0.005)
        seen.lags_s.append(time.monotonic() - started - 0.005)


async def _until(condition: Callable[[], bool], limit_s: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s, f"not within {limit_s} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - started


def _breaker(link: AsyncLink) -> str:
    return next(iter(link.health().nodes.values())).breaker


Fault = Callable[[RedisServer, FaultProxy], None]
FAULTS: dict[str, tuple[Fault, Fault]] = {
    "refused": (lambda _, proxy: proxy.stop(), lambda _, proxy: proxy.heal()),
    "deaf": (lambda _, proxy: proxy.deaf(), lambda _, proxy: proxy.heal()),
    "frozen": (lambda server, _: server.pause(), lambda server, _: server.resume()),
    "500 ms slow": (lambda _, proxy: proxy.slow(0.5), lambda _, proxy: proxy.heal()),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_dead_server_costs_no_more_than_the_budget(
    clean_redis: RedisServer, proxy: FaultProxy, fault: str
) -> None:
    strike, mend = FAULTS[fault]
    async with under_load(f"redis://127.0.0.1:{proxy.port}") as (link, seen):
        await _until(lambda: len(seen.answered_at) > 50, 5.0)
        seen.durations_s.clear()
        await asyncio.to_thread(strike, clean_redis, proxy)
        opened_after_s = await _until(lambda: _breaker(link) != "closed", 2.0)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(mend, clean_redis, proxy)
        mended_at = time.monotonic()
        await _until(lambda: _breaker(link) == "closed" and seen.answered_at[-1] > mended_at, 5.0)
    assert seen.wrong == []
    assert opened_after_s <= 1.0
    assert seen.ends_in_time()


@pytest.mark.parametrize("latency_s", [0.03, 0.1])
async def test_a_slow_server_is_waited_for(proxy: FaultProxy, latency_s: float) -> None:
    async with under_load(f"redis://127.0.0.1:{proxy.port}") as (link, seen):
        await _until(lambda: len(seen.answered_at) > 50, 5.0)
        proxy.slow(latency_s)
        await asyncio.sleep(1.0)
        assert _breaker(link) == "closed"
        proxy.heal()
    assert seen.wrong == []
    assert seen.failures == []
    assert seen.ends_in_time()


async def test_resets_are_hidden_from_readers(proxy: FaultProxy) -> None:
    """A read may be sent again; within the retry budget nobody sees a connection that was cut half-way."""
    async with under_load(f"redis://127.0.0.1:{proxy.port}") as (link, seen):
        await _until(lambda: len(seen.answered_at) > 300, 5.0)
        for cut in range(5):
            await asyncio.to_thread(proxy.reset)
            done = len(seen.answered_at)
            await _until(lambda limit=done: len(seen.answered_at) > limit + 300, 5.0)  # type: ignore[misc]
            assert cut < next(iter(link.health().nodes.values())).reconnects
    assert seen.wrong == []
    assert len(seen.failures) <= 5 * CALLERS * 0.5


async def test_a_server_that_loads_refuses_and_is_waited_for(clean_redis: RedisServer, proxy: FaultProxy) -> None:
    """BUSY: a script holds the server; callers get an error or an answer in time, and the breaker sees it."""
    async with under_load(f"redis://127.0.0.1:{proxy.port}") as (link, seen):
        await _until(lambda: len(seen.answered_at) > 50, 5.0)
        clean_redis.cli("CONFIG", "SET", "busy-reply-threshold", "1")
        busy = asyncio.ensure_future(asyncio.to_thread(_until_killed, clean_redis, "EVAL", "while true do end", "0"))
        try:
            await _until(lambda: _breaker(link) != "closed", 2.0)
        finally:
            clean_redis.cli("SCRIPT", "KILL")
            await busy
            clean_redis.cli("CONFIG", "SET", "busy-reply-threshold", "5000")
        mended_at = time.monotonic()
        await _until(lambda: seen.answered_at[-1] > mended_at, 5.0)
    assert seen.wrong == []
    assert seen.ends_in_time()


def _until_killed(server: RedisServer, *words: str) -> None:
    with pytest.raises(resp.ReplyError, match="killed"):
        server.cli(*words)


async def test_a_full_server_still_reads(clean_redis: RedisServer) -> None:
    """OOM refuses writes only: it is the write's error, and the breaker stays closed."""
    link = await open_link(clean_redis.url)
    try:
        await link.execute("SET", "a", "1")
        clean_redis.cli("CONFIG", "SET", "maxmemory", "1")
        for _ in range(20):
            with pytest.raises(ReplyError, match="OOM"):
                await link.execute("SET", "b", "x" * 100)
        assert await link.execute("GET", "a") == b"1"
        assert _breaker(link) == "closed"
    finally:
        clean_redis.cli("CONFIG", "SET", "maxmemory", "0")
        await link.aclose()


async def test_a_silent_connection_is_given_up_and_made_anew(proxy: FaultProxy) -> None:
    """Half-open: the peer is gone and nobody said so. After the stall timeout the connection is replaced."""
    link = await open_link(
        f"redis://127.0.0.1:{proxy.port}", options=LinkOptions(stall_timeout_s=0.3, command_timeout_s=0.1)
    )
    try:
        await link.execute("SET", "a", "1")
        proxy.deaf()
        with pytest.raises(TierError):
            await link.execute("GET", "a")
        await _until(lambda: not next(iter(link.health().nodes.values())).is_connected, 2.0)
        proxy.heal()
        assert await link.execute("GET", "a", timeout_s=2.0) == b"1"
        assert next(iter(link.health().nodes.values())).reconnects == 1
    finally:
        await link.aclose()
