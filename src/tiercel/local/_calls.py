"""
Decorated calls over the reference view: plain functions around ``view.get``.

A call with a single ``str`` argument, the common one, is answered with two dictionary look-ups: the argument's key is
remembered. Every other call computes its key. Keys are remembered for exact ``str`` only, since ``1``, ``True`` and ``1.0``
are one dictionary key and yet three cache keys.
"""

from __future__ import annotations

import asyncio.coroutines
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tiercel.local.contract import MakeKey, Slow, SlowAsync
from tiercel.typing import MISS, Key, Miss

__all__ = ["finish_call", "wrap_async_call", "wrap_call"]

MOST_REMEMBERED = 8192


class Reader(Protocol):
    """What answers a hit."""

    def get(self, key: Key) -> Any | Miss: ...


def wrap_call(
    view: Reader, function: Callable[..., Any], make_key: MakeKey, slow: Slow, ignored: int
) -> Callable[..., Any]:
    """Return *function* with its hits answered by *view*; *ignored* leading arguments do not reach the key."""
    keys: dict[str, Key] = {}
    get = view.get
    arity = ignored + 1

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) == arity and not kwargs and type(args[ignored]) is str:
            key = keys.get(args[ignored])
            if key is None:
                key = _remember(keys, args[ignored], make_key(*args))
        else:
            key = make_key(*args, **kwargs)
        value = get(key)
        return slow(key, args, kwargs) if value is MISS else value

    return call


def wrap_async_call(
    view: Reader, function: Callable[..., Any], make_key: MakeKey, slow_async: SlowAsync, ignored: int
) -> Callable[..., Awaitable[Any]]:
    """Return the awaitable twin of `wrap_call`."""
    keys: dict[str, Key] = {}
    get = view.get
    arity = ignored + 1

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) == arity and not kwargs and type(args[ignored]) is str:
            key = keys.get(args[ignored])
            if key is None:
                key = _remember(keys, args[ignored], make_key(*args))
        else:
            key = make_key(*args, **kwargs)
        value = get(key)
        return await slow_async(key, args, kwargs) if value is MISS else value

    return call


def _remember(keys: dict[str, Key], argument: str, key: Key) -> Key:
    if len(keys) >= MOST_REMEMBERED:
        keys.clear()
    keys[argument] = key
    return key


def finish_call(call: Any, function: Callable[..., Any], is_async: bool) -> None:
    """Make a native *call* look like *function*: name, signature, documentation, and that it is to be awaited."""
    functools.update_wrapper(call, function)
    if is_async:
        if hasattr(inspect, "markcoroutinefunction"):
            inspect.markcoroutinefunction(call)
        call._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # what asyncio itself asks for
