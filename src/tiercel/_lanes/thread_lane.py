"""
The lane of threads: a stack of connections to one server, each used by one thread at a time.

A thread takes the connection that was used last, or makes one where none is idle, up to ``max_connections``; then it
waits. So there are as many connections as calls at once, not as threads. Why this and not one connection shared by all
threads is measured in docs/design/redis-transport.md.
"""

from __future__ import annotations

import collections
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tiercel._core.backoff import Backoff
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.resp import Command
from tiercel._lanes import forking
from tiercel._lanes.session import Endpoint
from tiercel._lanes.thread_wire import Wire
from tiercel.errors import ClosedError, ReplyError, TierError, TierTimeout, TierUnavailable

__all__ = ["Lane"]


class Lane:
    """
    The connections of one process to one server; thread-safe.

    Args:
        endpoint: Which server, and how to sign in.
        options: Timeouts and bounds.
        on_reconnect: Called with the server's name after the first connection that follows a lost one.
    """

    def __init__(self, endpoint: Endpoint, options: LinkOptions, on_reconnect: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        self.name = endpoint.address.name
        self.version = ""
        self.reconnects = 0
        self._options = options
        self._on_reconnect = on_reconnect
        self._backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s)
        self._failed_attempts = 0
        self._next_attempt_at = 0.0
        self._last_failure: TierError | None = None
        self._has_lost = False
        self._is_closed = False
        self._start_empty()
        forking.watch(self)

    def _start_empty(self) -> None:
        self._idle: collections.deque[Wire] = collections.deque()
        self._idle_dedicated: collections.deque[Wire] = collections.deque()
        self._all: set[Wire] = set()
        self._slots = threading.Semaphore(self._options.max_connections)

    @property
    def connections(self) -> int:
        """Open connections, dedicated ones included."""
        return len(self._all)

    @property
    def in_flight(self) -> int:
        """Connections in use."""
        return max(0, len(self._all) - len(self._idle) - len(self._idle_dedicated))

    def execute(self, command: Command, deadline: float) -> Any:
        """
        Send *command* and return its reply.

        Args:
            command: Name and arguments.
            deadline: On the clock of `time.monotonic`.

        Raises:
            ReplyError: The server answered with an error.
            TierTimeout: No reply by *deadline*.
            ConnectionBroken: The connection was lost after sending.
            TierUnavailable: There is no connection; nothing was sent.
        """
        wire = self._take(deadline)
        try:
            return wire.execute(command, deadline)
        finally:
            self._give_back(wire)

    def execute_many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """
        Send *commands* in one write, nothing in between, and return their replies in order.

        An error reply is a `ReplyError` object in its place. Raises as `execute` does where all failed together.
        """
        wire = self._take(deadline)
        try:
            return wire.execute_many(commands, deadline)
        finally:
            self._give_back(wire)

    def blocking(self, command: Command, deadline: float) -> Any:
        """
        Run a command that may wait at the server on a connection of its own.

        The connection is kept for the next such command; a call that is out of time closes it.
        """
        try:
            wire = self._idle_dedicated.pop()
        except IndexError:
            wire = self._connect(deadline)
        try:
            reply = wire.execute(command, deadline)
        except ReplyError:
            self._idle_dedicated.append(wire)
            raise
        except BaseException:
            self._drop(wire)
            raise
        self._idle_dedicated.append(wire)
        return reply

    def close(self) -> None:
        """Close every idle connection and refuse new ones; a connection in use is closed as it is given back."""
        self._is_closed = True
        for stack in (self._idle, self._idle_dedicated):
            while stack:
                self._drop(stack.pop())
        for wire in list(self._all):
            wire.shut_down()

    def after_fork(self) -> list[Wire]:
        """In a forked child: drop what belongs to the parent, and return it for `forking` to keep alive."""
        wires = list(self._all)
        for wire in wires:
            wire.forget()
        self._start_empty()
        return wires

    # -- inside --------------------------------------------------------------------------------------------------------

    def _take(self, deadline: float) -> Wire:
        """Return a live connection that no other thread uses."""
        if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TierTimeout(f"{self.name}: all {self._options.max_connections} connections are in use", tier="redis")
        try:
            while True:
                try:
                    wire = self._idle.pop()
                except IndexError:
                    return self._connect(deadline)
                if wire.is_alive and not wire.is_stale():
                    return wire
                self._drop(wire)
        except BaseException:
            self._slots.release()
            raise

    def _give_back(self, wire: Wire) -> None:
        if self._is_closed or not wire.is_alive:
            self._drop(wire)
        elif wire.owed:
            self._idle.appendleft(wire)  # taken last: its owed replies may have come by then
        else:
            self._idle.append(wire)
        self._slots.release()

    def _drop(self, wire: Wire) -> None:
        if not self._is_closed:
            self._has_lost = True
        wire.close()
        self._all.discard(wire)

    def _connect(self, deadline: float) -> Wire:
        if self._is_closed:
            raise ClosedError("the link was closed")
        now = time.monotonic()
        if self._last_failure is not None and now < self._next_attempt_at:
            raise TierUnavailable(str(self._last_failure), tier="redis") from self._last_failure.__cause__
        try:
            wire = Wire(self.endpoint, min(deadline, now + self._options.connect_timeout_s))
        except TierError as error:
            self._failed_attempts += 1
            pause_s = self._backoff.pause_s(self._failed_attempts, random.random())
            self._last_failure, self._next_attempt_at = error, time.monotonic() + pause_s
            raise
        self._failed_attempts, self._last_failure = 0, None
        self._all.add(wire)
        self.version = wire.version
        if self._has_lost:
            self._has_lost = False
            self.reconnects += 1
            self._on_reconnect(self.name)
        return wire
