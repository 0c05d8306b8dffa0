"""
Loads in flight: one table for threads and tasks, so that one load serves all who ask meanwhile.

The first caller of a key leads; the others follow and get its answer. The leader's load runs detached from the leader's
own task, so a cancelled leader harms nobody and the load always ends. An invalidation *detaches* a flight: those who
follow already asked before it and may have the older answer; whoever asks afterwards starts anew.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from tiercel._timebudget import ends_at
from tiercel.errors import BlockingCallError, LoadTimeout

_background: set[asyncio.Task[Any]] = set()


class Flight:
    """
    One load and all who wait for it; safe across threads and loops.

    Attributes:
        ends: When the time budget of the one who leads ends: its failure need not be that of a follower with more time.
    """

    __slots__ = ("ends", "future", "key")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.ends = ends_at()
        self.future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.future.set_running_or_notify_cancel()


class Flights:
    """
    The table of one cache; every method holds its lock for a few instructions only.

    Attributes:
        on_detach: Told each key that is detached; None where nobody listens.
    """

    def __init__(self) -> None:
        self.on_detach: Callable[[Any], None] | None = None
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    def enter(self, key: Hashable) -> tuple[Flight, bool]:
        """Return the flight of *key* and whether the caller leads it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(key)
            return flight, True

    def detach(self, key: Hashable) -> None:
        """Let later callers of *key* start a load of their own: what it stands for has changed."""
        if self.on_detach is not None:
            self.on_detach(key)
        with self._lock:
            self._flights.pop(key, None)

    def abandon(self, flight: Flight) -> None:
        """Let later callers start a load of their own beside *flight*, which has lasted too long."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]

    def detach_all(self) -> None:
        """Let later callers of every key start loads of their own."""
        with self._lock:
            self._flights.clear()

    def land(self, flight: Flight, answer: Any = None, error: BaseException | None = None) -> None:
        """End *flight*: later callers start anew, followers get *answer* or *error*."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        if error is not None:
            flight.future.set_exception(error)
        else:
            flight.future.set_result(answer)


async def async_follow(flight: Flight, timeout_s: float | None) -> Any:
    """Wait for the flight's answer; being cancelled leaves the flight alone."""
    answer = asyncio.wrap_future(flight.future)
    answer.add_done_callback(_noted)
    try:
        return await asyncio.wait_for(asyncio.shield(answer), timeout_s)
    except TimeoutError as error:
        if flight.future.done():
            return flight.future.result()  # it landed as the time ran out, or this is its own error
        raise LoadTimeout(f"waited {timeout_s} s for a load that is still running") from error


def _noted(answer: asyncio.Future[Any]) -> None:
    """Look at an error that nobody waits for any more, so that the loop does not report it as lost."""
    if not answer.cancelled():
        answer.exception()


def follow(flight: Flight, timeout_s: float | None) -> Any:
    """The blocking twin of `async_follow`."""
    try:
        return flight.future.result(timeout_s)
    except TimeoutError as error:
        if flight.future.done():
            return flight.future.result()  # it landed as the time ran out, or this is its own error
        raise LoadTimeout(f"waited {timeout_s} s for a load that is still running") from error


def async_detached(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    """Run *function* to its end on the running loop, whatever becomes of the caller; it must not raise."""
    task = asyncio.ensure_future(_coroutine(function, *args))
    _background.add(task)
    task.add_done_callback(_background.discard)


async def async_finishing(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Run *function* to its end, whatever becomes of the caller, and return its answer."""
    flight = Flight(None)

    async def lead() -> None:
        try:
            answer = await function(*args)
        except BaseException as error:
            flight.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            flight.future.set_result(answer)

    async_detached(lead)
    return await async_follow(flight, None)


def finishing(function: Callable[..., Any], *args: Any) -> Any:
    """The blocking twin: a thread cannot be cancelled."""
    return function(*args)


async def _coroutine(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    return await function(*args)


def detached(function: Callable[..., Any], *args: Any) -> None:
    """The blocking twin: the caller's own thread does the work."""
    function(*args)


def async_alongside(function: Callable[..., Awaitable[Any]], *args: Any) -> None:
    """Like `async_detached`, for a caller who may go on before *function* has ended."""
    async_detached(function, *args)


def alongside(function: Callable[..., Any], *args: Any) -> None:
    """The blocking twin: a thread of its own does the work, in a copy of the caller's context."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(function, *args), name="tiercel-load", daemon=True).start()


def async_may_wait() -> None:
    """Nothing to refuse: the awaitable façade never blocks the loop."""


def may_wait() -> None:
    """
    Refuse to block a running event loop.

    Raises:
        BlockingCallError: called in a thread whose loop is running.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001  # the documented look that raises nothing
        raise BlockingCallError
