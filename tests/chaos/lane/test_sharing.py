"""
One link shared by threads, by event loops and across a fork: everybody gets replies of their own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

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
        assert link.health().nodes[f"127.0.0.1:{clean_redis.port}"].connections <= 8
    finally:
        link.close()


def test_more_threads_than_connections_wait_for_one(clean_redis: RedisServer) -> None:
    link = open_blocking_link(clean_redis.url, options=LinkOptions(max_connections=2, command_timeout_s=10))
    try:
        _together(8, lambda number: [link.execute("INCR", "n") for _ in range(50)].clear())
        assert link.execute("GET", "n") == b"400"
        assert link.health().nodes[f"127.0.0.1:{clean_redis.port}"].connections <= 2
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
