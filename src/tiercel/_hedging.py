"""
Hedging: two ways to one answer, the second begun only where the first is late; the first answer wins.

Each function comes twice, awaitable and blocking. The blocking one runs both ways in threads of a small pool of its
own, because a thread that waits for one answer cannot take another.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

POOL_THREADS = 32


async def async_hedged(
    first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T | None]], after_s: float
) -> tuple[T, bool]:
    """
    Return the answer that comes first, and whether it is the second's.

    Args:
        first: The way that is always taken; its failure is raised where the second has no answer either.
        second: Begun after *after_s* seconds without the first's answer; None says that it has none to give.
        after_s: Patience.
    """
    primary = asyncio.ensure_future(_as_coroutine(first))
    try:
        done, _ = await asyncio.wait({primary}, timeout=after_s)
        if done:
            return primary.result(), False
        other = asyncio.ensure_future(_as_coroutine(second))
        try:
            await asyncio.wait({primary, other}, return_when=asyncio.FIRST_COMPLETED)
            if primary.done() and primary.exception() is None:
                return primary.result(), False
            answer = await other
            return (answer, True) if answer is not None else (await primary, False)
        finally:
            other.cancel()
    finally:
        primary.cancel()


async def _as_coroutine(function: Callable[[], Awaitable[T]]) -> T:
    return await function()


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="tiercel-hedge")


def hedged(first: Callable[[], T], second: Callable[[], T | None], after_s: float) -> tuple[T, bool]:
    """The blocking twin of `async_hedged`; what loses ends by itself."""
    context = contextvars.copy_context()
    primary: concurrent.futures.Future[T] = _pool().submit(lambda: context.run(first))
    if concurrent.futures.wait({primary}, after_s).done:
        return primary.result(), False
    beside = contextvars.copy_context()
    other: concurrent.futures.Future[T | None] = _pool().submit(lambda: beside.run(second))
    both: list[concurrent.futures.Future[Any]] = [primary, other]
    concurrent.futures.wait(both, return_when=concurrent.futures.FIRST_COMPLETED)
    if primary.done() and primary.exception() is None:
        return primary.result(), False
    answer = other.result()
    return (answer, True) if answer is not None else (primary.result(), False)
