"""
The lane of threads: one connection to a server that all threads share, made when it is needed and made anew when lost.

Why one and not one a thread is measured in docs/design/redis-transport.md.
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
from tiercel._lanes.asyncio_wire import Answered
from tiercel._lanes.session import Endpoint, packer
from tiercel._lanes.thread_wire import Wire
from tiercel.errors import (
    ClosedError,
    ReplyError,
    TierError,
    TierTimeout,
    TierUnavailable,
)

__all__ = ["Lane"]

# A connection younger than this leads to today's server.
RENEW_S = 0.5


class Lane:
    """
    The connections of one process to one server; thread-safe.

    Args:
        endpoint: Which server, and how to sign in.
        options: Timeouts and bounds.
        on_reconnect: Called with the server's name after each connection but the first.
        on_answered: Told of the replies to single commands, see `Answered`.
    """

    def __init__(
        self, endpoint: Endpoint, options: LinkOptions, on_reconnect: Callable[[str], None], on_answered: Answered
    ) -> None:
        packer()  # a missing driver is told here, and not by the first call
        self.endpoint = endpoint
        self.name = endpoint.address.name
        self.version = ""
        self.reconnects = 0
        self._options = options
        self._on_reconnect = on_reconnect
        self._on_answered = on_answered
        self._backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s)
        self._failed_attempts = 0
        self._next_attempt_at = 0.0
        self._last_failure: TierError | None = None
        self._has_connected = False
        self._is_closed = False
        self._start_empty()
        forking.watch(self)

    def _start_empty(self) -> None:
        self._wire: Wire | None = None
        self._connecting = threading.Lock()
        self._connecting_until = 0.0
        self._dedicated: set[Wire] = set()
        self._idle_dedicated: collections.deque[Wire] = collections.deque()

    @property
    def connections(self) -> int:
        """Open connections, dedicated ones included."""
        return len(self._dedicated) + (self._wire is not None and self._wire.is_alive)

    @property
    def in_flight(self) -> int:
        """Calls whose replies are owed."""
        return self._wire.in_flight if self._wire is not None else 0

    def execute(self, command: Command, started: float, deadline: float) -> Any:
        """
        Send *command* and return its reply.

        Args:
            command: Name and arguments.
            started: Now, on the clock of `time.monotonic`.
            deadline: On the same clock.

        Raises:
            ReplyError: The server answered with an error.
            TierTimeout: No reply by *deadline*.
            ConnectionBroken: The connection was lost after sending.
            TierUnavailable: There is no connection; nothing was sent.
        """
        wire = self._wire
        if wire is None or not wire.is_alive or wire.is_stale():
            wire = self._connected(deadline)
            started = time.monotonic()
        reply = wire.execute(command, deadline)
        now = time.monotonic()
        took_s = now - started
        is_slow = took_s >= self._options.breaker.slow_s
        self._on_answered(not is_slow, is_slow, took_s, now)
        return reply

    def execute_many(self, commands: Sequence[Command], started: float, deadline: float) -> list[Any]:
        """
        Send *commands* in one write, nothing in between, and return their replies in order.

        An error reply is a `ReplyError` object in its place. Raises as `execute` does where all failed together.
        """
        wire = self._wire
        if wire is None or not wire.is_alive or wire.is_stale():
            wire = self._connected(deadline)
        return wire.execute_many(commands, deadline)

    def get(self, key: bytes, started: float, deadline: float) -> Any:
        """As ``execute((b"GET", key), …)``."""
        return self.execute((b"GET", key), started, deadline)

    def ask(self, command: Command, deadline: float) -> Any:
        """As `execute`, for questions of the link itself, which say nothing about how callers are served."""
        (reply,) = self.execute_many([command], time.monotonic(), deadline)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def blocking(self, command: Command, deadline: float) -> Any:
        """
        Run a command that may wait at the server on a connection of its own.

        The connection is kept for the next such command; a call that is out of time closes it.
        """
        wire = self._dedicated_wire(deadline)
        try:
            reply = wire.execute(command, deadline)
        except ReplyError:
            self._idle_dedicated.append(wire)
            raise
        except BaseException:
            self._dedicated.discard(wire)
            wire.close()
            raise
        self._idle_dedicated.append(wire)
        return reply

    def renew(self) -> None:
        """Give the connection up, unless it is new; calls in flight end with `ConnectionBroken`."""
        wire = self._wire
        if wire is not None and time.monotonic() - wire.made_at >= RENEW_S:
            wire.close()

    def close(self) -> None:
        """Close every connection and refuse new ones; calls in flight fail."""
        self._is_closed = True
        for wire in [self._wire, *self._dedicated]:
            if wire is not None:
                wire.close()
        self._dedicated.clear()
        self._idle_dedicated.clear()

    def after_fork(self) -> list[Wire]:
        """In a forked child: drop what belongs to the parent, and return it for `forking` to keep alive."""
        wires = [wire for wire in (self._wire, *self._dedicated) if wire is not None]
        for wire in wires:
            wire.forget()
        self._start_empty()
        return wires

    # -- connecting ----------------------------------------------------------------------------------------------------

    def _connected(self, deadline: float) -> Wire:
        """Return the shared connection, made by one thread however many wait for it."""
        turn = self._connecting
        if not turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            if time.monotonic() >= self._connecting_until:
                # Nobody connects for this long: an exception ended the thread that did, between two steps.
                self._connecting = threading.Lock()
            raise TierTimeout(f"{self.name}: no connection in time", tier="redis")
        try:
            self._connecting_until = time.monotonic() + 2 * self._options.connect_timeout_s
            wire = self._wire
            if wire is not None and wire.is_alive:
                if not wire.is_stale():
                    return wire
                wire.close()
            self._wire = wire = self._connect(deadline)
            self._check_open(wire)
        finally:
            turn.release()
        return wire

    def _connect(self, deadline: float) -> Wire:
        self._check_pace()
        try:
            wire = self._open_wire(deadline)
        except TierError as error:
            self._failed_attempts += 1
            pause_s = self._backoff.pause_s(self._failed_attempts, random.random())
            self._last_failure, self._next_attempt_at = error, time.monotonic() + pause_s
            raise
        self._failed_attempts, self._last_failure = 0, None
        self.version = wire.version
        if self._has_connected:
            self.reconnects += 1
            self._on_reconnect(self.name)
        self._has_connected = True
        return wire

    def _open_wire(self, deadline: float) -> Wire:
        options = self._options
        until = min(deadline, time.monotonic() + options.connect_timeout_s)
        return Wire(self.endpoint, until, options.max_in_flight, options.stall_timeout_s)

    def _check_pace(self) -> None:
        if self._is_closed:
            raise ClosedError("the link was closed")
        if self._last_failure is not None and time.monotonic() < self._next_attempt_at:
            raise TierUnavailable(str(self._last_failure), tier="redis") from self._last_failure.__cause__

    def _dedicated_wire(self, deadline: float) -> Wire:
        while self._idle_dedicated:
            try:
                wire = self._idle_dedicated.pop()
            except IndexError:  # another thread took it
                break
            if wire.is_alive and not wire.is_stale():
                return wire
            self._dedicated.discard(wire)
            wire.close()
        self._check_pace()
        wire = self._open_wire(deadline)
        self._dedicated.add(wire)
        self._check_open(wire)
        return wire

    def _check_open(self, wire: Wire) -> None:
        """Close a connection that was made while `close` ran, which looks at what is kept after it has set the flag."""
        if self._is_closed:
            wire.close()
            raise ClosedError("the link was closed")
