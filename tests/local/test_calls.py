"""Decorated functions: who answers, with which key, and that they still look like the function."""

from __future__ import annotations

import asyncio
import copy
import enum
import inspect
from collections.abc import Coroutine
from typing import Any

import pytest

from tiercel._core.clock import ManualClock
from tiercel.local import LocalTable, LocalView


class Recorder:
    """The slow side: remembers its calls, stores what it is told to."""

    def __init__(self, view: LocalView) -> None:
        self.view = view
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        self.calls.append((key, args, kwargs))
        value = f"value of {key!r}"
        self.view.set(key, value, ttl_s=10)
        return value

    async def awaited(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return self(key, args, kwargs)


@pytest.fixture
def recorder(view: LocalView) -> Recorder:
    return Recorder(view)


def make_key(*args: Any, **kwargs: Any) -> str:
    return f"{args!r}{sorted(kwargs.items())!r}"


def some_function(category: str, limit: int = 10) -> list[str]:
    """What it says."""
    raise AssertionError("the body is the slow side's business")


def test_a_miss_goes_the_slow_way_and_a_hit_does_not(view: LocalView, recorder: Recorder) -> None:
    call = view.wrap(some_function, make_key, recorder)
    first = call("shoes", limit=5)
    assert [call("shoes", limit=5) for _ in range(3)] == [first] * 3
    assert recorder.calls == [(make_key("shoes", limit=5), ("shoes",), {"limit": 5})]


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    (("a",), {}),
    (("b",), {}),
    ((b"a",), {}),
    ((1,), {}),
    ((True,), {}),
    ((1.0,), {}),
    ((0.0,), {}),
    ((-0.0,), {}),
    ((float("inf"),), {}),
    ((None,), {}),
    ((2**70,), {}),
    (("a", "b"), {}),
    (("ab", ""), {}),
    (("a",), {"limit": "b"}),
    (("a",), {"other": "b"}),
    (("a",), {"limit": 1}),
    (("a",), {"limit": True}),
    (("a", 1, 2, 3), {}),
    (("a", 1, 2, 3, 4), {}),
    (("a", 1, 2, 3, 4, 5), {"six": 6}),
    (((1, 2),), {}),
    (([1],), {}),
    (({"a": 1},), {}),
]


def test_every_set_of_arguments_has_its_own_answer(view: LocalView, recorder: Recorder) -> None:
    call = view.wrap(some_function, make_key, recorder)
    for _ in range(3):
        for args, kwargs in CALLS:
            assert call(*args, **kwargs) == f"value of {make_key(*args, **kwargs)!r}"
    assert len(recorder.calls) == len(CALLS)


def test_equal_text_of_another_class_computes_its_own_key(view: LocalView, recorder: Recorder) -> None:
    class Colour(str, enum.Enum):  # noqa: UP042 - StrEnum is written as its value, this one is not  # noqa: UP042  a StrEnum's text is its value's
        RED = "red"

    call = view.wrap(some_function, make_key, recorder)
    assert call("red") == call("red")
    assert call(Colour.RED) != call("red")


def test_a_remembered_place_is_not_trusted_after_it_changed_hands(table: LocalTable, clock: ManualClock) -> None:
    view = table.view("acme")
    recorder = Recorder(view)
    call = view.wrap(some_function, make_key, recorder)
    call("a")
    assert call("a") == call("a")
    view.delete(make_key("a"))
    for number in range(200):  # the place is reused by other keys and tenants
        table.view("globex").set(f"k{number}", "globex's", ttl_s=10)
    assert call("a") == f"value of {make_key('a')!r}"
    assert len(recorder.calls) == 2
    clock.advance(10)
    call("a")
    view.bump_epoch()
    call("a")
    assert len(recorder.calls) == 4


def test_many_arguments_over_a_small_table(view: LocalView, recorder: Recorder) -> None:
    call = view.wrap(some_function, make_key, recorder)
    for number in range(5000):
        key = f"k{number * 7919 % 700}"
        assert call(key) == f"value of {make_key(key)!r}"


def test_an_overwritten_value_is_seen_at_once(view: LocalView, recorder: Recorder) -> None:
    call = view.wrap(some_function, make_key, recorder)
    call("a")
    call("a")
    view.set(make_key("a"), "new", ttl_s=10)
    assert call("a") == "new"


@pytest.mark.parametrize("ignore_first", [True, False])
def test_methods(view: LocalView, recorder: Recorder, ignore_first: bool) -> None:
    def key_of(self: Any, name: str) -> str:
        return name if ignore_first else f"{self.number}{name}"

    class Shop:
        def __init__(self, number: int) -> None:
            self.number = number

        def price(self, name: str) -> str:
            """The price."""
            raise AssertionError(name)

        price = view.wrap(price, key_of, recorder, ignore_first=ignore_first)

    one, two = Shop(1), Shop(2)
    assert one.price("a") == one.price("a")
    assert (one.price("a") == two.price("a")) is ignore_first
    assert list(inspect.signature(one.price).parameters) == ["name"]
    assert recorder.calls[0][1] == (one, "a")


def test_it_looks_like_the_function(view: LocalView, recorder: Recorder) -> None:
    call: Any = view.wrap(some_function, make_key, recorder)
    assert inspect.signature(call) == inspect.signature(some_function)
    assert (call.__name__, call.__doc__, call.__wrapped__) == ("some_function", "What it says.", some_function)
    assert call.__module__ == __name__
    call.note = 1
    assert call.note == 1
    assert callable(call)


def test_it_copies_as_a_function_does(view: LocalView, recorder: Recorder) -> None:
    call = view.wrap(some_function, make_key, recorder)
    assert copy.copy(call) is call
    assert copy.deepcopy(call) is call


def test_errors_pass_through(view: LocalView) -> None:
    def fail(key: Any, args: Any, kwargs: Any) -> None:
        raise LookupError(key)

    def refuse(*args: Any) -> str:
        raise ValueError(args)

    with pytest.raises(LookupError, match="a"):
        view.wrap(some_function, make_key, fail)("a")
    with pytest.raises(ValueError, match="a"):
        view.wrap(some_function, refuse, fail)("a")


async def slow_function(category: str) -> str:
    """What it says."""
    raise AssertionError(category)


async def test_awaited_hits_and_misses(view: LocalView, recorder: Recorder) -> None:
    call = view.wrap_async(slow_function, make_key, recorder.awaited)
    assert await call("a") == f"value of {make_key('a')!r}"
    assert await call("a") == f"value of {make_key('a')!r}"
    assert len(recorder.calls) == 1


def test_an_awaited_hit_never_suspends(view: LocalView, recorder: Recorder) -> None:
    view.set(make_key("a"), 1, ttl_s=10)
    call = view.wrap_async(slow_function, make_key, recorder.awaited)

    async def twice() -> tuple[Any, Any]:
        return await call("a"), await call("a")

    with pytest.raises(StopIteration) as stop:
        twice().send(None)
    assert stop.value.value == (1, 1)


async def test_awaited_hits_serve_where_coroutines_do(view: LocalView, recorder: Recorder) -> None:
    view.set(make_key("a"), (1, 2), ttl_s=10)
    call = view.wrap_async(slow_function, make_key, recorder.awaited)
    assert asyncio.iscoroutinefunction(call)
    pending: Any = call("a")
    assert isinstance(pending, Coroutine)
    assert await asyncio.create_task(pending) == (1, 2)
    both: Any = await asyncio.gather(call("a"), call("b"))
    assert both == [(1, 2), f"value of {make_key('b')!r}"]
    assert await asyncio.wait_for(call("a"), 1) == (1, 2)


def test_a_ready_answer_is_awaited_once_and_can_be_dropped(view: LocalView, recorder: Recorder) -> None:
    view.set(make_key("a"), StopIteration("a value like any other"), ttl_s=10)
    call = view.wrap_async(slow_function, make_key, recorder.awaited)
    pending: Any = call("a")
    with pytest.raises(StopIteration) as stop:
        pending.send(None)
    assert isinstance(stop.value.value, StopIteration)
    with pytest.raises(RuntimeError, match="already awaited"):
        pending.send(None)
    unused: Any = call("a")
    unused.close()
    thrown: Any = call("a")
    with pytest.raises(KeyError):
        thrown.throw(KeyError("k"))
