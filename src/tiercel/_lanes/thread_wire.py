"""
One blocking connection to Redis, used by one thread at a time.

A call that runs out of time leaves its replies *owed*: the next user of the connection reads and drops them first. So a
late reply is never taken for another call's, and a slow server does not cost a new connection for every timeout.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from tiercel._core.resp import Command, ConnectionBroken
from tiercel._lanes.session import INCOMPLETE, Endpoint, driver, new_reader, pack_many, packer, tls_context
from tiercel.errors import ReplyError, TierTimeout, TierUnavailable

__all__ = ["Wire"]

READ_BYTES = 64 * 1024
# A connection that was used this recently is trusted to stand without asking the kernel.
FRESH_S = 0.05


class Wire:
    """
    A connected, signed-in socket.

    Args:
        endpoint: The server and how to sign in.
        deadline: Until when to try, on the clock of `time.monotonic`.

    Raises:
        TierUnavailable: The server cannot be reached or refuses the sign-in.
    """

    def __init__(self, endpoint: Endpoint, deadline: float) -> None:
        self.is_alive = True
        self.owed = 0
        self._name = endpoint.address.name
        self._pack = packer()
        self._reader = new_reader()
        self._push_type: type = driver().PushNotification
        self._used_at = 0.0
        self._limit_s = 0.0
        self._has_tls = endpoint.tls is not None
        self._socket: socket.socket | None = None
        try:
            self._socket = _dial(endpoint, deadline)
            self._socket.settimeout(None)
            greeting = endpoint.greeting()
            self.version = endpoint.check_greeting(self.execute_many(greeting, deadline))
        except OSError as error:  # a timeout is one, too
            self.close()
            raise TierUnavailable(
                f"{self._name} cannot be reached: {error or type(error).__name__}", tier="redis"
            ) from error
        except BaseException:
            self.close()
            raise

    def execute(self, command: Command, deadline: float) -> Any:
        """Send *command* and return its reply; raises as `Lane.execute` does."""
        self._send(self._pack(tuple(command)), 1, deadline)
        reply = self._receive(deadline)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def execute_many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send *commands* in one write and return their replies in order, error replies as objects."""
        self.send_many(commands, deadline)
        return self.receive_many(len(commands), deadline)

    def send_many(self, commands: Sequence[Command], deadline: float) -> None:
        """Send *commands* in one write; `receive_many` must follow in the same thread."""
        self._send(pack_many(commands), len(commands), deadline)

    def receive_many(self, count: int, deadline: float) -> list[Any]:
        """Return the next *count* replies."""
        return [self._receive(deadline) for _ in range(count)]

    def close(self) -> None:
        """Close the socket; calling twice is harmless."""
        self.is_alive = False
        if self._socket is not None:
            self._socket.close()

    def shut_down(self) -> None:
        """End the connection from another thread than its user's, whose call fails at once."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def is_stale(self) -> bool:
        """Say whether the server hung up, or sent what nobody asked for, while the connection was idle."""
        if self.owed or time.monotonic() - self._used_at < FRESH_S:
            return False
        assert self._socket is not None
        poll = select.poll()  # not select(): it cannot watch descriptors above 1023
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def forget(self) -> None:
        """Close a forked child's copy of the socket without a word to the server."""
        self.is_alive = False
        if self._socket is not None and self._socket.fileno() >= 0:
            os.close(self._socket.detach())

    def _send(self, packed: bytes, replies: int, deadline: float) -> None:
        """Read what earlier calls left owed, then write; a failed write leaves the connection unusable."""
        while self.owed:
            self._receive(deadline)
        connection = self._limited(deadline)
        try:
            self.owed = replies
            connection.sendall(packed)
        except BaseException as error:  # part of it may be on its way: nothing that follows would make sense
            self.close()
            if isinstance(error, OSError):
                raise ConnectionBroken(f"{self._name}: connection lost: {error}", tier="redis") from error
            raise

    def _receive(self, deadline: float) -> Any:
        """Return the next reply; a timeout leaves it owed."""
        try:
            while True:
                reply = self._reader.gets()
                if reply is INCOMPLETE:
                    self._feed(deadline)
                elif type(reply) is not self._push_type:
                    self.owed -= 1
                    return reply
        except (TierTimeout, ConnectionBroken):
            raise
        except BaseException:  # a reply that cannot be parsed, or an exception thrown into the thread between two bytes
            self.close()
            raise

    def _feed(self, deadline: float) -> None:
        connection = self._limited(deadline)
        try:
            received = connection.recv(READ_BYTES)
        except (BlockingIOError, TimeoutError):  # the limit is over; whether the deadline is, the next turn says
            return
        except OSError as error:
            self.close()
            raise ConnectionBroken(f"{self._name}: connection lost: {error}", tier="redis") from error
        if not received:
            self.close()
            raise ConnectionBroken(f"{self._name}: connection lost: closed by the server", tier="redis")
        self._used_at = time.monotonic()
        self._reader.feed(received)

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
        connection.settimeout(timeout_s)
        try:
            connection.connect(address.path)
        except BaseException:
            connection.close()
            raise
        return connection
    connection = socket.create_connection((address.host, address.port), timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if endpoint.tls is None:
        return connection
    try:
        return tls_context(endpoint.tls).wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise
