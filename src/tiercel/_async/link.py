"""
The way to Redis: what the Redis tier, the journals and the backplane ask of it, and `open_link`, which makes one from a
URL.

A link is safe to share between tasks, and its blocking twin between threads. It belongs to no event loop and survives a
fork: each loop and each process gets connections of its own, made when they are first needed.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from tiercel._async.lane_cluster import AsyncCluster
from tiercel._async.lane_link import AsyncLaneLink
from tiercel._async.lane_sentinel import AsyncSentinel
from tiercel._async.lane_topology import AsyncStandalone, AsyncTopology
from tiercel._core.backoff import Backoff
from tiercel._core.linkoptions import LinkHealth, LinkOptions, NodeHealth
from tiercel._core.redisurl import RedisUrl, parse_redis_url
from tiercel._core.resp import Command, Word
from tiercel._paired import async_sleep
from tiercel.errors import TierError, TierUnavailable
from tiercel.scripts import Script

__all__ = ["AsyncLink", "LinkHealth", "LinkOptions", "NodeHealth", "open_link"]


class AsyncLink(Protocol):
    """
    A connection to Redis, however many servers that is.

    Replies are ``bytes``, ``int``, ``float``, ``bool``, ``None``, lists and dicts of these (RESP3). Every call ends
    within its budget with a reply or a `TierError`:

    - `ReplyError`: the server answered with an error that another try would not mend;
    - `TierUnavailable`: no connection, a connection lost half-way, or the node's breaker is open;
    - `TierTimeout`: the budget is over. The late reply is read and dropped; it never reaches another call.

    A call that is cancelled leaves the connection in order for everybody else.
    """

    on_reconnect: list[Callable[[str], None]]
    """Called with a node's name after its connection was made anew: what it pushed meanwhile is lost."""

    async def execute(self, *command: Word, timeout_s: float | None = None) -> Any:
        """
        Send one command to the node that its first key belongs to, and return the reply.

        Args:
            command: Name and arguments.
            timeout_s: Budget, redirects and retries included; None for ``LinkOptions.command_timeout_s``.
        """

    async def get(self, key: bytes, timeout_s: float | None = None) -> Any:
        """As ``execute(b"GET", key, timeout_s=timeout_s)``, for the reads that are made most."""

    async def get_many(self, keys: Sequence[bytes], timeout_s: float | None = None) -> list[Any]:
        """
        Return what each of *keys* holds, asking each node once; where one of them does not answer, its error is raised.

        A key that holds something else than a string may count as missing.
        """

    async def execute_many(self, commands: Sequence[Command], *, timeout_s: float | None = None) -> list[Any]:
        """
        Send *commands* grouped by node, one write each, and return their replies in order.

        A command that failed has its exception object in its place; this call itself does not raise `TierError`.
        """

    async def script(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Word], *, timeout_s: float | None = None
    ) -> Any:
        """Run *script*, by its hash where the server knows it; all *keys* must share a slot on a cluster."""

    async def script_many(
        self,
        script: Script,
        calls: Sequence[tuple[Sequence[bytes], Sequence[Word]]],
        *,
        timeout_s: float | None = None,
    ) -> list[Any]:
        """Run *script* once for each ``(keys, args)``, grouped and with exceptions in place as by `execute_many`."""

    async def together(self, commands: Sequence[Command], *, timeout_s: float | None = None) -> list[Any]:
        """
        Send *commands* in one write on one connection, to the node of the first one's key; none is sent twice.

        For a write and the ``WAIT`` that asks for its copies. Error replies are objects in the list.
        """

    async def blocking(self, *command: Word, timeout_s: float) -> Any:
        """
        Run a command that waits at the server (``XREAD BLOCK`` ...), on a connection of its own.

        Args:
            command: Name and arguments, the server-side wait among them.
            timeout_s: That wait; the reply may come a second later before it counts as `TierTimeout`. Not tried again.
        """

    def scan(self, pattern: bytes, count: int = 1000) -> AsyncIterator[list[bytes]]:
        """
        Walk the keys that match *pattern* on every primary, a batch at a time.

        A key may come twice, and a key of a slot that moves meanwhile may be missed, as ``SCAN`` itself has it.
        """

    async def scan_step(self, node: str, cursor: bytes, pattern: bytes, count: int) -> tuple[bytes, list[bytes]]:
        """
        Take one step of a walk over the primary called *node*; return the next cursor, ``0`` at the end, and keys.

        A cursor is good for any later connection, so that a walk can be carried on by another process.
        """

    async def each_primary(self, *command: Word) -> dict[str, Any]:
        """Send *command* to every primary and return the replies by node name; the first error is raised."""

    def health(self) -> LinkHealth:
        """Return what the link knows of each node, without asking it."""

    async def aclose(self) -> None:
        """Close every connection; calls in flight fail."""


async def open_link(url: str, *, options: LinkOptions | None = None) -> AsyncLink:
    """
    Return a link to the servers of *url*, once the first of them answered.

    Args:
        url: See `tiercel._core.redisurl`.
        options: Timeouts and bounds.

    Raises:
        TierUnavailable: No server answered within ``options.connect_timeout_s``; the text names them, never the
            password.
        ConfigurationError: The URL is wrong, or the extra is not installed.
    """
    target = parse_redis_url(url)
    options = options or LinkOptions()
    hooks: list[Callable[[str], None]] = []

    def reconnected(name: str) -> None:
        for hook in hooks:
            hook(name)

    link = AsyncLaneLink(_topology(target, options, reconnected), options)
    link.on_reconnect = hooks
    try:
        await _greet(link, target, options)
    except BaseException:
        await link.aclose()
        raise
    return link


def _topology(target: RedisUrl, options: LinkOptions, on_reconnect: Callable[[str], None]) -> AsyncTopology:
    if target.topology == "cluster":
        return AsyncCluster(target, options, on_reconnect)
    if target.topology == "sentinel":
        return AsyncSentinel(target, options, on_reconnect)
    return AsyncStandalone(target, options, on_reconnect)


async def _greet(link: AsyncLaneLink, target: RedisUrl, options: LinkOptions) -> None:
    """Wait until a server answers, with jittered pauses between the tries."""
    deadline = time.monotonic() + options.connect_timeout_s
    backoff = Backoff(options.reconnect_base_s, options.reconnect_max_s)
    tries = 0
    while True:
        try:
            await link.connect(max(0.001, deadline - time.monotonic()))
            return
        except TierError as error:
            tries += 1
            pause_s = backoff.pause_s(tries, random.random())
            if time.monotonic() + pause_s >= deadline:
                raise TierUnavailable(
                    f"Redis at {target} did not answer within {options.connect_timeout_s:g} s: {error}", tier="redis"
                ) from error
            await async_sleep(pause_s)
