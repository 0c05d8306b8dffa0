"""
The calls whose replies a connection owes, oldest first: what keeps replies and calls together on asyncio.

A call is added with each write and taken away only by its reply. One that is cancelled or out of time stays in its
place, and the late reply is read and dropped. So nothing that a caller does can shift the replies of others.

`Calls` is the reference; ``tiercel._lanes._native`` has the same in C, where a reply wakes its task at once instead of
by way of the loop's queue; one suite runs on both, and `best_calls` says which is there. Not thread-safe.
"""

from __future__ import annotations

import asyncio
import collections
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from tiercel._lanes.session import INCOMPLETE
from tiercel.errors import ReplyError

__all__ = ["Calls", "OwedCalls", "best_calls"]

# The call's future, when it began, its deadline, and how many replies it waits for.
Slot: TypeAlias = tuple["asyncio.Future[Any]", float, float, int]


class OwedCalls(Protocol):
    """What both implementations do."""

    def __len__(self) -> int:
        """Calls whose replies are owed."""

    @property
    def oldest(self) -> float:
        """When the oldest call began; infinite where there is none."""

    def add(self, replies: int, started: float, deadline: float, /) -> asyncio.Future[Any]:
        """
        Add a call and return its future.

        Args:
            replies: 0 for one command, whose error reply is raised; else the number of commands, and the result is the
                list of their replies, error replies as objects.
            started: Now, on the clock of `time.monotonic`.
            deadline: When `expire` ends it.
        """

    def deliver(self, parse: Callable[[], Any], slow_before: float, /) -> tuple[int, int]:
        """
        Hand out the replies that *parse* gives until it gives `INCOMPLETE`; to be followed by `wake`, whatever happens.

        Args:
            parse: Returns the next reply; what it raises goes through.
            slow_before: A call that began before this was answered late.

        Returns:
            How many callers of a single command were answered in time, and how many late; error replies are not
            counted, nor callers that no longer wait.

        Raises:
            IndexError: A reply came that nobody asked for.
        """

    def wake(self, is_direct: bool, /) -> None:
        """
        Wake the callers of the calls that were answered.

        Args:
            is_direct: No task is running, so that each may be woken on the spot, as the native calls do.
        """

    def expire(self, now: float, make_error: Callable[[], Exception], /) -> float:
        """End the calls whose deadline has come, and return the next deadline; infinite where there is none."""

    def fail(self, make_error: Callable[[], Exception], /) -> None:
        """End every call, and owe nothing any more."""


class Calls:
    """
    Args:
        loop: The loop that the callers run on.
        push_type: The class of what a server says unasked, which is passed over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, push_type: type) -> None:
        self._loop = loop
        self._push_type = push_type
        self._slots: collections.deque[Slot] = collections.deque()
        self._batch: list[Any] = []

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def oldest(self) -> float:
        """When the oldest call began; infinite where there is none."""
        return self._slots[0][1] if self._slots else math.inf

    def add(self, replies: int, started: float, deadline: float, /) -> asyncio.Future[Any]:
        """See `OwedCalls.add`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._slots.append((future, started, deadline, replies))
        return future

    def deliver(self, parse: Callable[[], Any], slow_before: float, /) -> tuple[int, int]:
        """See `OwedCalls.deliver`."""
        slots, push_type = self._slots, self._push_type
        good = slow = 0
        while (reply := parse()) is not INCOMPLETE:
            if type(reply) is push_type:
                continue  # nobody subscribes on a lane; the server may still tell of itself
            future, started, _, replies = slots[0]
            if replies:
                self._batch.append(reply)
                if len(self._batch) < replies:
                    continue
                reply, self._batch = self._batch, []
            slots.popleft()
            if future.done():
                continue
            if type(reply) is ReplyError:
                future.set_exception(reply)
                continue
            future.set_result(reply)
            if not replies:
                slow += started < slow_before
                good += started >= slow_before
        return good, slow

    def wake(self, is_direct: bool, /) -> None:
        """Do nothing: the futures have told the loop."""

    def expire(self, now: float, make_error: Callable[[], Exception], /) -> float:
        """End the calls whose deadline has come, and return the next deadline; infinite where there is none."""
        next_deadline = math.inf
        for future, _, deadline, _ in self._slots:
            if future.done():
                continue
            if deadline <= now:
                future.set_exception(make_error())
            elif deadline < next_deadline:
                next_deadline = deadline
        return next_deadline

    def fail(self, make_error: Callable[[], Exception], /) -> None:
        """End every call, and owe nothing any more."""
        slots = list(self._slots)
        self._slots.clear()
        self._batch = []
        for future, *_ in slots:
            if not future.done():
                future.set_exception(make_error())


def best_calls(loop: asyncio.AbstractEventLoop, push_type: type) -> OwedCalls:
    """Return the native calls where they were built, else the reference."""
    try:
        from tiercel._lanes._native import Calls as NativeCalls
    except ImportError:
        return Calls(loop, push_type)
    return NativeCalls(loop, push_type, INCOMPLETE, ReplyError)
