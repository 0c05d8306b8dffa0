"""
One link shared by threads, by event loops and across a fork: everybody gets replies of their own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.rig import RedisServer
from tiercel._async.link import LinkOptions, open_link
from tiercel._sync.link import Link
from tiercel._sync.link import open_link as open_blocking_link
from tiercel.errors import TierError, TierTimeout
from tiercel.testing import FaultProxy


def _together(count: int, work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []


def test_eight_threads_read_their_own(clean_redis: RedisServer) -> None:
    link = open_blocking_link(clean_redis.url)

    def work(number: int) -> None:
        for turn in range(300):
            value = b"%d:%d" % (number, turn)
            link.execute("SET", f"t{number}", value)
            assert link.execute_many([("GET", f"t{number}"), ("GET", f"t{number}")]) == [value, value]

    try:
        _together(8, work)
        assert link.health().nodes[f"127.0.0.1:{clean_redis.port}"].connections == 1
    finally:
        link.close()


def test_a_full_lane_refuses_further_threads(clean_redis: RedisServer) -> None:
    link = open_blocking_link(clean_redis.url, options=LinkOptions(max_in_flight=2))
    try:
        hogs = [threading.Thread(target=link.execute, args=("BLPOP", "empty", 0.2)) for _ in range(2)]
        for hog in hogs:
            hog.start()
        name = f"127.0.0.1:{clean_redis.port}"
        while link.health().nodes[name].in_flight < 2:
            time.sleep(0.001)
        with pytest.raises(TierError, match="in flight"):
            link.execute("GET", "a", timeout_s=0.05)
        for hog in hogs:
            hog.join(5)
        assert link.execute("GET", "a") is None
    finally:
        link.close()


def test_timeouts_in_threads_shift_no_reply(clean_redis: RedisServer) -> None:
    with FaultProxy(clean_redis.port) as proxy:
        link = open_blocking_link(f"redis://127.0.0.1:{proxy.port}")
        for number in range(8):
            link.execute("SET", f"t{number}", number)
        proxy.slow(0.02)

        def work(number: int) -> None:
            for turn in range(20):
                try:
                    assert link.execute("GET", f"t{number}", timeout_s=0.012 if turn % 2 else 1.0) == b"%d" % number
                except TierTimeout:
                    assert turn % 2
                except TierError:  # the breaker may open: that is its work
                    time.sleep(0.05)

        try:
            _together(8, work)
        finally:
            link.close()


@pytest.mark.parametrize("fault", ["reset", "stop", "deaf"])
def test_faults_under_threads_shift_no_reply(clean_redis: RedisServer, fault: str) -> None:
    with FaultProxy(clean_redis.port) as proxy:
        link = open_blocking_link(f"redis://127.0.0.1:{proxy.port}")
        for number in range(8):
            link.execute("SET", f"t{number}", number)
        struck, mended = threading.Event(), threading.Event()
        answered_after: list[int] = []

        def work(number: int) -> None:
            limit = time.monotonic() + 10
            while time.monotonic() < limit:
                was_mended = mended.is_set()
                started = time.monotonic()
                try:
                    assert link.execute("GET", f"t{number}", timeout_s=0.2) == b"%d" % number
                    if was_mended:
                        answered_after.append(number)
                        return
                except TierError:
                    assert struck.is_set()
                    time.sleep(0.01)
                assert time.monotonic() - started < 1.0  # the budget, and what a busy machine adds

        workers = threading.Thread(target=_together, args=(8, work))
        workers.start()
        struck.set()
        getattr(proxy, fault)()
        time.sleep(0.4)
        proxy.heal()
        mended.set()
        workers.join(15)
        link.close()
    assert sorted(answered_after) == list(range(8))


@pytest.fixture
def untraced_threads() -> Iterator[None]:
    """Threads of the test are not measured: coverage would keep its own lock where an exception strikes inside it."""
    tracing: Any = threading.gettrace()
    nothing: Any = None
    threading.settrace(nothing)
    yield
    threading.settrace(tracing)


class Interrupted(BaseException):
    """Thrown into a thread from outside, as KeyboardInterrupt is into the main one."""


# Where it strikes between a socket's making and its being kept, that socket is closed by the collector, which warns.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("untraced_threads")
def test_an_exception_thrown_into_a_thread_shifts_no_reply(clean_redis: RedisServer) -> None:
    """The threads' counterpart of cancellation: wherever it strikes, the others get their own replies."""
    options = LinkOptions(stall_timeout_s=0.3, command_timeout_s=0.2, connect_timeout_s=0.5)
    link = open_blocking_link(clean_redis.url, options=options)
    for name in ("victim", "alice", "bob"):
        link.execute("SET", name, name)
    stop = threading.Event()
    wrong: list[object] = []

    def read(name: str) -> None:
        while not stop.is_set():
            try:
                value = link.execute("GET", name)
            except (TierError, Interrupted):
                continue
            if value != name.encode():
                wrong.append((name, value))

    def suffer() -> None:
        while not stop.is_set():
            try:
                read("victim")
            except Interrupted:
                continue

    threads = [threading.Thread(target=suffer), *(threading.Thread(target=read, args=(n,)) for n in ("alice", "bob"))]
    for thread in threads:
        thread.start()
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    for _ in range(300):
        time.sleep(0.002)
        throw(ctypes.c_ulong(threads[0].ident or 0), ctypes.py_object(Interrupted))
    time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert wrong == []
    deadline = time.monotonic() + 5
    while True:
        try:
            assert link.execute("GET", "alice") == b"alice"
            break
        except TierError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    link.close()


def _in_child(work: Callable[[], None]) -> None:
    """Run *work* in a forked child and assert that it succeeds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


def _write_and_check(link: Link, who: str) -> None:
    for turn in range(200):
        link.execute("SET", who, f"{who}:{turn}")
        assert link.execute("GET", who) == f"{who}:{turn}".encode()


def test_a_forked_child_has_connections_of_its_own(clean_redis: RedisServer) -> None:
    link = open_blocking_link(clean_redis.url)
    link.execute("SET", "a", 1)
    parent = threading.Thread(target=_write_and_check, args=(link, "parent"))
    parent.start()
    _in_child(lambda: _write_and_check(link, "child"))
    parent.join(30)
    assert not parent.is_alive()
    assert link.execute("GET", "parent") == b"parent:199"
    link.close()


def test_an_asyncio_link_survives_a_fork(clean_redis: RedisServer) -> None:
    """The child runs a loop of its own; the parent's connection must stand, and must not be heard by the child."""

    async def main() -> None:
        link = await open_link(clean_redis.url)
        await link.execute("SET", "a", "parent")

        async def in_child() -> None:
            assert await link.execute("GET", "a") == b"parent"
            await link.execute("SET", "b", "child")

        def child() -> None:
            asyncio.events._set_running_loop(None)
            asyncio.run(in_child())

        _in_child(child)
        assert await link.execute_many([("GET", "a"), ("GET", "b")]) == [b"parent", b"child"]
        await link.aclose()

    asyncio.run(main())


async def test_each_event_loop_has_a_connection_of_its_own(clean_redis: RedisServer) -> None:
    link = await open_link(clean_redis.url)
    closed = threading.Event()
    working = threading.Barrier(5)

    async def in_its_own_loop(number: int) -> None:
        for turn in range(100):
            value = b"%d:%d" % (number, turn)
            await link.execute("SET", f"loop{number}", value)
            assert await link.execute("GET", f"loop{number}") == value
        await asyncio.to_thread(working.wait)
        await asyncio.to_thread(closed.wait)
        await asyncio.sleep(0.01)  # the connection's closing runs in this loop

    workers = asyncio.ensure_future(
        asyncio.to_thread(_together, 4, lambda number: asyncio.run(in_its_own_loop(number)))
    )
    await asyncio.to_thread(working.wait)
    assert link.health().nodes[f"127.0.0.1:{clean_redis.port}"].connections == 5
    await link.aclose()
    closed.set()
    await workers


async def test_a_full_lane_makes_callers_wait_not_fail(clean_redis: RedisServer) -> None:
    link = await open_link(clean_redis.url, options=LinkOptions(max_in_flight=4))
    try:
        replies = await asyncio.gather(*[link.execute("INCR", "n") for _ in range(200)])
        assert sorted(replies) == list(range(1, 201))
        assert link.health().nodes[f"127.0.0.1:{clean_redis.port}"].connections == 1
    finally:
        await link.aclose()


async def test_a_full_lane_gives_up_in_time(clean_redis: RedisServer) -> None:
    link = await open_link(clean_redis.url, options=LinkOptions(max_in_flight=1))
    try:
        hog = asyncio.ensure_future(link.execute("BLPOP", "empty", 0.3))
        await asyncio.sleep(0)
        with pytest.raises(TierTimeout):
            await link.execute("GET", "a", timeout_s=0.1)
        assert await hog is None
        assert await link.execute("GET", "a") is None
    finally:
        await link.aclose()
