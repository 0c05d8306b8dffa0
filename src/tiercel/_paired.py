"""
The few things that differ between colours: each name comes twice, awaitable and blocking.

Code in `_async` uses the names that begin with ``Async``/``async_``; the generator renames them to the blocking ones.
Background work never relies on cancellation, which threads lack: a loop waits on its stop event between rounds.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

from tiercel._timebudget import forget_budget
from tiercel.errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")

AsyncFunction: TypeAlias = Callable[P, Awaitable[T]]
Function: TypeAlias = Callable[P, T]
AsyncLock = asyncio.Lock
Lock = threading.Lock
AsyncSemaphore = asyncio.Semaphore
Semaphore = threading.Semaphore


class AsyncEvent(asyncio.Event):
    """An event whose wait can be bounded."""

    async def wait_for(self, timeout_s: float) -> bool:
        """Return True once set, False after *timeout_s* seconds."""
        if self.is_set():
            return True
        try:
            await asyncio.wait_for(self.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


class Event(threading.Event):
    """The blocking twin of `AsyncEvent`."""

    def wait_for(self, timeout_s: float) -> bool:
        """Return True once set, False after *timeout_s* seconds."""
        return self.wait(timeout_s)


class AsyncJob:
    """Background work on the running loop."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    async def join(self, timeout_s: float) -> bool:
        """Wait for the work to end by itself; cancel it and return False after *timeout_s* seconds."""
        done, _ = await asyncio.wait({self._task}, timeout=timeout_s)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task})
        return bool(done)


class Job:
    """Background work in a daemon thread."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def join(self, timeout_s: float) -> bool:
        """Wait for the work to end by itself; return False after *timeout_s* seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def async_spawn(name: str, function: Callable[P, Awaitable[Any]], *args: P.args, **kwargs: P.kwargs) -> AsyncJob:
    """Start *function* in the background on the running loop, as a task called *name* without the caller's budget."""
    return AsyncJob(asyncio.get_running_loop().create_task(_as_coroutine(function, *args, **kwargs), name=name))


async def _as_coroutine(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    forget_budget()
    return await function(*args, **kwargs)


def spawn(name: str, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Job:
    """Start *function* in a daemon thread called *name*, in a copy of the caller's context without its budget."""
    context = contextvars.copy_context()
    context.run(forget_budget)
    thread = threading.Thread(target=lambda: context.run(function, *args, **kwargs), name=name, daemon=True)
    thread.start()
    return Job(thread)


async def async_sleep(seconds: float) -> None:
    """Pause the task."""
    await asyncio.sleep(seconds)


def sleep(seconds: float) -> None:
    """Pause the thread."""
    time.sleep(seconds)


async def async_gather(*awaitables: Awaitable[T]) -> list[T]:
    """Run *awaitables* together and return their results in order; the first error is raised once all have ended."""
    if len(awaitables) == 1:
        return [await awaitables[0]]
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]  # from the tasks: an exception object may be a result, too


def gather(*results: T) -> list[T]:
    """The blocking twin: the arguments were computed one after the other by the time that this is called."""
    return list(results)


async def async_run_blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking *function* in a worker thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


def run_blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call *function* here: the caller blocks anyway."""
    return function(*args, **kwargs)


class AsyncPoll:
    """Short pauses up to a limit, for what offers no event to wait for."""

    PAUSE_S = 0.002

    def __init__(self, limit_s: float) -> None:
        self._ends = time.monotonic() + limit_s

    async def again(self) -> bool:
        """Pause and return True, or return False once the limit has passed."""
        if time.monotonic() >= self._ends:
            return False
        await asyncio.sleep(self.PAUSE_S)
        return True


class Poll(AsyncPoll):
    """The blocking twin of `AsyncPoll`."""

    def again(self) -> bool:  # type: ignore[override]  # the twins differ in colour alone
        """Pause and return True, or return False once the limit has passed."""
        if time.monotonic() >= self._ends:
            return False
        time.sleep(self.PAUSE_S)
        return True


async def async_call(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Call a user's function, plain or awaitable, and return its answer."""
    answer = function(*args, **kwargs)
    return await answer if isinstance(answer, Awaitable) else answer


def call(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """The blocking twin of `async_call`; an awaitable answer has no loop to run on here."""
    answer = function(*args, **kwargs)
    if isinstance(answer, Awaitable):
        if hasattr(answer, "close"):
            answer.close()
        raise ConfigurationError(f"{function!r} is awaitable: use AsyncCache, or give Cache a plain function")
    return answer
