"""
What every new connection to Redis begins with, whichever colour speaks it: the parser, TLS, sign-in, RESP3.

hiredis parses and packs; it is imported when the first connection is made, so that the package works without the extra.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tiercel._core.redisurl import ANYONE, Address, Credentials, TlsOptions
from tiercel._core.resp import Command, Word
from tiercel.errors import ConfigurationError, ReplyError, TierUnavailable

__all__ = ["FEED_BYTES", "INCOMPLETE", "Endpoint", "driver", "new_reader", "pack_many", "packer", "tls_context"]

INCOMPLETE: Any = object()
"""What the parser returns while a reply is incomplete; False and None are values."""


FEED_BYTES = 16 * 1024
"""Most that is given to the parser at once: it moves what is left of its buffer to the front after each reply."""


@functools.cache
def driver() -> ModuleType:
    """Return hiredis, or raise `ConfigurationError` where it is not installed."""
    try:
        import hiredis
    except ImportError as error:
        raise ConfigurationError("Redis needs an extra: pip install tiercel[redis]") from error
    return hiredis


def new_reader() -> Any:
    """Return a fresh parser; an error reply comes out as a `ReplyError` object, also inside a list."""
    return driver().Reader(replyError=ReplyError, notEnoughData=INCOMPLETE)


def packer() -> Callable[[tuple[Word, ...]], bytes]:
    """Return what puts a command into wire form; it raises TypeError for a word that is no bytes, str, int or float."""
    pack: Callable[[tuple[Word, ...]], bytes] = driver().pack_command
    return pack


def pack_many(commands: Sequence[Command]) -> bytes:
    """Return *commands* in wire form, one after the other."""
    pack = packer()
    return b"".join([pack(tuple(command)) for command in commands])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A server and how to sign in to it.

    Args:
        address: Where it listens.
        credentials: The ACL user.
        database: Selected after sign-in.
        tls: TLS settings, or None for a plain connection.
        client_name: Shown by ``CLIENT LIST``; no spaces.
        must_be_primary: Refuse a server that calls itself a replica.
    """

    address: Address
    credentials: Credentials = ANYONE
    database: int = 0
    tls: TlsOptions | None = None
    client_name: str = ""
    must_be_primary: bool = False

    def greeting(self) -> list[Command]:
        """Return what a new connection sends, in one write; the first reply is the server's self-portrait."""
        hello: list[Word] = [b"HELLO", b"3"]
        if self.credentials:
            hello += [b"AUTH", self.credentials.username or "default", self.credentials.password]
        if self.client_name:
            hello += [b"SETNAME", self.client_name]
        commands: list[Command] = [hello]
        if self.database:
            commands.append((b"SELECT", self.database))
        return commands

    def check_greeting(self, replies: Sequence[Any]) -> str:
        """
        Return the server's name and version from the replies to `greeting`.

        Raises:
            TierUnavailable: The server refused the sign-in, is too old, or is no primary; the text names the server,
                never the password.
        """
        for reply in replies:
            if isinstance(reply, ReplyError):
                hint = " (Redis 6 or newer is needed)" if "unknown command" in str(reply) else ""
                raise TierUnavailable(
                    f"{self.address.name} refused the connection: {reply}{hint}", tier="redis"
                ) from reply
        portrait = replies[0]
        if self.must_be_primary and portrait.get(b"role") != b"master":
            raise TierUnavailable(
                f"{self.address.name} is a {_text(portrait.get(b'role'))}, not the primary", tier="redis"
            )
        return f"{_text(portrait.get(b'server'))} {_text(portrait.get(b'version'))}"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@functools.cache
def tls_context(tls: TlsOptions) -> ssl.SSLContext:
    """Return the context for *tls*; it always verifies the server's certificate."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.check_hostname = tls.check_hostname
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
