"""
Decorated calls over the reference view, and what makes a native call look like the function that it wraps.

A call with one positional ``str`` argument, the common one, is answered with two dictionary look-ups: the key that the
argument gave is remembered. Every other call computes its key. Only an exact ``str`` is remembered: ``1``, ``True`` and
``1.0`` are one dictionary key and yet three cache keys.

The hit path of `ReferenceView.get` is repeated inside both wrappers: a call in between would cost as much as the rest.
"""

from __future__ import annotations

import asyncio.coroutines
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tiercel.local import watch
from tiercel.local.contract import MakeKey, Slow, SlowAsync
from tiercel.typing import MISS, Key

if TYPE_CHECKING:
    from tiercel.local._reference_view import ReferenceView

__all__ = ["finish_call", "wrap_async_call", "wrap_call"]

MOST_REMEMBERED = 8192
NOTHING: Any = object()


def wrap_call(view: ReferenceView, function: Callable[..., Any], make_key: MakeKey, slow: Slow) -> Callable[..., Any]:
    """Return *function* with its hits answered by *view*."""
    keys: dict[str, Key] = {}
    entries, table, time = view.entries, view.table, view.time

    def answer(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = _key_of(keys, make_key, args, kwargs)
        value = MISS if watch.reads_are_watched else view.get(key)
        return slow(key, args, kwargs) if value is MISS else value

    @functools.wraps(function)
    def call(argument: Any = NOTHING, /, *rest: Any, **kwargs: Any) -> Any:
        if type(argument) is str and not rest and not kwargs and not watch.reads_are_watched:
            try:
                entry = entries[keys[argument]]
            except KeyError:
                return answer((argument,), kwargs)
            now = time.now
            if entry.hot_until > now < table.trusted_until and entry.stamp >= view.floor and entry.stamp >= table.floor:
                entry.visited = True
                view.hits += 1
                return entry.value
        return answer(() if argument is NOTHING else (argument, *rest), kwargs)

    return call


def wrap_async_call(
    view: ReferenceView, function: Callable[..., Any], make_key: MakeKey, slow_async: SlowAsync
) -> Callable[..., Awaitable[Any]]:
    """Return the awaitable twin of `wrap_call`."""
    keys: dict[str, Key] = {}
    entries, table, time = view.entries, view.table, view.time

    async def answer(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = _key_of(keys, make_key, args, kwargs)
        value = MISS if watch.reads_are_watched else view.get(key)
        return await slow_async(key, args, kwargs) if value is MISS else value

    @functools.wraps(function)
    async def call(argument: Any = NOTHING, /, *rest: Any, **kwargs: Any) -> Any:
        if type(argument) is str and not rest and not kwargs and not watch.reads_are_watched:
            try:
                entry = entries[keys[argument]]
            except KeyError:
                return await answer((argument,), kwargs)
            now = time.now
            if entry.hot_until > now < table.trusted_until and entry.stamp >= view.floor and entry.stamp >= table.floor:
                entry.visited = True
                view.hits += 1
                return entry.value
        return await answer(() if argument is NOTHING else (argument, *rest), kwargs)

    return call


def _key_of(keys: dict[str, Key], make_key: MakeKey, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Key:
    """Compute the key, and remember it where the next call may look it up."""
    key = make_key(*args, **kwargs)
    if len(args) == 1 and not kwargs and type(args[0]) is str:
        if len(keys) >= MOST_REMEMBERED:
            keys.clear()
        keys[args[0]] = key
    return key


def finish_call(call: Any, function: Callable[..., Any], is_async: bool) -> None:
    """Make a native *call* look like *function*: name, signature, documentation, and that it is to be awaited."""
    functools.update_wrapper(call, function)
    if is_async:
        if hasattr(inspect, "markcoroutinefunction"):
            inspect.markcoroutinefunction(call)
        call._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio asks
