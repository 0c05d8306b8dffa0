"""
A sick Redis costs a caller no more than its budget, and never gives a wrong value.

Sixteen callers read in a closed loop with a budget of 200 ms a call while one fault after the other strikes. For each
are printed: wrong values, the 99th percentile of a call's time while the fault lasted, after how long the breaker
opened, and after how long calls succeeded once the fault was over. The naive way is the same load through redis-py
as it comes.

Run: ``python -m proofs.redis_faults [--json] [--seconds 3]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import redis.asyncio
import redis.exceptions

from tests.rig import RedisServer, resp
from tiercel._async.link import AsyncLink, open_link
from tiercel.errors import TierError
from tiercel.testing import FaultProxy

BUDGET_S = 0.2
CALLERS = 16
KEYS = 64
PATIENCE_S = 10.0

Get: TypeAlias = Callable[[str], Any]


@dataclass
class Seen:
    """What callers saw; times are of the monotonic clock."""

    wrong: int = 0
    durations_s: list[float] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    failures: int = 0
    lags_s: list[float] = field(default_factory=list)
    """How late the loop itself was, measured beside the calls: a busy machine's share of a call's time."""

    def ends_in_time(self) -> bool:
        """The 99th percentile of a call's time is within the budget and a tenth, and what the loop was late."""
        return p99_s(self.durations_s) <= BUDGET_S * 1.1 + p99_s(self.lags_s)


@dataclass(frozen=True)
class Fault:
    """How a fault begins and ends; both run in a thread of their own."""

    strike: Callable[[RedisServer, FaultProxy], None]
    mend: Callable[[RedisServer, FaultProxy], None]
    opens_breaker: bool = True


def p99_s(values: list[float]) -> float:
    """Return the 99th percentile, 0 for no values."""
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


class Script:
    """A script that holds the server until it is killed, so that it answers BUSY."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def begin(self, server: RedisServer, proxy: FaultProxy) -> None:
        """Start the script, and wait until the server says BUSY."""
        server.cli("CONFIG", "SET", "busy-reply-threshold", "1")
        self._thread = threading.Thread(target=self._run, args=(server,))
        self._thread.start()

    def end(self, server: RedisServer, proxy: FaultProxy) -> None:
        """Kill the script."""
        server.cli("SCRIPT", "KILL")
        if self._thread is not None:
            self._thread.join(PATIENCE_S)
        server.cli("CONFIG", "SET", "busy-reply-threshold", "5000")

    def _run(self, server: RedisServer) -> None:
        with contextlib.suppress(resp.ReplyError):  # that it was killed
            server.cli("EVAL", "while true do end", "0")


class Reload:
    """A server that loads its data, slowly, so that it answers LOADING."""

    def begin(self, server: RedisServer, proxy: FaultProxy) -> None:
        """Have the server save and load everything, a key at a time."""
        server.cli("CONFIG", "SET", "key-load-delay", "40000")
        server.cli("CONFIG", "SET", "loading-process-events-interval-bytes", "1024")
        self._thread = threading.Thread(target=self._run, args=(server,))
        self._thread.start()

    def end(self, server: RedisServer, proxy: FaultProxy) -> None:
        """Wait until it has loaded."""
        self._thread.join(60.0)
        server.cli("CONFIG", "SET", "key-load-delay", "0")

    def _run(self, server: RedisServer) -> None:
        resp.call(server.port, "DEBUG", "RELOAD", timeout_s=60.0)


def _slow(latency_s: float, *, opens_breaker: bool) -> Fault:
    return Fault(lambda _, proxy: proxy.slow(latency_s), lambda _, proxy: proxy.heal(), opens_breaker)


def faults() -> dict[str, Fault]:
    """Return every fault by name."""
    script, reload = Script(), Reload()
    return {
        "refused": Fault(lambda _, proxy: proxy.stop(), lambda _, proxy: proxy.heal()),
        "deaf": Fault(lambda _, proxy: proxy.deaf(), lambda _, proxy: proxy.heal()),
        "frozen": Fault(lambda server, _: server.pause(), lambda server, _: server.resume()),
        "+30 ms": _slow(0.03, opens_breaker=False),
        "+100 ms": _slow(0.1, opens_breaker=False),
        "+500 ms": _slow(0.5, opens_breaker=True),
        "reset": Fault(lambda _, proxy: proxy.reset(), lambda _, proxy: proxy.heal(), opens_breaker=False),
        "busy": Fault(script.begin, script.end),
        "loading": Fault(reload.begin, reload.end),
    }


def server_for_faults() -> RedisServer:
    """Return a server that allows what the faults need."""
    return RedisServer("--enable-debug-command", "yes")


@contextlib.asynccontextmanager
async def under_load(get: Get) -> AsyncIterator[Seen]:
    """Keep the callers reading through *get*."""
    seen, stop = Seen(), asyncio.Event()
    tasks = [asyncio.ensure_future(_read(get, seen, stop, number)) for number in range(CALLERS)]
    tasks.append(asyncio.ensure_future(_watch_lag(seen, stop)))
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _read(get: Get, seen: Seen, stop: asyncio.Event, number: int) -> None:
    while not stop.is_set():
        number = (number * 31 + 7) % KEYS
        started = time.monotonic()
        try:
            value = await get(f"k{number}")
            seen.wrong += value != b"v%d" % number
            seen.answered_at.append(time.monotonic())
        except (TierError, redis.exceptions.RedisError):
            seen.failures += 1
        seen.durations_s.append(time.monotonic() - started)
        await asyncio.sleep(0.005)


async def _watch_lag(seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        started = time.monotonic()
        await asyncio.sleep(0.005)
        seen.lags_s.append(time.monotonic() - started - 0.005)


async def until(condition: Callable[[], bool], limit_s: float) -> float:
    """Return after how many seconds *condition* held; at most *limit_s*."""
    started = time.monotonic()
    while not condition() and time.monotonic() - started < limit_s:  # noqa: ASYNC110  # conditions set no event
        await asyncio.sleep(0.01)
    return time.monotonic() - started


def breaker(link: AsyncLink) -> str:
    """Return the state of the only node's breaker."""
    return next(iter(link.health().nodes.values())).breaker


async def fill(port: int) -> None:
    """Store what the callers read."""
    link = await open_link(f"redis://127.0.0.1:{port}")
    await link.execute_many([("SET", f"k{number}", f"v{number}") for number in range(KEYS)])
    await link.aclose()


async def strike(server: RedisServer, fault: Fault, seconds: float) -> tuple[Seen, dict[str, Any]]:
    """Run one fault for *seconds* against the link, and return what was seen and its figures."""
    await fill(server.port)
    with FaultProxy(server.port) as proxy:
        link = await open_link(f"redis://127.0.0.1:{proxy.port}")
        async with under_load(lambda key: link.execute("GET", key, timeout_s=BUDGET_S)) as seen:
            await until(lambda: len(seen.answered_at) > 200, PATIENCE_S)
            seen.durations_s.clear()
            await asyncio.to_thread(fault.strike, server, proxy)
            struck_at = time.monotonic()
            opened_s = await until(lambda: breaker(link) != "closed", seconds)
            is_opened = breaker(link) != "closed"
            await asyncio.sleep(max(0.0, struck_at + seconds - time.monotonic()))
            during = list(seen.durations_s)
            await asyncio.to_thread(fault.mend, server, proxy)
            mended_at = time.monotonic()
            recovered_s = await until(
                lambda: breaker(link) == "closed" and seen.answered_at[-1] > mended_at, PATIENCE_S
            )
        await link.aclose()
    figures = {
        "wrong": seen.wrong,
        "calls": len(during),
        "failed": seen.failures,
        "p99_ms": round(p99_s(during) * 1e3, 1),
        "most_ms": round(max(during, default=0.0) * 1e3, 1),
        "breaker_opened_after_s": round(opened_s, 2) if is_opened else None,
        "recovered_after_s": round(recovered_s, 2),
    }
    return seen, figures


async def strike_naive(server: RedisServer, fault: Fault, seconds: float) -> dict[str, Any]:
    """Run the same fault against redis-py as it comes, cut off after `PATIENCE_S`."""
    await fill(server.port)
    with FaultProxy(server.port) as proxy:
        client = redis.asyncio.Redis(port=proxy.port)

        async def get(key: str) -> Any:
            try:
                return await asyncio.wait_for(client.get(key), PATIENCE_S)
            except (TimeoutError, OSError) as error:
                raise redis.exceptions.RedisError(str(error)) from error

        async with under_load(get) as seen:
            await until(lambda: len(seen.answered_at) > 200, PATIENCE_S)
            seen.durations_s.clear()
            await asyncio.to_thread(fault.strike, server, proxy)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(fault.mend, server, proxy)
            mended_at = time.monotonic()
            await until(lambda: seen.answered_at[-1] > mended_at, PATIENCE_S)
        await client.aclose()
    during = seen.durations_s
    times = {"p99_ms": round(p99_s(during) * 1e3, 1), "most_ms": round(max(during, default=0.0) * 1e3, 1)}
    return {"wrong": seen.wrong, "failed": seen.failures, **times}


def main() -> int:
    """Run the command line; exit status 1 where the promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    table: dict[str, dict[str, Any]] = {}
    holds = True
    for name, fault in faults().items():
        with server_for_faults() as server:
            seen, figures = asyncio.run(strike(server, fault, arguments.seconds))
            naive = asyncio.run(strike_naive(server, fault, arguments.seconds))
        table[name] = figures | {f"naive_{key}": value for key, value in naive.items()}
        holds &= seen.wrong == 0 and seen.ends_in_time() and figures["recovered_after_s"] <= 5.0
        holds &= not fault.opens_breaker or (figures["breaker_opened_after_s"] or 9.0) <= 1.0
        if not arguments.json:
            print(f"{name:8} " + ", ".join(f"{key} {value}" for key, value in table[name].items()))
    if arguments.json:
        print(json.dumps(table))
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
