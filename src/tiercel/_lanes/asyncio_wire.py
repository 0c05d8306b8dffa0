"""
One multiplexed connection to Redis on asyncio: every task of a loop sends on it, and replies come back in order.

The queue of *slots* is what keeps replies and calls together. A slot is added with each write and taken away only by
its reply. A call that is cancelled or out of time leaves its slot behind, and the late reply is read and dropped. So
nothing that a caller does can shift the replies of others.

Writes of one turn of the loop leave together. Not thread-safe: one loop, one wire.
"""

from __future__ import annotations

import asyncio
import collections
import os
import time
from typing import Any, TypeAlias

from tiercel._core.resp import ConnectionBroken
from tiercel._lanes.session import FEED_BYTES, INCOMPLETE, driver, new_reader
from tiercel.errors import TierTimeout, TierUnavailable

__all__ = ["AsyncWire"]

# The call's future, its deadline, and how many replies it waits for; 0 means one reply that is not a list of one.
Slot: TypeAlias = tuple["asyncio.Future[Any]", float, int]

# Above this many unsent bytes the transport asks for a pause.
HIGH_WATER_BYTES = 1024 * 1024


class AsyncWire(asyncio.Protocol):
    """
    The protocol of one connection.

    Args:
        name: The server's name for error texts.
        max_in_flight: Most replies owed before `is_full`.
        stall_s: Silence after which a connection that owes replies is given up.
    """

    def __init__(self, name: str, max_in_flight: int, stall_s: float) -> None:
        self.is_alive = False
        self.is_full = False
        """More should not be sent now; see `room`."""
        self.failure: Exception | None = None
        self._name = name
        self._max_in_flight = max_in_flight
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._reader = new_reader()
        self._push_type: Any = driver().PushNotification
        self._slots: collections.deque[Slot] = collections.deque()
        self._batch: list[Any] = []
        self._outgoing: list[bytes] = []
        self._is_paused = False
        # Several callers sent in one turn lately, so that it pays to wait for the others before writing.
        self._is_shared = False
        self._room: collections.deque[asyncio.Future[None]] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._heard_at = self.made_at = time.monotonic()
        self._transport: Any = None

    # -- calls ---------------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Calls whose replies are owed."""
        return len(self._slots)

    def send(self, packed: bytes, replies: int, deadline: float) -> asyncio.Future[Any]:
        """
        Send *packed* and return the future of its reply.

        The future ends with a reply (an error reply is a `ReplyError` *result*), with `TierTimeout` at *deadline*, or
        with `ConnectionBroken`. Cancelling it is harmless.

        Args:
            packed: One or more commands in wire form.
            replies: 0 for one command; else the number of commands, and the result is the list of their replies.
            deadline: On the clock of `time.monotonic`.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        slots = self._slots
        if not slots:
            self._heard_at = time.monotonic()
        if slots or self._is_shared:
            outgoing = self._outgoing
            if not outgoing:
                self._loop.call_soon(self._flush)
            outgoing.append(packed)
        else:
            # Alone: waiting for the end of the turn would only add to the latency.
            self._transport.write(packed)
        slots.append((future, deadline, replies))
        if len(slots) >= self._max_in_flight:
            self.is_full = True
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
        self.is_alive = False
        handle = self._transport.get_extra_info("socket")
        if handle is not None and handle.fileno() >= 0:
            os.close(handle.fileno())

    # -- asyncio's callbacks -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        self.is_alive = True

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        size_bytes = len(data)
        try:
            for start in range(0, size_bytes, FEED_BYTES):
                self._reader.feed(data, start, min(FEED_BYTES, size_bytes - start))
                self._deliver()
        except Exception as error:  # a reply that cannot be parsed, or one too many: what follows belongs to nobody
            self.abort(error)
        if self.is_full or self._room:
            self._admit()

    def pause_writing(self) -> None:
        self._is_paused = self.is_full = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._admit()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.failure is None:
            self.failure = exc or ConnectionResetError("the server closed the connection")
        self._lose()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        slots = self._slots
        parse = self._reader.gets
        while (reply := parse()) is not INCOMPLETE:
            if type(reply) is self._push_type:
                continue  # nobody subscribes on a lane; the server may still tell of itself
            future, _, replies = slots[0]
            if replies:
                self._batch.append(reply)
                if len(self._batch) < replies:
                    continue
                reply, self._batch = self._batch, []
            slots.popleft()
            if not future.done():
                future.set_result(reply)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        self._is_shared = len(outgoing) > 1
        if self.is_alive:
            self._transport.write(b"".join(outgoing))

    def _admit(self) -> None:
        """Let as many waiting callers go on as there is room for; all of them where the connection is lost."""
        places = self._max_in_flight - len(self._slots) if self.is_alive else len(self._room)
        self.is_full = self._is_paused or places <= 0
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
        next_deadline = float("inf")
        for future, deadline, _ in self._slots:
            if future.done():
                continue
            if deadline <= now:
                future.set_exception(TierTimeout(f"{self._name}: no reply in time", tier="redis"))
            elif deadline < next_deadline:
                next_deadline = deadline
        if self._slots:
            silent_until = self._heard_at + self._stall_s
            if silent_until <= now:
                self.abort(TimeoutError(f"silent for {self._stall_s:g} s"))
                return
            self._arm(min(next_deadline, silent_until))

    def _lose(self) -> None:
        self.is_alive = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        slots = list(self._slots)
        self._slots.clear()
        for future, _, _ in slots:
            if not future.done():
                error = ConnectionBroken(f"{self._name}: connection lost: {self.failure}", tier="redis")
                error.__cause__ = self.failure
                future.set_exception(error)
        self._admit()
