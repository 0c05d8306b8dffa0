# Generated from src/tiercel/_async/lane_cluster.py by tools/unasync.py. Do not edit.
"""
Redis Cluster: the map of slots, a node for each server in it, and how the map is kept true.

The map is learned with ``CLUSTER SLOTS`` from any node, and corrected by each MOVED at once; a MOVED, a lost connection
or an open breaker has it fetched anew, from the nodes in random order, because a node that was cut off gives an old
one. A server that left the map is closed one look-up later, so that calls on their way to it can end.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from tiercel._sync.lane_node import Node
from tiercel._sync.lane_refresh import Refresher
from tiercel._sync.lane_topology import endpoint_for
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.redisurl import Address, RedisUrl
from tiercel._core.resp import Command, Redirect, routing_key
from tiercel._core.slots import SlotMap, key_slot
from tiercel.errors import TierError, TierUnavailable

__all__ = ["Cluster"]

# Longest wait for one node's picture: a frozen node must not keep the others from being asked.
_ASK_S = 0.3


class Cluster:
    """
    The nodes of one cluster.

    Args:
        url: Some of its nodes, and how to sign in.
        options: Timeouts and bounds.
        on_reconnect: Called with a node's name after its connection was made anew, and when a node becomes a primary.
    """

    kind = "cluster"
    is_whole = False

    def __init__(self, url: RedisUrl, options: LinkOptions, on_reconnect: Callable[[str], None]) -> None:
        self._url = url
        self._options = options
        self._on_reconnect = on_reconnect
        self._map = SlotMap()
        self._nodes: dict[str, Node] = {}
        self._retiring: set[str] = set()
        self._refresher = Refresher(self._fetch, options.refresh_interval_s)

    @property
    def coverage(self) -> float:
        return self._map.coverage

    def node_for(self, command: Command) -> Node:
        key = routing_key(command)
        if key is not None:
            return self.node_of(key)
        names = self._map.primary_names()
        return self._named(names[0] if names else None)

    def node_of(self, key: bytes) -> Node:
        return self._named(self._map.primaries[key_slot(key)])

    def _named(self, name: str | None) -> Node:
        if name is None:
            raise TierUnavailable(f"cluster of {self._url}: nobody serves the slot of this command", tier="redis")
        return self._nodes.get(name) or self.node_at(name)

    def primaries(self) -> Sequence[Node]:
        return [self.node_at(name) for name in self._map.primary_names()]

    def nodes(self) -> Sequence[Node]:
        return list(self._nodes.values())

    def follow(self, redirect: Redirect) -> Node:
        self._map = self._map.moved(redirect.slot, redirect.address)
        self._refresher.soon()
        return self.node_at(redirect.address)

    def node_at(self, address: str) -> Node:
        node = self._nodes.get(address)
        if node is None:
            endpoint = endpoint_for(self._url, Address.parse(address))
            node = self._nodes.setdefault(address, Node(endpoint, self._options, self._on_reconnect))
        return node

    def refresh(self, deadline: float) -> None:
        self._refresher.now(deadline)

    def refresh_soon(self) -> None:
        self._refresher.soon()

    def close(self) -> None:
        self._refresher.close()
        for node in list(self._nodes.values()):
            node.close()

    def _fetch(self, deadline: float) -> None:
        """Take the map of the first node that answers; raises the last failure where none does."""
        known = list(self._nodes) or [address.name for address in self._url.addresses]
        random.shuffle(known)
        seeds = [address.name for address in self._url.addresses if address.name not in known]
        failure: TierError = TierUnavailable(f"cluster of {self._url}: no time left", tier="redis")
        for name in [*known, *seeds]:
            now = time.monotonic()
            if now >= deadline:
                break
            try:
                reply = self.node_at(name).lane.ask((b"CLUSTER", b"SLOTS"), min(deadline, now + _ASK_S))
            except TierError as error:
                failure = error
                continue
            if reply:
                self._adopt(reply, name)
                return
        raise failure

    def _adopt(self, reply: Sequence[Any], asked: str) -> None:
        """Take a new map, tell of new primaries, and close what left the map before the last one."""
        before = set(self._map.primary_names())
        self._map = SlotMap.parse(reply, Address.parse(asked).host)
        primaries = self._map.primary_names()
        for name in primaries:
            self.node_at(name)
            if before and name not in before:
                self._on_reconnect(name)
        for name, node in self._nodes.items():
            node.role = "primary" if name in primaries else "replica"
        members = {*primaries, *(name for names in self._map.replicas.values() for name in names)}
        absent = self._nodes.keys() - members
        for name in absent & self._retiring:
            self._nodes.pop(name).close()
        self._retiring = absent - self._retiring
