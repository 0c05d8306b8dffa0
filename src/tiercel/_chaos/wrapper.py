"""
Wrappers that make any object's methods fail or dawdle on cue: a store, a tier, a link, blocking or awaitable.

A fault strikes *before* the call (it never happened) or *after* it (it happened, and its reply was lost): the second
kind finds code that takes an error for "nothing was done".
"""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Chaos", "FaultPlan", "InjectedFault"]


class InjectedFault(Exception):
    """A fault that a test asked for."""


@dataclass
class FaultPlan:
    """
    What goes wrong, and when; thread-safe, may be changed while calls run.

    Args:
        error: Makes the exception to raise.
        share: Part of the calls that fail, drawn from *seed*.
        moment: ``before`` the call or ``after`` it.
        delay_s: Pause before each call.
        methods: Names of the methods concerned; empty for all.
        seed: Makes the draws repeatable.
    """

    error: Callable[[], Exception] = InjectedFault
    share: float = 0.0
    moment: Literal["before", "after"] = "before"
    delay_s: float = 0.0
    methods: frozenset[str] = frozenset()
    seed: int = 0
    calls: int = field(default=0, init=False)
    """Calls that the plan saw."""
    faults: int = field(default=0, init=False)
    """Calls that it made fail."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._fail_next = 0
        self._lock = threading.Lock()

    def fail_next(self, count: int = 1) -> None:
        """Make the next *count* calls fail, whatever `share` says."""
        with self._lock:
            self._fail_next = count

    def concerns(self, method: str) -> bool:
        """Say whether *method* can be struck."""
        return not self.methods or method in self.methods

    def strikes(self) -> bool:
        """Count a call, and say whether it fails."""
        with self._lock:
            self.calls += 1
            is_struck = self._fail_next > 0 or self._random.random() < self.share
            self._fail_next = max(0, self._fail_next - 1)
            self.faults += is_struck
            return is_struck


class Chaos:
    """
    *target* with the faults of *plan*: every public method is wrapped, everything else passes through.

    Args:
        target: The object; it is not changed.
        plan: What goes wrong.
    """

    def __init__(self, target: Any, plan: FaultPlan) -> None:
        self._target = target
        self.plan = plan

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name.startswith("_") or not callable(attribute) or not self.plan.concerns(name):
            return attribute
        return self._awaitable(attribute) if inspect.iscoroutinefunction(attribute) else self._blocking(attribute)

    def _awaitable(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            plan = self.plan
            is_struck = plan.strikes()
            if plan.delay_s:
                await asyncio.sleep(plan.delay_s)
            if is_struck and plan.moment == "before":
                raise plan.error()
            result = await method(*args, **kwargs)
            if is_struck:
                raise plan.error()
            return result

        return call

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            plan = self.plan
            is_struck = plan.strikes()
            if plan.delay_s:
                time.sleep(plan.delay_s)
            if is_struck and plan.moment == "before":
                raise plan.error()
            result = method(*args, **kwargs)
            if is_struck:
                raise plan.error()
            return result

        return call
