"""
One connection to Redis that threads share: whoever waits first works for all.

Of the threads that wait for replies, one *leads*. It writes what all of them queued, in one piece, reads what comes,
and hands each reply to its owner; once its own has come it passes the lead to one that still waits. So eight threads
cost one write, one read and one connection instead of eight of each, without a thread of its own that would have to be
woken.

The queue of *slots* keeps replies and calls together, as on asyncio: a slot is taken away only by its reply. A call
that runs out of time leaves its slot behind, and whoever leads by then reads the late reply and drops it.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

from tiercel._core.resp import Command, ConnectionBroken, NodeRefused
from tiercel._lanes.session import (
    FEED_BYTES,
    INCOMPLETE,
    Endpoint,
    driver,
    new_reader,
    pack_many,
    packer,
    tls_context,
)
from tiercel.errors import ReplyError, TierTimeout, TierUnavailable

__all__ = ["Wire"]

READ_BYTES = 64 * 1024
# A connection that was used this recently is trusted to stand without asking the kernel.
FRESH_S = 0.05


class Slot:
    """A call on its way: how many replies it waits for (0: one that is no list), and how it is told."""

    __slots__ = ("error", "has_lead", "is_abandoned", "is_done", "replies", "reply", "wake")

    def __init__(self, replies: int) -> None:
        self.replies = replies
        self.reply: Any = [] if replies else None
        self.error: BaseException | None = None
        self.wake: threading.Lock | None = None
        self.is_done = False
        self.has_lead = False
        self.is_abandoned = False


class Wire:
    """
    A connected, signed-in socket; thread-safe.

    Args:
        endpoint: The server and how to sign in.
        deadline: Until when to try, on the clock of `time.monotonic`.
        max_in_flight: Most replies owed; further calls are refused.
        stall_s: Silence after which a connection that owes replies is given up.

    Raises:
        TierUnavailable: The server cannot be reached or refuses the sign-in.
    """

    def __init__(self, endpoint: Endpoint, deadline: float, max_in_flight: int, stall_s: float) -> None:
        self.is_alive = True
        self._name = endpoint.address.name
        self._max_in_flight = max_in_flight
        self._stall_s = stall_s
        self._pack = packer()
        self._reader = new_reader()
        self._push_type: Any = driver().PushNotification
        # Guards the slots' queue, the unsent commands and who leads; never held over a system call.
        self._mutex = threading.Lock()
        self._slots: collections.deque[Slot] = collections.deque()
        self._outgoing: list[bytes] = []
        self._is_led = False
        self._heard_at = self.made_at = time.monotonic()
        self._limit_s = 0.0
        self._has_tls = endpoint.tls is not None
        self._socket: socket.socket | None = None
        try:
            self._socket = _dial(endpoint, deadline)
            self._socket.settimeout(None)
            greeting = endpoint.greeting()
            self.version = endpoint.check_greeting(self.execute_many(greeting, deadline))
        except (OSError, ConnectionBroken) as error:  # a timeout is an OSError, too
            self.close()
            reason = error or type(error).__name__
            raise TierUnavailable(f"{self._name} cannot be reached: {reason}", tier="redis") from error
        except BaseException:
            self.close()
            raise

    @property
    def in_flight(self) -> int:
        """Calls whose replies are owed."""
        return len(self._slots)

    def execute(self, command: Command, deadline: float) -> Any:
        """Send *command* and return its reply; raises as `Lane.execute` does."""
        reply = self._call(self._pack(tuple(command)), 0, deadline)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def execute_many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send *commands* in one piece and return their replies in order, error replies as objects."""
        replies: list[Any] = self._call(pack_many(commands), len(commands), deadline)
        return replies

    def is_stale(self) -> bool:
        """Say whether the server hung up, or sent what nobody asked for, while nobody waited."""
        connection = self._socket
        if self._slots or connection is None or time.monotonic() - self._heard_at < FRESH_S:
            return False
        poll = select.poll()  # not select(): it cannot watch descriptors above 1023
        try:
            poll.register(connection, select.POLLIN)
        except ValueError:  # closed meanwhile
            return True
        return bool(poll.poll(0)) and not self._slots

    def close(self) -> None:
        """Close the socket; calls in flight fail, the one that leads as soon as its read returns."""
        self.is_alive = False
        if self._socket is not None:
            with contextlib.suppress(OSError):  # not connected, or closed already
                self._socket.shutdown(socket.SHUT_RDWR)
        with self._mutex:
            is_led = self._is_led
        if not is_led:
            self._fail(ConnectionAbortedError("closed"))

    def forget(self) -> None:
        """Close a forked child's copy of the socket without a word to the server."""
        self.is_alive = False
        if self._socket is not None and self._socket.fileno() >= 0:
            os.close(self._socket.detach())

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _call(self, packed: bytes, replies: int, deadline: float) -> Any:
        slot = Slot(replies)
        with self._mutex:
            if not self.is_alive:
                raise TierUnavailable(f"{self._name}: connection lost", tier="redis")
            if len(self._slots) >= self._max_in_flight:
                raise NodeRefused(f"{self._name}: too many commands in flight", tier="redis")
            if not self._slots:
                self._heard_at = time.monotonic()
            self._slots.append(slot)
            self._outgoing.append(packed)
            leads = not self._is_led
            if leads:
                self._is_led = True
            else:
                slot.wake = threading.Lock()
                slot.wake.acquire()
        if leads or self._was_given_lead(slot, deadline):
            self._lead(slot, deadline)
        if slot.error is not None:
            raise ConnectionBroken(f"{self._name}: connection lost: {slot.error}", tier="redis") from slot.error
        return slot.reply

    def _was_given_lead(self, slot: Slot, deadline: float) -> bool:
        """Wait until the call is over (False) or its thread has to lead (True); raises `TierTimeout` at *deadline*."""
        assert slot.wake is not None
        try:
            is_told = slot.wake.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except BaseException:
            self._abandon(slot)
            raise
        if is_told:
            return not slot.is_done
        if not self._abandon(slot):
            return False
        if time.monotonic() - self._heard_at >= self._stall_s:
            # The server is silent, or the thread that led was ended between two steps: either way nobody reads here.
            self.close()
        raise TierTimeout(f"{self._name}: no reply in time", tier="redis")

    def _abandon(self, slot: Slot) -> bool:
        """Leave a slot behind, with the lead if it has just been given; False where its reply has come after all."""
        with self._mutex:
            if slot.is_done:
                return False
            slot.is_abandoned = True
            if slot.has_lead:
                self._pass_lead()
            return True

    # -- the one that leads --------------------------------------------------------------------------------------------

    def _lead(self, slot: Slot, deadline: float) -> None:
        """Write and read for everybody until *slot* is done; then let another thread lead."""
        try:
            while not slot.is_done:
                self._flush(deadline)
                self._read(deadline)
        except TierTimeout as late:
            slot.is_abandoned = True
            if time.monotonic() - self._heard_at >= self._stall_s:
                self._fail(late)
            raise
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._mutex:
                self._pass_lead()

    def _pass_lead(self) -> None:
        """Give the lead to the first thread that still waits, or to nobody; the mutex is held."""
        for waiting in self._slots:
            if waiting.wake is not None and not waiting.is_abandoned and not waiting.is_done:
                waiting.has_lead = True
                waiting.wake.release()
                return
        self._is_led = False

    def _flush(self, deadline: float) -> None:
        if not self._outgoing:
            return
        connection = self._limited(deadline)
        with self._mutex:
            outgoing, self._outgoing = self._outgoing, []
        connection.sendall(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    def _read(self, deadline: float) -> None:
        connection = self._limited(deadline)
        try:
            received = connection.recv(READ_BYTES)
        except (BlockingIOError, TimeoutError):  # the limit is over; whether the deadline is, the next turn says
            return
        if not received:
            raise ConnectionResetError("closed by the server")
        self._heard_at = time.monotonic()
        size_bytes = len(received)
        for start in range(0, size_bytes, FEED_BYTES):
            self._reader.feed(received, start, min(FEED_BYTES, size_bytes - start))
            self._deliver()

    def _deliver(self) -> None:
        slots = self._slots
        parse = self._reader.gets
        while (reply := parse()) is not INCOMPLETE:
            if type(reply) is self._push_type:
                continue  # nobody subscribes on a lane; the server may still tell of itself
            slot = slots[0]
            if slot.replies:
                slot.reply.append(reply)
                if len(slot.reply) < slot.replies:
                    continue
            else:
                slot.reply = reply
            slots.popleft()
            self._tell(slot)

    def _tell(self, slot: Slot) -> None:
        slot.is_done = True
        if slot.wake is not None and not slot.is_abandoned:
            slot.wake.release()

    def _fail(self, cause: BaseException) -> None:
        """End every call with *cause*, and the connection."""
        with self._mutex:
            self.is_alive = False
            slots = list(self._slots)
            self._slots.clear()
            self._outgoing.clear()
        for slot in slots:
            slot.error = cause
            self._tell(slot)
        if self._socket is not None:
            self._socket.close()

    def _limited(self, deadline: float) -> socket.socket:
        """Return the socket, set to wait no longer than until *deadline*, a twentieth more at most."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TierTimeout(f"{self._name}: no reply in time", tier="redis")
        connection = self._socket
        assert connection is not None
        if not left_s / 2 <= self._limit_s <= left_s * 1.05:
            self._limit_s = left_s
            if self._has_tls:
                connection.settimeout(left_s)
            else:
                # The kernel's own limits cost nothing a call; Python's would poll before each read and write.
                limit = struct.pack("ll", int(left_s), max(1, int(left_s % 1 * 1e6)))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return connection


def _dial(endpoint: Endpoint, deadline: float) -> socket.socket:
    timeout_s = max(0.001, deadline - time.monotonic())
    address = endpoint.address
    if address.path:
        connection = socket.socket(socket.AF_UNIX)
    else:
        connection = socket.create_connection((address.host, address.port), timeout_s)
    try:
        if address.path:
            connection.settimeout(timeout_s)
            connection.connect(address.path)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.tls is not None:
            return tls_context(endpoint.tls).wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise
    return connection
