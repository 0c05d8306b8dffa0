"""The calls that a connection owes: replies and calls stay together whatever callers do; one suite for both."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._lanes.calls import Calls, OwedCalls, best_calls
from tiercel._lanes.session import INCOMPLETE
from tiercel.errors import ReplyError, TierTimeout


class Push(list[Any]):
    """What a server says unasked."""


def native() -> Any:
    """Return the accelerator's module, or skip: it is optional."""
    return pytest.importorskip("tiercel._lanes._native", reason="the accelerator was not built")


def make(kind: str) -> OwedCalls:
    loop = asyncio.get_running_loop()
    if kind == "reference":
        return Calls(loop, Push)
    calls: OwedCalls = native().Calls(loop, Push, INCOMPLETE, ReplyError)
    return calls


@pytest.fixture(params=["reference", "native"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        native()
    return str(request.param)


def parser(*replies: Any) -> Callable[[], Any]:
    """Return a parser of which *replies* come out."""
    left: Iterator[Any] = iter(replies)
    return lambda: next(left, INCOMPLETE)


async def deliver(calls: OwedCalls, *replies: Any, slow_before: float = -math.inf) -> tuple[int, int]:
    """Deliver from the loop itself, as a connection does, so that tasks may be woken at once."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def received() -> None:
        try:
            done.set_result(calls.deliver(parser(*replies), slow_before))
        except Exception as error:
            done.set_exception(error)
        finally:
            calls.wake(True)

    loop.call_soon(received)
    told: tuple[int, int] = await done
    return told


async def awaited(future: asyncio.Future[Any]) -> Any:
    return await future


def task_of(future: asyncio.Future[Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(awaited(future))


async def test_replies_go_to_calls_in_order(kind: str) -> None:
    calls = make(kind)
    tasks = [task_of(calls.add(0, 1.0, math.inf)) for _ in range(200)]
    await asyncio.sleep(0)
    assert len(calls) == 200
    assert await deliver(calls, *range(120)) == (120, 0)
    assert await deliver(calls, *range(120, 200)) == (80, 0)
    assert await asyncio.gather(*tasks) == list(range(200))
    assert len(calls) == 0


async def test_a_call_may_be_answered_before_anybody_waits(kind: str) -> None:
    calls = make(kind)
    future = calls.add(0, 1.0, math.inf)
    assert not future.done()
    await deliver(calls, b"early")
    assert future.done()
    assert not future.cancelled()
    assert await future == b"early"
    assert future.result() == b"early"
    assert future.exception() is None
    assert calls.oldest == math.inf


async def test_many_replies_to_one_call_come_as_a_list(kind: str) -> None:
    calls = make(kind)
    many, single = task_of(calls.add(3, 1.0, math.inf)), task_of(calls.add(0, 2.0, math.inf))
    await asyncio.sleep(0)
    refused = ReplyError("ERR no")
    assert await deliver(calls, 1, refused) == (0, 0)
    assert calls.oldest == 1.0
    assert await deliver(calls, 3, None) == (1, 0)
    assert await many == [1, refused, 3]
    assert await single is None


async def test_an_error_reply_is_raised_and_not_counted(kind: str) -> None:
    calls = make(kind)
    task = task_of(calls.add(0, 1.0, math.inf))
    await asyncio.sleep(0)
    assert await deliver(calls, ReplyError("WRONGTYPE no")) == (0, 0)
    with pytest.raises(ReplyError, match="no"):
        await task


async def test_a_late_reply_is_told_from_one_in_time(kind: str) -> None:
    calls = make(kind)
    kept = [calls.add(0, started, math.inf) for started in (1.0, 2.0, 3.0)]
    assert await deliver(calls, 1, 2, 3, slow_before=2.5) == (1, 2)
    assert [await future for future in kept] == [1, 2, 3]


async def test_what_the_server_says_unasked_reaches_nobody(kind: str) -> None:
    calls = make(kind)
    future = calls.add(0, 1.0, math.inf)
    await deliver(calls, Push([b"invalidate"]), b"mine")
    assert await future == b"mine"


async def test_a_reply_that_nobody_asked_for_is_an_error(kind: str) -> None:
    with pytest.raises(IndexError):
        await deliver(make(kind), b"?")


async def test_what_the_parser_raises_goes_through(kind: str) -> None:
    calls = make(kind)
    calls.add(0, 1.0, math.inf)

    def broken() -> Any:
        raise ValueError("protocol error")

    with pytest.raises(ValueError, match="protocol"):
        calls.deliver(broken, 0.0)
    assert len(calls) == 1


async def test_a_cancelled_caller_shifts_nothing(kind: str) -> None:
    calls = make(kind)
    tasks = [task_of(calls.add(0, 1.0, math.inf)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert tasks[1].cancelled()
    assert len(calls) == 3
    assert await deliver(calls, "a", "b", "c") == (2, 0)
    assert (await tasks[0], await tasks[2]) == ("a", "c")


async def test_a_caller_cancelled_in_the_turn_of_its_reply_is_cancelled(kind: str) -> None:
    calls = make(kind)
    task = task_of(calls.add(0, 1.0, math.inf))
    await asyncio.sleep(0)
    calls.deliver(parser("late"), 0.0)
    task.cancel()
    calls.wake(False)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_tells_its_reason_once(kind: str) -> None:
    calls = make(kind)
    future = calls.add(0, 1.0, math.inf)
    assert future.cancel("because")
    assert not future.cancel()
    with pytest.raises(asyncio.CancelledError, match="because"):
        future.result()


async def test_what_asyncio_builds_on_futures_works(kind: str) -> None:
    calls = make(kind)
    first, second, third = (calls.add(0, 1.0, math.inf) for _ in range(3))
    assert asyncio.isfuture(first)
    assert first.get_loop() is asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first, 0.001)
    assert first.cancelled()
    both = asyncio.gather(asyncio.shield(second), third)
    await deliver(calls, 1, 2, 3)
    assert list(await both) == [2, 3]


async def test_callbacks_can_be_taken_back(kind: str) -> None:
    calls = make(kind)
    future, heard = calls.add(0, 1.0, math.inf), []

    def hear(ended: asyncio.Future[Any]) -> None:
        heard.append(ended.result())

    def not_hear(_: asyncio.Future[Any]) -> None:
        heard.append("never")

    for callback in (not_hear, hear, not_hear, hear):
        future.add_done_callback(callback)
    assert future.remove_done_callback(not_hear) == 2
    await deliver(calls, "x")
    await asyncio.sleep(0)
    future.add_done_callback(hear)
    await asyncio.sleep(0)
    assert heard == ["x"] * 3


async def test_an_unfinished_call_has_no_result(kind: str) -> None:
    future = make(kind).add(0, 1.0, math.inf)
    for ask in (future.result, future.exception):
        with pytest.raises(asyncio.InvalidStateError):
            ask()
    future.set_result(1)
    with pytest.raises(asyncio.InvalidStateError):
        future.set_result(2)


async def test_calls_end_at_their_deadlines(kind: str) -> None:
    calls = make(kind)
    tasks = [task_of(calls.add(0, 1.0, deadline)) for deadline in (5.0, 7.0, 6.0)]
    await asyncio.sleep(0)
    assert calls.expire(4.0, TierTimeout) == 5.0
    assert calls.expire(6.0, TierTimeout) == 7.0
    await asyncio.wait(tasks[::2])
    assert [type(task.exception()) for task in tasks[::2]] == [TierTimeout] * 2
    assert len(calls) == 3
    assert await deliver(calls, "late", "mine", "late") == (1, 0)
    assert await tasks[1] == "mine"
    assert calls.expire(9.0, TierTimeout) == math.inf


async def test_a_lost_connection_ends_every_call(kind: str) -> None:
    calls = make(kind)
    tasks = [task_of(calls.add(replies, 1.0, math.inf)) for replies in (0, 2, 0)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.sleep(0)
    await deliver(calls, "ok", "half")
    calls.fail(lambda: ConnectionError("lost"))
    await asyncio.wait(tasks)
    assert await tasks[0] == "ok"
    assert isinstance(tasks[1].exception(), ConnectionError)
    assert tasks[2].cancelled()
    assert len(calls) == 0
    after = calls.add(2, 1.0, math.inf)
    await deliver(calls, 1, 2)
    assert await after == [1, 2]


async def test_a_woken_task_may_call_again_and_cancel_others(kind: str) -> None:
    calls = make(kind)
    tasks: list[asyncio.Task[Any]] = []

    async def busy() -> list[Any]:
        first = await calls.add(0, 1.0, math.inf)
        tasks[1].cancel()
        return [first, *[await calls.add(0, 1.0, math.inf) for _ in range(100)]]

    tasks += [asyncio.get_running_loop().create_task(busy()), task_of(calls.add(0, 1.0, math.inf))]
    tasks[1], tasks[0] = tasks[1], tasks[0]
    await asyncio.sleep(0)
    assert len(calls) == 2
    order = await deliver(calls, "a", "b")
    assert sum(order) >= 1
    for number in range(100):
        await asyncio.sleep(0)
        await deliver(calls, number)
    await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert list(range(100)) == next(result[1:] for result in results if isinstance(result, list))


async def test_a_woken_task_may_end_the_connection(kind: str) -> None:
    calls = make(kind)

    async def ending() -> None:
        await calls.add(0, 1.0, math.inf)
        calls.fail(lambda: ConnectionError("closed by a caller"))

    first = asyncio.get_running_loop().create_task(ending())
    await asyncio.sleep(0)
    others = [task_of(calls.add(0, 1.0, math.inf)) for _ in range(3)]
    await asyncio.sleep(0)
    await deliver(calls, "a", "b", "c", "d")
    await asyncio.wait([first, *others])
    ended = [task.exception() or task.result() for task in others]
    assert all(isinstance(end, ConnectionError) for end in ended) or ended == ["b", "c", "d"]
    assert len(calls) == 0


async def test_every_task_runs_in_its_own_context(kind: str) -> None:
    calls, name = make(kind), contextvars.ContextVar("name", default="nobody")

    async def named(own: str) -> tuple[str, Any]:
        name.set(own)
        reply = await calls.add(0, 1.0, math.inf)
        return name.get(), reply

    loop = asyncio.get_running_loop()
    shared = contextvars.copy_context()
    tasks = [loop.create_task(named(f"task {number}"), context=shared) for number in range(2)]
    tasks += [loop.create_task(named(f"task {number}")) for number in range(2, 5)]
    await asyncio.sleep(0)
    calls.deliver(parser(0, 1, 2, 3, 4), 0.0)
    asyncio.get_running_loop().call_soon(calls.wake, True, context=shared)
    results: list[tuple[str, Any]] = list(await asyncio.gather(*tasks))
    assert results == [("task 1", 0), ("task 1", 1), ("task 2", 2), ("task 3", 3), ("task 4", 4)]
    assert name.get() == "nobody"


async def test_what_a_callback_raises_hurts_no_other_call(kind: str) -> None:
    calls, told = make(kind), []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def failing(_: asyncio.Future[Any]) -> None:
        raise ValueError("mine")

    calls.add(0, 1.0, math.inf).add_done_callback(failing)
    task = task_of(calls.add(0, 1.0, math.inf))
    await asyncio.sleep(0)
    await deliver(calls, 1, 2)
    assert await task == 2
    assert [str(error) for error in told] == ["mine"]


async def test_an_interrupt_while_waking_goes_through_and_loses_nobody() -> None:
    native()
    calls = make("native")

    def interrupted(_: asyncio.Future[Any]) -> None:
        raise KeyboardInterrupt

    calls.add(0, 1.0, math.inf).add_done_callback(interrupted)
    tasks = [task_of(calls.add(0, 1.0, math.inf)) for _ in range(2)]
    await asyncio.sleep(0)
    calls.deliver(parser(1, 2, 3), 0.0)
    with pytest.raises(KeyboardInterrupt):
        calls.wake(True)
    assert await asyncio.gather(*tasks) == [2, 3]


async def test_nothing_leaks(kind: str) -> None:
    calls, value = make(kind), object()

    async def round_trip() -> None:
        tasks = [task_of(calls.add(replies, 1.0, 1.0)) for replies in (0, 2, 0, 0)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await deliver(calls, value, value, value)
        calls.expire(2.0, TierTimeout)
        calls.fail(TierTimeout)
        await asyncio.wait(tasks)
        assert sum(task.cancelled() for task in tasks) == 1
        assert sum(not task.cancelled() and task.exception() is not None for task in tasks) == 1

    await round_trip()
    gc.collect()
    before = sys.getrefcount(value), len(gc.get_objects())
    for _ in range(50):
        await round_trip()
    gc.collect()
    assert sys.getrefcount(value) == before[0]
    assert len(gc.get_objects()) - before[1] < 50


events = st.lists(st.sampled_from(["call", "call many", "cancel", "reply", "expire", "push"]), max_size=60)


@given(events)
def test_both_hand_the_same_replies_to_the_same_callers(script: list[str]) -> None:
    native()
    assert asyncio.run(played("reference", script)) == asyncio.run(played("native", script))


async def played(kind: str, script: list[str]) -> list[str]:
    """Run *script*, and return what each caller was told; a reply is a number of its own."""
    calls, tasks, owed, told = make(kind), [], [], 0
    for step, event in enumerate(script):
        if event.startswith("call"):
            replies = 2 if event == "call many" else 0
            tasks.append(task_of(calls.add(replies, float(step), float(step + 5))))
            owed.append(max(1, replies))
            await asyncio.sleep(0)
        elif event == "cancel" and tasks:
            tasks[step % len(tasks)].cancel()
        elif event == "reply" and sum(owed) > told:
            told += 1
            await deliver(calls, told)
        elif event == "expire":
            calls.expire(float(step), TierTimeout)
        elif event == "push":
            await deliver(calls, Push())
        await asyncio.sleep(0)
    calls.fail(lambda: ConnectionError("end"))
    return [repr(end) for end in await asyncio.gather(*tasks, return_exceptions=True)]


async def test_the_best_calls_are_the_native_ones_where_they_were_built() -> None:
    native()
    assert type(best_calls(asyncio.get_running_loop(), Push)).__module__ == "tiercel._lanes._native"
