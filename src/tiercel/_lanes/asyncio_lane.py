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
from collections.abc import Callable, Sequence
from typing import Any

from tiercel._core.backoff import Backoff
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.resp import Command
from tiercel._lanes import forking
from tiercel._lanes.asyncio_wire import AsyncWire
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
    """

    def __init__(self, endpoint: Endpoint, options: LinkOptions, on_reconnect: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        self.name = endpoint.address.name
        self.version = ""
        self.reconnects = 0
        self._options = options
        self._pack = packer()
        self._on_reconnect = on_reconnect
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

    async def execute(self, command: Command, deadline: float) -> Any:
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
        packed = self._pack(tuple(command))
        wire = self._wires.get(asyncio.get_running_loop())
        if wire is None or not wire.is_alive:
            wire = await self._connected(deadline)
        if wire.is_full:
            await wire.room(deadline)
        reply = await wire.send(packed, 0, deadline)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def execute_many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """
        Send *commands* in one write, nothing in between, and return their replies in order.

        An error reply is a `ReplyError` object in its place. Raises as `execute` does where all of them failed
        together.
        """
        packed = pack_many(commands)
        wire = self._wires.get(asyncio.get_running_loop())
        if wire is None or not wire.is_alive:
            wire = await self._connected(deadline)
        if wire.is_full:
            await wire.room(deadline)
        replies: list[Any] = await wire.send(packed, len(commands), deadline)
        return replies

    async def blocking(self, command: Command, deadline: float) -> Any:
        """
        Run a command that may wait at the server on a connection of its own.

        The connection is kept for the next such command; a call that is cancelled or out of time closes it.
        """
        wire = await self._dedicated_wire(deadline)
        try:
            reply = await wire.send(self._pack(tuple(command)), 0, deadline)
        except BaseException as error:
            wire.abort(ConnectionAbortedError(f"the blocking command was given up: {type(error).__name__}"))
            raise
        self._idle_dedicated.append((asyncio.get_running_loop(), wire))
        if isinstance(reply, ReplyError):
            raise reply
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
            wire = await self._open_wire()
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

    async def _open_wire(self) -> AsyncWire:
        """Make a connection, sign in, and return it ready."""
        options = self._options
        deadline = time.monotonic() + options.connect_timeout_s
        wire = AsyncWire(self.name, options.max_in_flight, options.stall_timeout_s)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                await self._dial(wire)
                greeting = self.endpoint.greeting()
                replies = await wire.send(pack_many(greeting), len(greeting), deadline)
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
                wire = await self._open_wire()
        except TimeoutError:
            raise TierTimeout(f"{self.name}: no connection in time", tier="redis") from None
        self._dedicated.add(wire)
        return wire


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
