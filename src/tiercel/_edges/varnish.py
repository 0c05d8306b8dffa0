"""
Varnish nodes as a sender of purges: every node is told, each answers for itself.

A purge is complete when all nodes have confirmed it. A retry asks only the nodes that have not; a node that is down
keeps the purge open, and nobody else waits for it. Nodes that come back empty confirm at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tiercel._edges.rest import RestClient
from tiercel.cdn.capabilities import VARNISH, Capabilities
from tiercel.cdn.faults import SendPartly, SendRefused
from tiercel.cdn.httpcall import HttpCall
from tiercel.cdn.purge import PurgeItem
from tiercel.cdn.varnish import purge_calls
from tiercel.errors import ConfigurationError, TierError

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What one node made of one purge."""

    node: str
    is_clean: bool
    detail: str = ""


class VarnishSender:
    """
    Purges of a group of Varnish nodes that run this package's VCL.

    Args:
        nodes: ``host:port`` of each node.
        method: ``xkey``, or ``bans`` where the module is not installed.
        timeout_s: Longest wait for one node.
    """

    def __init__(self, nodes: Sequence[str], *, method: str = "xkey", timeout_s: float = 5.0) -> None:
        if not nodes or not all(nodes):
            raise ConfigurationError("varnish: name the nodes, host:port,host:port")
        self.capabilities: Capabilities = VARNISH
        self._clients = {node: RestClient(f"http://{node}", timeout_s=timeout_s) for node in nodes}
        self._method = method
        self._confirmed: OrderedDict[str, set[str]] = OrderedDict()
        self._lock = threading.Lock()
        self.last: tuple[NodeResult, ...] = ()

    def send(self, reference: str, items: Sequence[PurgeItem]) -> None:
        """
        Purge at every node that has not confirmed *reference* yet.

        Raises:
            SendPartly: some nodes did not confirm; the message names them.
            SendRefused: a node refuses the request itself, which its VCL or access list explains.
        """
        with self._lock:
            confirmed = self._confirmed.setdefault(reference, set())
            while len(self._confirmed) > _REMEMBERED:
                self._confirmed.popitem(last=False)
        asked = [node for node in self._clients if node not in confirmed]
        calls = purge_calls(items, self._method)
        with ThreadPoolExecutor(max_workers=max(1, min(16, len(asked))), thread_name_prefix="tiercel-varnish") as pool:
            self.last = tuple(pool.map(lambda node: self._purge(node, calls), asked))
        confirmed.update(result.node for result in self.last if result.is_clean)
        self._judge(self.last)
        with self._lock:
            self._confirmed.pop(reference, None)

    def poll(self, provider_id: str) -> bool:
        """Say yes: what was confirmed is complete."""
        return True

    def ping(self) -> None:
        """Raise `TierError` where a node does not answer or would not accept a purge."""
        self._judge(
            [self._purge(node, [HttpCall("PURGE", "/", {"X-Tiercel-Keys": "tiercel-ping"})]) for node in self._clients]
        )

    def close(self) -> None:
        """Close idle connections."""
        for client in self._clients.values():
            client.close()

    def _purge(self, node: str, calls: Sequence[HttpCall]) -> NodeResult:
        for call in calls:
            try:
                answer = self._clients[node].call(call)
            except TierError as error:
                return NodeResult(node, is_clean=False, detail=str(error))
            if answer.status != 200:
                return NodeResult(node, is_clean=False, detail=f"refused with {answer.status}")
        return NodeResult(node, is_clean=True)

    @staticmethod
    def _judge(results: Sequence[NodeResult]) -> None:
        dirty = [result for result in results if not result.is_clean]
        if not dirty:
            return
        text = "; ".join(f"{result.node}: {result.detail}" for result in dirty)
        if any("refused with 40" in result.detail for result in dirty):
            raise SendRefused(
                f"varnish: {text}", items_at_fault=all("refused with 400" in result.detail for result in dirty)
            )
        raise SendPartly(f"varnish, {len(dirty)} of {len(results)} nodes: {text}", tier="cdn", operation="purge")
