"""
Replicas: who holds copies of which names, and a way to read from one of them.

The picture is asked of the primary (``ROLE``), on a cluster of any node (``CLUSTER SLOTS``), in the background. A
replica answers only where it has heard its primary lately: one that was cut off would serve what it has for ever.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiercel._async.lane_node import AsyncNode
from tiercel._async.lane_topology import endpoint_for
from tiercel._async.link import AsyncLink
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.redisurl import Address, RedisUrl
from tiercel._core.resp import Command
from tiercel._core.slots import SlotMap, key_slot
from tiercel._lanes.session import Endpoint
from tiercel._paired import AsyncEvent, AsyncJob, async_spawn
from tiercel.errors import TierError

__all__ = ["AsyncReplicas", "hears_primary"]

REFRESH_S = 2.0
SILENCE_S = 15
"""A replica that has not heard its primary for longer is not believed; a primary speaks every ten seconds."""


@dataclass(frozen=True, slots=True)
class ReplicaEndpoint(Endpoint):
    """A replica of a cluster, which must be told that reads are meant for it."""

    def greeting(self) -> list[Command]:
        """Return what a new connection sends, in one write."""
        return [*Endpoint.greeting(self), (b"READONLY",)]


class AsyncReplicas:
    """
    Args:
        link: The way to the primaries.
        url: How to sign in.
        options: Timeouts and bounds.
    """

    def __init__(self, link: AsyncLink, url: RedisUrl, options: LinkOptions) -> None:
        self._link = link
        self._url = url
        self._options = options
        self._map = SlotMap()
        self._names: tuple[str, ...] = ()
        self._nodes: dict[str, AsyncNode] = {}
        self._stopping = AsyncEvent()
        self._job: AsyncJob | None = None

    async def start(self) -> None:
        """Learn the replicas, and keep the picture true in the background."""
        await self._refresh()
        self._job = async_spawn("tiercel-replicas", self._run)

    async def aclose(self) -> None:
        """Close every connection to a replica."""
        self._stopping.set()
        if self._job is not None:
            await self._job.join(5.0)
        for node in self._nodes.values():
            await node.aclose()

    async def get(self, name: bytes, timeout_s: float) -> bytes | None:
        """
        Return the record of *name* as a replica has it; None where none may be believed, or it has nothing.

        Never raises for a replica that fails: the primary is being asked as well.
        """
        node = self._node_for(name)
        if node is None:
            return None
        questions: Sequence[Command] = ((b"INFO", b"replication"), (b"GET", name))
        try:
            portrait, record = await node.execute_many(questions, time.monotonic() + timeout_s)
        except TierError:
            return None
        return record if isinstance(record, bytes) and hears_primary(portrait) else None

    def _node_for(self, name: bytes) -> AsyncNode | None:
        if self._url.topology == "cluster":
            primary = self._map.primaries[key_slot(name)]
            names = self._map.replicas.get(primary or "", ())
        else:
            names = self._names
        return self._at(random.choice(names)) if names else None

    def _at(self, name: str) -> AsyncNode:
        node = self._nodes.get(name)
        if node is None:
            plain = endpoint_for(self._url, Address.parse(name))
            endpoint: Endpoint = plain
            if self._url.topology == "cluster":
                endpoint = ReplicaEndpoint(
                    plain.address, plain.credentials, plain.database, plain.tls, plain.client_name
                )
            node = self._nodes.setdefault(name, AsyncNode(endpoint, self._options, _ignore))
        return node

    async def _run(self) -> None:
        while not await self._stopping.wait_for(REFRESH_S):
            await self._refresh()

    async def _refresh(self) -> None:
        """Learn the replicas anew; an unanswered question leaves the picture as it is."""
        try:
            if self._url.topology == "cluster":
                self._map = SlotMap.parse(await self._link.execute(b"CLUSTER", b"SLOTS"), "127.0.0.1")
            else:
                self._names = _replicas_in(await self._link.execute(b"ROLE"))
        except TierError:
            return


def hears_primary(portrait: Any) -> bool:
    """Say whether ``INFO replication`` is that of a replica that heard its primary lately."""
    if not isinstance(portrait, bytes | str):
        return False
    text = portrait.decode() if isinstance(portrait, bytes) else portrait
    lines: Mapping[str, str] = dict(line.split(":", 1) for line in text.split() if ":" in line)
    silent_s = lines.get("master_last_io_seconds_ago", "-1")
    return lines.get("master_link_status") == "up" and silent_s.isdigit() and int(silent_s) <= SILENCE_S


def _replicas_in(role: Any) -> tuple[str, ...]:
    """Return the addresses in a primary's answer to ``ROLE``."""
    if not isinstance(role, list) or len(role) < 3 or role[0] != b"master":
        return ()
    return tuple(f"{host.decode()}:{int(port)}" for host, port, _ in role[2])


def _ignore(_name: str) -> None:
    """A replica's connection made anew loses nothing: each read stands alone."""
