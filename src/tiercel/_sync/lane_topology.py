# Generated from src/tiercel/_async/lane_topology.py by tools/unasync.py. Do not edit.
"""
Who serves what: the part of a link that knows the servers.

`Topology` is what the link asks; `Standalone` is the simplest one, a single server. The others are in
`lane_cluster` and `lane_sentinel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tiercel._sync.lane_node import Node
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.redisurl import Address, RedisUrl
from tiercel._core.resp import Command, NodeRefused, Redirect
from tiercel._lanes.session import Endpoint

__all__ = ["Standalone", "Topology", "endpoint_for"]


class Topology(Protocol):
    """The servers behind one URL, and which of them a command belongs to."""

    kind: str
    is_whole: bool
    """One server serves every key, so that a command may name any number of them."""

    @property
    def coverage(self) -> float:
        """Part of the key space that some server serves, 0 to 1."""

    def node_for(self, command: Command) -> Node:
        """Return the primary that *command* belongs to; raises `TierUnavailable` where nobody serves its slot."""

    def node_of(self, key: bytes) -> Node:
        """As `node_for`, for a command on *key*."""

    def primaries(self) -> Sequence[Node]:
        """Return every primary."""

    def nodes(self) -> Sequence[Node]:
        """Return every server that a connection was asked for."""

    def follow(self, redirect: Redirect) -> Node:
        """Note that a slot has moved for good, and return its new primary."""

    def node_at(self, address: str) -> Node:
        """Return the node at ``host:port``, known before or not."""

    def refresh(self, deadline: float) -> None:
        """Fetch the picture anew; does nothing where that was done just now or is going on. Raises `TierError`."""

    def refresh_soon(self) -> None:
        """Have the picture fetched in the background, for the calls to come."""

    def close(self) -> None:
        """Close every connection."""


class Standalone:
    """One server, which serves everything."""

    kind = "standalone"
    is_whole = True
    coverage = 1.0

    def __init__(self, url: RedisUrl, options: LinkOptions, on_reconnect: Callable[[str], None]) -> None:
        self._node = Node(endpoint_for(url, url.addresses[0]), options, on_reconnect)

    def node_for(self, command: Command) -> Node:
        return self._node

    def node_of(self, key: bytes) -> Node:
        return self._node

    def primaries(self) -> Sequence[Node]:
        return (self._node,)

    def nodes(self) -> Sequence[Node]:
        return (self._node,)

    def follow(self, redirect: Redirect) -> Node:
        return self.node_at(redirect.address)

    def node_at(self, address: str) -> Node:
        raise NodeRefused(
            f"{self._node.name} belongs to a cluster and points to {address}: use a redis+cluster:// URL", tier="redis"
        )

    def refresh(self, deadline: float) -> None:
        """
        Have the next call make a new connection: the name may belong to another server by now.

        A server that was demoted keeps its connections and answers READONLY on them for ever.
        """
        self._node.lane.renew()

    def refresh_soon(self) -> None:
        """There is nothing to learn of a single server ahead of time."""

    def close(self) -> None:
        self._node.close()


def endpoint_for(url: RedisUrl, address: Address) -> Endpoint:
    """Return how to sign in to *address* with what *url* says."""
    return Endpoint(address, url.credentials, url.database, url.tls, url.client_name)
