# Generated from src/tiercel/_async/lane_sentinel.py by tools/unasync.py. Do not edit.
"""
Redis behind Sentinels: they say which server is the primary, and the connection itself proves that it is.

A new connection to a server that calls itself a replica is refused at the greeting (``HELLO`` tells the role), so that
a primary that comes back demoted is never read from. A lost connection, READONLY or an open breaker has the Sentinels
asked again; the one that answered last is asked first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tiercel._sync.lane_node import Node
from tiercel._sync.lane_refresh import Refresher
from tiercel._sync.lane_topology import endpoint_for
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.redisurl import Address, RedisUrl
from tiercel._core.resp import Command, NodeRefused, Redirect
from tiercel._lanes.session import Endpoint
from tiercel.errors import TierError, TierUnavailable

__all__ = ["Sentinel"]

# Longest wait for one Sentinel's answer.
_ASK_S = 0.3


class Sentinel:
    """
    One primary, found through its Sentinels.

    Args:
        url: The Sentinels, the primary's name, and how to sign in.
        options: Timeouts and bounds.
        on_reconnect: Called with the primary's name after its connection was made anew, and when the primary changes.
    """

    kind = "sentinel"
    is_whole = True

    def __init__(self, url: RedisUrl, options: LinkOptions, on_reconnect: Callable[[str], None]) -> None:
        self._url = url
        self._options = options
        self._on_reconnect = on_reconnect
        self._sentinels = [
            Node(Endpoint(address, url.sentinel_credentials, tls=url.tls), options, _ignore)
            for address in url.addresses
        ]
        self._primary: Node | None = None
        self._refresher = Refresher(self._fetch, options.refresh_interval_s)

    @property
    def coverage(self) -> float:
        return 1.0 if self._primary is not None else 0.0

    def node_for(self, command: Command) -> Node:
        return self.node_of(b"")

    def node_of(self, key: bytes) -> Node:
        if self._primary is None:
            raise TierUnavailable(f"Sentinels {self._url}: no primary {self._url.master_name!r} is known", tier="redis")
        return self._primary

    def primaries(self) -> Sequence[Node]:
        return [self._primary] if self._primary is not None else []

    def nodes(self) -> Sequence[Node]:
        return self.primaries()

    def follow(self, redirect: Redirect) -> Node:
        return self.node_at(redirect.address)

    def node_at(self, address: str) -> Node:
        raise NodeRefused(
            f"the primary belongs to a cluster and points to {address}: use redis+cluster://", tier="redis"
        )

    def refresh(self, deadline: float) -> None:
        self._refresher.now(deadline)

    def refresh_soon(self) -> None:
        self._refresher.soon()

    def close(self) -> None:
        self._refresher.close()
        for node in [*self._sentinels, *self.primaries()]:
            node.close()

    def _fetch(self, deadline: float) -> None:
        """Ask the Sentinels in turn; raises the last failure where none knows the primary."""
        failure: TierError = TierUnavailable(f"Sentinels {self._url}: no time left", tier="redis")
        question = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._url.master_name)
        for sentinel in list(self._sentinels):
            now = time.monotonic()
            if now >= deadline:
                break
            try:
                reply = sentinel.lane.ask(question, min(deadline, now + _ASK_S))
            except TierError as error:
                failure = error
                continue
            if reply is None:
                failure = TierUnavailable(f"{sentinel.name} watches no primary {self._url.master_name!r}", tier="redis")
                continue
            self._sentinels.sort(key=lambda other, first=sentinel: other is not first)  # type: ignore[misc]
            self._adopt(Address(reply[0].decode(), int(reply[1])))
            return
        raise failure

    def _adopt(self, address: Address) -> None:
        """Make *address* the primary, where it is not so already."""
        before = self._primary
        if before is not None and before.name == address.name:
            return
        endpoint = replace(endpoint_for(self._url, address), must_be_primary=True)
        self._primary = Node(endpoint, self._options, self._on_reconnect)
        if before is not None:
            self._on_reconnect(address.name)
            before.close()


def _ignore(name: str) -> None:
    """Nothing is lost with a Sentinel's connection: each answer stands alone."""
