"""
A member of a deployment that the drill started: one server process with a fault proxy in front of it.

Clients and the other members know only the proxy's port, which the server announces; the drill itself speaks to the
server's own port (`ask`), so that it can mend what it struck.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tiercel._chaos import FaultProxy
from tiercel.demo.servers import free_port
from tiercel.errors import TierUnavailable

__all__ = ["LOOPBACK", "Member", "Refusal", "ask", "until"]

LOOPBACK = "127.0.0.1"
START_S = 20.0
PAUSE_S = 0.02


class Refusal(Exception):
    """A server's error reply to a command of the drill."""


def ask(port: int, *words: str | int, timeout_s: float = 10.0) -> Any:
    """
    Send one command on a connection of its own and return the reply; text, numbers, None and lists of these.

    Raises:
        Refusal: the server answered with an error.
        OSError: it does not answer within *timeout_s*.
    """
    parts = [str(word).encode() for word in words]
    request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection((LOOPBACK, port), timeout_s) as connection, connection.makefile("rb") as stream:
        connection.sendall(request)
        return _reply(stream)


def _reply(stream: BinaryIO) -> Any:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("the server closed the connection in the middle of a reply")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise Refusal(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return [_reply(stream) for _ in range(int(rest))]
    return rest


def until(holds: Any, what: str, limit_s: float = START_S) -> None:
    """Wait until *holds* gives true; raises `TierUnavailable` after *limit_s*."""
    ends = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(OSError, Refusal):  # it does not answer yet, which is what is waited for
            if holds():
                return
        if time.monotonic() >= ends:
            raise TierUnavailable(f"not within {limit_s:g} s: {what}", tier="redis")
        time.sleep(PAUSE_S)


class Member:
    """
    One server and its proxy; made stopped.

    Args:
        binary: The server's program.
        folder: Its working folder; made where it is missing.

    Attributes:
        port: The server's own port.
        bus_port: A second one, for what the members of a cluster tell each other.
        proxy: What everybody else connects to.
    """

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = free_port()
        self.bus_port = free_port()
        self.proxy = FaultProxy(self.port)
        self.proxy.start()
        self._binary = binary
        self._folder = folder
        self._words: Sequence[str] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Start the process with *words* on its command line, or with those of the last time, and wait for its PONG."""
        self._words = words or self._words
        self._folder.mkdir(parents=True, exist_ok=True)
        place = ["--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *self._words, *place], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: self.ask("PING") == "PONG", f"{Path(self._binary).name} on port {self.port} answers")

    def ask(self, *words: str | int, timeout_s: float = 10.0) -> Any:
        """Send one command to the server itself, past the proxy; see `ask`."""
        return ask(self.port, *words, timeout_s=timeout_s)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        if self._process is not None:
            os.kill(self._process.pid, number)

    @property
    def is_running(self) -> bool:
        """Whether its process was started and not ended."""
        return self._process is not None

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the process and the proxy."""
        self.kill()
        self.proxy.close()
