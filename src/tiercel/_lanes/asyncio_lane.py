"""
The lane of asyncio: per event loop one multiplexed connection to a server, made when it is needed and made anew when
lost.

One lane may be used by several loops (in several threads); each has its own wire. A forked child starts without wires.
"""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tiercel._core.backoff import Backoff
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.resp import Command
from tiercel._lanes import forking
from tiercel._lanes.asyncio_wire import Answered, AsyncWire
from tiercel._lanes.session import Endpoint, pack_many, packer, tls_context
from tiercel.errors import ClosedError, ReplyError, TierError, TierTimeout, TierUnavailable

__all__ = ["AsyncLane"]

# A connection younger than this leads to today's server.
RENEW_S = 0.5


class AsyncLane:
    """
    The connections of one process to one server.

    Args:
        endpoint: Which server, and how to sign in.
        options: Timeouts and bounds.
        on_reconnect: Called with the server's name after each connection but the first.
        on_answered: Told of the replies to single commands, see `Answered`.
    """

    def __init__(
        self, endpoint: Endpoint, options: LinkOptions, on_reconnect: Callable[[str], None], on_answered: Answered
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.address.name
        self.version = ""
        self.reconnects = 0
        self._options = options
        self._pack = packer()
        self._on_reconnect = on_reconnect
        self._on_answered = on_answered
        self._backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s)
        self._failed_attempts = 0
        self._next_attempt_at = 0.0
        self._last_failure: TierError | None = None
        self._has_connected = False
        self._is_closed = False
        self._wires: dict[asyncio.AbstractEventLoop, AsyncWire] = {}
        self._connecting: dict[asyncio.AbstractEventLoop, asyncio.Task[AsyncWire]] = {}
        self._dedicated: weakref.WeakSet[AsyncWire] = weakref.WeakSet()
        self._idle_dedicated: list[tuple[asyncio.AbstractEventLoop, AsyncWire]] = []
        forking.watch(self)

    @property
    def connections(self) -> int:
        """Open connections, dedicated ones included."""
        wires = [*self._wires.values(), *self._dedicated]
        return sum(wire.is_alive for wire in wires)

    @property
    def in_flight(self) -> int:
        """Calls whose replies are owed."""
        return sum(wire.in_flight for wire in self._wires.values())

    def execute(self, command: Command, started: float, deadline: float) -> Awaitable[Any]:
        """
        Send *command* and return what its reply is awaited by; await it.

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
        return self._sent(self._pack(tuple(command)), 0, started, deadline)

    def execute_many(self, commands: Sequence[Command], started: float, deadline: float) -> Awaitable[list[Any]]:
        """
        Send *commands* in one write, nothing in between, and return what their replies, in order, are awaited by.

        An error reply is a `ReplyError` object in its place. Raises as `execute` does where all of them failed
        together.
        """
        return self._sent(pack_many(commands), len(commands), started, deadline)

    def get(self, key: bytes, started: float, deadline: float) -> Awaitable[Any]:
        """As ``execute((b"GET", key), …)``, with less ado."""
        return self._sent(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key), 0, started, deadline)

    def _sent(self, packed: bytes, replies: int, started: float, deadline: float) -> Awaitable[Any]:
        wire = self._wires.get(asyncio.get_running_loop())
        if wire is not None and wire.is_open:
            return wire.send(packed, replies, started, deadline)
        return self._sent_later(packed, replies, deadline)

    async def _sent_later(self, packed: bytes, replies: int, deadline: float) -> Any:
        """Send once there is a connection, and room on it."""
        wire = self._wires.get(asyncio.get_running_loop())
        if wire is None or not wire.is_alive:
            wire = await self._connected(deadline)
        if wire.is_full:
            await wire.room(deadline)
        return await wire.send(packed, replies, time.monotonic(), deadline)

    async def ask(self, command: Command, deadline: float) -> Any:
        """As `execute`, for questions of the link itself, which say nothing about how callers are served."""
        (reply,) = await self.execute_many([command], time.monotonic(), deadline)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def blocking(self, command: Command, deadline: float) -> Any:
        """
        Run a command that may wait at the server on a connection of its own.

        The connection is kept for the next such command; a call that is cancelled or out of time closes it.
        """
        wire = await self._dedicated_wire(deadline)
        try:
            reply = await wire.send(self._pack(tuple(command)), 0, time.monotonic(), deadline)
        except ReplyError:
            self._idle_dedicated.append((asyncio.get_running_loop(), wire))
            raise
        except BaseException as error:
            wire.abort(ConnectionAbortedError(f"the blocking command was given up: {type(error).__name__}"))
            raise
        self._idle_dedicated.append((asyncio.get_running_loop(), wire))
        return reply

    async def renew(self) -> None:
        """Give the running loop's connection up, unless it is new; calls in flight end with `ConnectionBroken`."""
        wire = self._wires.get(asyncio.get_running_loop())
        if wire is not None and time.monotonic() - wire.made_at >= RENEW_S:
            wire.abort(ConnectionAbortedError("made anew: the server cannot serve"))

    async def aclose(self) -> None:
        """Close every connection, those of other loops too, and refuse new ones; calls in flight fail."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        task = self._connecting.pop(loop, None)
        if task is not None:
            task.cancel()
        for wire in [*self._wires.values(), *self._dedicated]:
            wire.close(ClosedError("the link was closed"))
        self._wires.clear()
        self._idle_dedicated.clear()
        await asyncio.sleep(0)  # the transports close their sockets in the next turn

    def after_fork(self) -> list[AsyncWire]:
        """In a forked child: drop what belongs to the parent, and return it for `forking` to keep alive."""
        wires = [*self._wires.values(), *self._dedicated]
        for wire in wires:
            wire.forget()
        self._wires, self._connecting = {}, {}
        self._dedicated, self._idle_dedicated = weakref.WeakSet(), []
        return wires

    # -- connecting ----------------------------------------------------------------------------------------------------

    async def _connected(self, deadline: float) -> AsyncWire:
        """Return the loop's wire, made by one task however many callers wait for it."""
        loop = asyncio.get_running_loop()
        task = self._connecting.get(loop)
        if task is None:
            self._check_pace()
            task = self._connecting[loop] = loop.create_task(self._connect(loop))
            task.add_done_callback(_noted)
        try:
            return await asyncio.wait_for(asyncio.shield(task), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise TierTimeout(f"{self.name}: no connection in time", tier="redis") from None

    def _check_pace(self) -> None:
        if self._is_closed:
            raise ClosedError("the link was closed")
        if self._last_failure is not None and time.monotonic() < self._next_attempt_at:
            raise TierUnavailable(str(self._last_failure), tier="redis") from self._last_failure.__cause__

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> AsyncWire:
        for closed in [other for other in self._wires if other.is_closed()]:
            del self._wires[closed]
        try:
            wire = await self._open_wire(self._on_answered, self._options.spin_s)
        except TierError as error:
            self._failed_attempts += 1
            pause_s = self._backoff.pause_s(self._failed_attempts, random.random())
            self._last_failure, self._next_attempt_at = error, time.monotonic() + pause_s
            raise
        finally:
            self._connecting.pop(loop, None)
        self._failed_attempts, self._last_failure = 0, None
        self._wires[loop] = wire
        if self._has_connected:
            self.reconnects += 1
            self._on_reconnect(self.name)
        self._has_connected = True
        return wire

    async def _open_wire(self, on_answered: Answered, spin_s: float = 0.0) -> AsyncWire:
        """Make a connection, sign in, and return it ready."""
        options = self._options
        started = time.monotonic()
        deadline = started + options.connect_timeout_s
        slow_s = options.breaker.slow_s
        wire = AsyncWire(self.name, options.max_in_flight, options.stall_timeout_s, spin_s, slow_s, on_answered)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                await self._dial(wire)
                greeting = self.endpoint.greeting()
                replies = await wire.send(pack_many(greeting), len(greeting), started, deadline)
            self.version = self.endpoint.check_greeting(replies)
        except (OSError, TimeoutError) as error:  # a TierTimeout of the greeting is a TimeoutError
            wire.abort(error)
            raise TierUnavailable(f"{self.name} cannot be reached: {_reason(error)}", tier="redis") from error
        except BaseException as error:
            wire.abort(ConnectionAbortedError(f"not connected: {type(error).__name__}"))
            raise
        return wire

    async def _dial(self, wire: AsyncWire) -> None:
        loop = asyncio.get_running_loop()
        address = self.endpoint.address
        if address.path:
            await loop.create_unix_connection(lambda: wire, address.path)
            return
        tls = self.endpoint.tls
        context = tls_context(tls) if tls is not None else None
        await loop.create_connection(lambda: wire, address.host, address.port, ssl=context)

    async def _dedicated_wire(self, deadline: float) -> AsyncWire:
        loop = asyncio.get_running_loop()
        for at, (owner, wire) in enumerate(self._idle_dedicated):
            if owner is loop:
                del self._idle_dedicated[at]
                if wire.is_alive:
                    return wire
                break
        self._check_pace()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                wire = await self._open_wire(_untold)
        except TimeoutError:
            raise TierTimeout(f"{self.name}: no connection in time", tier="redis") from None
        self._dedicated.add(wire)
        return wire


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _untold(_good: int, _slow: int, _took_s: float, _now: float) -> None:
    """Blocking commands take as long as they were asked to: that says nothing about the server."""


def _noted(task: asyncio.Task[AsyncWire]) -> None:
    """Look at a failure whose callers have all run out of time, so that the loop does not report it as lost."""
    if not task.cancelled():
        task.exception()
