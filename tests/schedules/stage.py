"""
The stage: parks actors at gates and lets one go at a time; one for tasks, one for threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeAlias

from tests.schedules.choices import Choices, Explored
from tiercel import _gates

WAITS = frozenset({"fill.busy", "read.follow"})
SETTLE_S = 10.0
GRACE_S = 0.004

_actor: ContextVar[str | None] = ContextVar("actor", default=None)

AsyncRace: TypeAlias = Callable[["AsyncStage"], Awaitable[Callable[[], Awaitable[str | None]]]]
Race: TypeAlias = Callable[["Stage"], Callable[[], str | None]]


class _Cast:
    """Who is where: shared by both stages; the caller holds the lock."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.state: dict[str, str] = {}
        self.parked: dict[str, str] = {}
        self.trace: list[str] = []
        self.errors: dict[str, BaseException] = {}

    def enter(self, actor: str, gate: str) -> bool:
        """Note that *actor* came to *gate*; return whether it must park."""
        if gate in WAITS:
            self.state[actor] = "waiting"
            return False
        self.state[actor] = "parked"
        self.parked[actor] = gate
        return True

    def pick(self) -> str:
        """Choose the parked actor that goes on, and note it."""
        ready = sorted(self.parked)
        actor = ready[self.choices.choose(len(ready))]
        self.trace.append(f"{actor}@{self.parked.pop(actor)}")
        self.state[actor] = "running"
        return actor

    def is_running(self) -> bool:
        """Whether an actor is between two gates."""
        return "running" in self.state.values()

    def is_over(self) -> bool:
        """Whether every actor has ended."""
        return all(state == "done" for state in self.state.values())


class AsyncStage:
    """
    Runs tasks from gate to gate.

    Args:
        choices: Which actor goes at each decision.
    """

    def __init__(self, choices: Choices) -> None:
        self.cast = _Cast(choices)
        self._release: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def actor(self, name: str, function: Callable[[], Awaitable[Any]]) -> None:
        """Add an actor; it begins parked at the gate ``start``."""
        self._release[name] = asyncio.Event()
        self.cast.state[name] = "running"
        mark = _actor.set(name)
        self._tasks.append(asyncio.get_running_loop().create_task(self._play(name, function)))
        _actor.reset(mark)

    async def _play(self, name: str, function: Callable[[], Awaitable[Any]]) -> None:
        await self._gate("start")
        try:
            await function()
        except Exception as error:
            self.cast.errors[name] = error
        self.cast.state[name] = "done"
        self._changed.set()

    async def _gate(self, gate: str) -> None:
        actor = _actor.get()
        if actor is None or self.cast.state.get(actor) == "done":
            return
        if self.cast.enter(actor, gate):
            self._release[actor].clear()
            self._changed.set()
            await self._release[actor].wait()
        else:
            self._changed.set()

    async def _settle(self) -> None:
        """Wait until nobody runs; one that waits for another gets a moment to notice that its wait is over."""
        ends = time.monotonic() + SETTLE_S
        while True:
            while self.cast.is_running():
                self._changed.clear()
                await asyncio.wait_for(self._changed.wait(), max(0.01, ends - time.monotonic()))
            if "waiting" not in self.cast.state.values():
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), GRACE_S)
            except TimeoutError:
                if self.cast.parked or self.cast.is_over():
                    return
                if time.monotonic() > ends:
                    raise AssertionError(f"everybody waits: {self.cast.state}, after {self.cast.trace}") from None

    async def run(self) -> None:
        """Play to the end."""
        await self._settle()
        while not self.cast.is_over():
            self._release[self.cast.pick()].set()
            await self._settle()
        await asyncio.gather(*self._tasks)

    async def __aenter__(self) -> Self:
        _gates.async_hook = self._gate
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _gates.async_hook = None
        for event in self._release.values():
            event.set()


async def async_explore(race: AsyncRace, limit: int = 2000) -> Explored:
    """
    Run *race* in every order of its actors, or in the first *limit* of them.

    Args:
        race: Makes a fresh world on the stage, adds the actors, and returns the check, which says what is wrong.
        limit: Most orders.
    """
    explored, prefix = Explored(), [0]
    while explored.schedules < limit:
        choices = Choices(prefix)
        stage = AsyncStage(choices)
        check = await race(stage)
        async with stage:
            await stage.run()
        explored.note(await check(), stage.cast.trace)
        following = choices.following()
        if following is None:
            explored.is_exhaustive = True
            break
        prefix = following
    return explored


class Stage:
    """
    Runs threads from gate to gate.

    Args:
        choices: Which actor goes at each decision.
    """

    def __init__(self, choices: Choices) -> None:
        self.cast = _Cast(choices)
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def actor(self, name: str, function: Callable[[], Any]) -> None:
        """Add an actor; it begins parked at the gate ``start``."""
        self.cast.state[name] = "running"
        self._threads.append(threading.Thread(target=self._play, args=(name, function), daemon=True))

    def _play(self, name: str, function: Callable[[], Any]) -> None:
        _actor.set(name)
        self._gate("start")
        try:
            function()
        except Exception as error:
            self.cast.errors[name] = error
        with self._changed:
            self.cast.state[name] = "done"
            self._changed.notify_all()

    def _gate(self, gate: str) -> None:
        actor = _actor.get()
        with self._changed:
            if actor is None or self.cast.state.get(actor) == "done":
                return
            parks = self.cast.enter(actor, gate)
            self._changed.notify_all()
            while parks and self.cast.state[actor] == "parked":
                self._changed.wait()

    def _settle(self) -> None:
        ends = time.monotonic() + SETTLE_S
        while True:
            while self.cast.is_running():
                if not self._changed.wait(max(0.01, ends - time.monotonic())) and time.monotonic() > ends:
                    raise AssertionError(f"an actor does not come to a gate: {self.cast.state}, {self.cast.trace}")
            if "waiting" not in self.cast.state.values():
                return
            changed = self._changed.wait(GRACE_S)
            if not changed and (self.cast.parked or self.cast.is_over()):
                return
            if time.monotonic() > ends:
                raise AssertionError(f"everybody waits: {self.cast.state}, after {self.cast.trace}")

    def run(self) -> None:
        """Play to the end."""
        for thread in self._threads:
            thread.start()
        with self._changed:
            self._settle()
            while not self.cast.is_over():
                self.cast.pick()
                self._changed.notify_all()
                self._settle()
        for thread in self._threads:
            thread.join(SETTLE_S)

    def __enter__(self) -> Self:
        _gates.hook = self._gate
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _gates.hook = None
        with self._changed:
            self.cast.state = dict.fromkeys(self.cast.state, "done")
            self._changed.notify_all()


def explore(race: Race, limit: int = 2000) -> Explored:
    """The blocking twin of `async_explore`."""
    explored, prefix = Explored(), [0]
    while explored.schedules < limit:
        choices = Choices(prefix)
        stage = Stage(choices)
        check = race(stage)
        with stage:
            stage.run()
        explored.note(check(), stage.cast.trace)
        following = choices.following()
        if following is None:
            explored.is_exhaustive = True
            break
        prefix = following
    return explored
