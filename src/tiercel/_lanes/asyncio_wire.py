"""
One multiplexed connection to Redis on asyncio: every task of a loop sends on it, and replies come back in order.

`tiercel._lanes.calls` keeps replies and calls together. Writes of one turn of the loop leave together.

The reply to a lone call is looked for: from a near server it comes sooner than the kernel could put this process to
sleep and wake it again, so the wire watches the socket for some microseconds before the loop waits. Where the replies
are later than that, it soon stops looking.

Not thread-safe: one loop, one wire.
"""

from __future__ import annotations

import asyncio
import collections
import os
import select
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from tiercel._core.resp import ConnectionBroken
from tiercel._lanes.calls import best_calls
from tiercel._lanes.session import FEED_BYTES, driver, new_reader
from tiercel.errors import TierTimeout, TierUnavailable

__all__ = ["Answered", "AsyncWire"]

Answered: TypeAlias = Callable[[int, int, float, float], None]
"""Told of replies to single commands: how many in time, how many late, how long the oldest took, and now."""

# Above this many unsent bytes the transport asks for a pause.
HIGH_WATER_BYTES = 1024 * 1024
# So many commands are written without waiting for the end of the turn: the server begins while the others are made.
WRITE_AT = 32
READ_BYTES = 64 * 1024
# Most lone calls in a row that nobody looks after once their replies have come too late.
MOST_PASSED = 1024


class AsyncWire(asyncio.Protocol):
    """
    The protocol of one connection.

    Args:
        name: The server's name for error texts.
        max_in_flight: Most replies owed before `is_full`.
        stall_s: Silence after which a connection that owes replies is given up.
        spin_s: How long the reply to a lone call is looked for before the loop waits; 0 for not at all.
        slow_s: A reply that takes longer is late.
        on_answered: Told of the replies to single commands, error replies excepted.
    """

    def __init__(
        self, name: str, max_in_flight: int, stall_s: float, spin_s: float, slow_s: float, on_answered: Answered
    ) -> None:
        self.is_alive = False
        self.is_full = False
        """More should not be sent now; see `room`."""
        self.is_open = False
        """Alive and not full."""
        self.failure: Exception | None = None
        self._name = name
        self._max_in_flight = max_in_flight
        self._stall_s = stall_s
        self._spin_s = spin_s
        self._slow_s = slow_s
        self._on_answered = on_answered
        self._loop = asyncio.get_running_loop()
        self._reader = new_reader()
        self._calls = best_calls(self._loop, driver().PushNotification)
        self._outgoing: list[bytes] = []
        self._is_paused = False
        # Several callers sent in one turn lately, so that it pays to wait for the others before writing.
        self._is_shared = False
        self._room: collections.deque[asyncio.Future[None]] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._heard_at = self.made_at = time.monotonic()
        self._transport: Any = None
        # What is watched for the reply to a lone call; None where that is not done.
        self._watch: select.poll | None = None
        self._socket_number = -1
        self._misses = 0
        self._to_pass = 0

    # -- calls ---------------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Calls whose replies are owed."""
        return len(self._calls)

    def send(self, packed: bytes, replies: int, started: float, deadline: float) -> asyncio.Future[Any]:
        """
        Send *packed* and return the future of its reply; the wire must be alive.

        The future ends with a reply, with `TierTimeout` at *deadline*, or with `ConnectionBroken`. Cancelling it is
        harmless.

        Args:
            packed: One or more commands in wire form.
            replies: 0 for one command, whose error reply is raised; else the number of commands, and the result is the
                list of their replies, error replies as `ReplyError` objects.
            started: Now, on the clock of `time.monotonic`.
            deadline: On the same clock.
        """
        calls, outgoing = self._calls, self._outgoing
        owed = len(calls)
        future = calls.add(replies, started, deadline)
        if not owed:
            self._heard_at = started
        if owed or self._is_shared:
            outgoing.append(packed)
            if len(outgoing) == 1:
                self._loop.call_soon(self._flush)
            elif len(outgoing) == WRITE_AT:
                self._write()
        else:
            # Alone: waiting for the end of the turn would only add to the latency.
            self._transport.write(packed)
            if self._watch is not None:
                self._look_soon()
        if owed + 1 >= self._max_in_flight:
            self._fill()
        if deadline < self._timer_at:
            self._arm(deadline)
        return future

    async def room(self, deadline: float) -> None:
        """Wait until the wire is not full; raises `TierTimeout` at *deadline*, `TierUnavailable` once it is lost."""
        while self.is_full and self.is_alive:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._room.append(waiter)
            try:
                await asyncio.wait_for(waiter, max(0.0, deadline - time.monotonic()))
            except asyncio.CancelledError:
                self._admit()  # the place may have been given to this caller: pass it on
                raise
            except TimeoutError:
                raise TierTimeout(f"{self._name}: too many commands in flight", tier="redis") from None
        if not self.is_alive:
            raise TierUnavailable(f"{self._name}: connection lost", tier="redis") from self.failure

    def abort(self, failure: Exception) -> None:
        """Give the connection up; calls in flight end with `ConnectionBroken` from *failure*."""
        if self.failure is None:
            self.failure = failure
        if self._transport is not None:
            self._transport.abort()
        self._lose()

    def close(self, failure: Exception) -> None:
        """As `abort`, from any thread."""
        if self._loop is asyncio.get_running_loop():
            self.abort(failure)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort, failure)

    def forget(self) -> None:
        """Close a forked child's copy of the socket, without a word to the server or to the parent's event loop."""
        self.is_alive = self.is_open = False
        handle = self._transport.get_extra_info("socket")
        if handle is not None and handle.fileno() >= 0:
            os.close(handle.fileno())

    # -- asyncio's callbacks -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        self.is_alive = self.is_open = True
        if self._spin_s > 0 and _can_look(self._loop) and transport.get_extra_info("sslcontext") is None:
            self._socket_number = transport.get_extra_info("socket").fileno()
            self._watch = select.poll()
            self._watch.register(self._socket_number, select.POLLIN)

    def data_received(self, data: bytes) -> None:
        self._heard_at = now = time.monotonic()
        calls, reader = self._calls, self._reader
        took_s = now - calls.oldest
        slow_before = now - self._slow_s
        size_bytes = len(data)
        try:
            for start in range(0, size_bytes, FEED_BYTES):
                reader.feed(data, start, min(FEED_BYTES, size_bytes - start))
                good, slow = calls.deliver(reader.gets, slow_before)
                if good or slow:
                    self._on_answered(good, slow, took_s, now)
        except Exception as error:  # a reply that cannot be parsed, or one too many: what follows belongs to nobody
            self.abort(error)
        calls.wake(asyncio.current_task(self._loop) is None)
        if self.is_full or self._room:
            self._admit()

    def pause_writing(self) -> None:
        self._is_paused = True
        self._fill()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._admit()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.failure is None:
            self.failure = exc or ConnectionResetError("the server closed the connection")
        self._lose()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """At the end of a turn: write what is unsent, and remember whether waiting for it was worth while."""
        self._is_shared = len(self._calls) > 1
        self._write()

    def _write(self) -> None:
        outgoing = self._outgoing
        if outgoing and self.is_alive:
            packed = b"".join(outgoing)
            outgoing.clear()
            self._transport.write(packed)

    def _look_soon(self) -> None:
        """Have the reply to a lone call looked for in the next turn, unless it would be in vain."""
        if self._to_pass:
            self._to_pass -= 1
        else:
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Watch the socket for a moment, and read the reply; what other tasks sent meanwhile is left to the loop."""
        watch = self._watch
        if watch is None or not self.is_alive or len(self._calls) != 1 or self._outgoing:
            return
        until = time.monotonic() + self._spin_s
        while not watch.poll(0):
            if time.monotonic() >= until:
                self._misses += 1
                self._to_pass = min(2**self._misses, MOST_PASSED)
                return
        try:
            received = os.read(self._socket_number, READ_BYTES)
        except OSError:  # the transport will meet the same, and say so
            return
        if received:  # else the end of the stream, which the transport will meet, too
            self._misses = 0
            self.data_received(received)

    def _fill(self) -> None:
        self.is_full, self.is_open = True, False

    def _admit(self) -> None:
        """Let as many waiting callers go on as there is room for; all of them where the connection is lost."""
        places = self._max_in_flight - len(self._calls) if self.is_alive else len(self._room)
        self.is_full = self._is_paused or places <= 0
        self.is_open = self.is_alive and not self.is_full
        while self._room and places > 0 and not (self._is_paused and self.is_alive):
            waiter = self._room.popleft()
            if not waiter.done():
                waiter.set_result(None)
                places -= 1

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._expire)

    def _expire(self) -> None:
        """End the calls whose time is over, give a silent connection up, and set the timer for the next deadline."""
        now = time.monotonic()
        self._timer, self._timer_at = None, float("inf")
        next_deadline = self._calls.expire(now, self._late)
        if len(self._calls):
            silent_until = self._heard_at + self._stall_s
            if silent_until <= now:
                self.abort(TimeoutError(f"silent for {self._stall_s:g} s"))
                return
            self._arm(min(next_deadline, silent_until))

    def _late(self) -> TierTimeout:
        return TierTimeout(f"{self._name}: no reply in time", tier="redis")

    def _broken(self) -> ConnectionBroken:
        error = ConnectionBroken(f"{self._name}: connection lost: {self.failure}", tier="redis")
        error.__cause__ = self.failure
        return error

    def _lose(self) -> None:
        self.is_alive = self.is_open = False
        self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._calls.fail(self._broken)
        self._admit()


def _can_look(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether *loop* reads from a socket only once it is readable: reading before it takes nothing from it then."""
    return isinstance(loop, asyncio.SelectorEventLoop) and hasattr(select, "poll")
