"""
Time budgets: how long the request that is being served may still take, wherever its code has got to.

A budget belongs to the context that opened it, and goes along into awaits, into tasks and threads that Tiercel starts
for the request, and into loaders. It bounds reads: what they ask of the far tier, how long they wait for a load, and
how long a load may queue for its store. Writes and invalidations go to their end, and so does a load that has begun:
its result fills although its caller has gone. A budget ends with its block; what is left running is not in a hurry.

With no budget open anywhere a read pays one integer test (`open_budgets`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from tiercel.errors import ConfigurationError, TierTimeout

TIER_SHARE = 0.5
"""A tier may use this part of what is left: the rest is for the load, should the tier not answer."""
LEAST_ASK_S = 0.005
"""With less than this a tier is not asked: no answer in so short a time says nothing about the tier."""

open_budgets = 0
_count_lock = threading.Lock()


class Budget:
    """One open budget; ``ends`` is on the monotonic clock, and infinite once its block is over."""

    __slots__ = ("ends",)

    def __init__(self, ends: float) -> None:
        self.ends = ends


_current: ContextVar[Budget | None] = ContextVar("tiercel_budget", default=None)


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """
    Give everything that is read inside the block *seconds* in all.

    A budget inside another ends no later than the outer one. Reads that run out of time are served stale where the
    region allows it, and raise `LoadTimeout` otherwise.

    Raises:
        ConfigurationError: *seconds* is not greater than 0.
    """
    if not seconds > 0:
        raise ConfigurationError(f"budget({seconds}): must be greater than 0 seconds")
    outer = _current.get()
    own = Budget(min(time.monotonic() + seconds, math.inf if outer is None else outer.ends))
    mark = _current.set(own)
    _count(1)
    try:
        yield
    finally:
        _count(-1)
        own.ends = math.inf
        _current.reset(mark)


def time_left() -> float | None:
    """Return the seconds that the current budget has left, 0 where it is over, None where there is none."""
    left = left_s()
    return None if left == math.inf else max(0.0, left)


def ends_at() -> float:
    """Return when the current budget ends, on the monotonic clock; infinity where there is none."""
    own = _current.get() if open_budgets else None
    return math.inf if own is None else own.ends


def left_s() -> float:
    """Return the seconds that are left, negative where the budget is over, infinity where there is none."""
    ends = ends_at()
    return math.inf if ends == math.inf else ends - time.monotonic()


def within(own_s: float) -> float:
    """Return *own_s*, or what the budget has left where that is less; never negative."""
    return max(0.0, min(own_s, left_s()))


def tier_time_s(own_s: float) -> float:
    """
    Return how long a tier may take to answer a read: *own_s*, or its share of what the budget has left.

    Raises:
        TierTimeout: too little is left to ask at all.
    """
    share_s = left_s() * TIER_SHARE
    if share_s < LEAST_ASK_S:
        raise TierTimeout("the time budget of the request leaves no time to ask", tier="redis")
    return min(own_s, share_s)


def forget_budget() -> None:
    """Go on without a budget in this context: background work is in nobody's hurry."""
    if _current.get() is not None:
        _current.set(None)


def uncut() -> AbstractContextManager[None]:
    """Let what is asked of tiers inside the block take its own time: it serves more than the request at hand."""
    return _uncut() if open_budgets else nullcontext()


@contextmanager
def _uncut() -> Iterator[None]:
    mark = _current.set(None)
    try:
        yield
    finally:
        _current.reset(mark)


def _count(step: int) -> None:
    global open_budgets  # noqa: PLW0603  # one integer that reads may test
    with _count_lock:
        open_budgets += step
