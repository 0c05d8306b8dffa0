"""
The smallest RESP2 client: one command, one connection, one reply; so that the rig needs neither a driver nor redis-cli.
"""

from __future__ import annotations

import socket
from io import BufferedReader

from tests.rig.process import LOOPBACK

Reply = str | int | None | list["Reply"]


class ReplyError(Exception):
    """The server answered with an error; the message is the server's."""


def call(port: int, *words: str | int | bytes, timeout_s: float = 10.0) -> Reply:
    """Send one command to *port* on loopback and return its reply, bulk strings decoded as UTF-8 (lossy)."""
    with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
        connection.sendall(encode(words))
        with connection.makefile("rb") as stream:
            return read_reply(stream)


def encode(words: tuple[str | int | bytes, ...]) -> bytes:
    """Return *words* as a RESP array of bulk strings."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def read_reply(stream: BufferedReader) -> Reply:
    """Read one reply; raise `ReplyError` for an error, ConnectionError where the stream ends first."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, text = line[:1], line[1:-2].decode("utf-8", "replace")
    if kind == b"-":
        raise ReplyError(text)
    if kind == b"+":
        return text
    if kind == b":":
        return int(text)
    size = int(text)
    if size < 0:
        return None
    if kind == b"$":
        return stream.read(size + 2)[:-2].decode("utf-8", "replace")
    return [read_reply(stream) for _ in range(size)]
