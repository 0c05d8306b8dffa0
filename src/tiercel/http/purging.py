"""
The purge door: purges over HTTP, for invalidators that run elsewhere.

It speaks what ``tiercel.vcl`` teaches Varnish, so an edge URL ``varnish://host:port`` names an embedded edge just as
well: ``PURGE`` and ``SOFTPURGE`` with ``X-Tiercel-Keys: tag tag url=/path``, and ``BAN`` with one of three
``X-Tiercel-Ban`` expressions: everything, a host, a prefix of the target. Only clients from the named networks are let
in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from tiercel.errors import ConfigurationError
from tiercel.http.exchange import Scope
from tiercel.http.rules.headers import Headers
from tiercel.http.storage import Purge

__all__ = ["PURGE_METHODS", "PurgeDoor", "read_purge"]

PURGE_METHODS = frozenset({"PURGE", "SOFTPURGE", "BAN"})
_EVERYTHING = "obj.status != 0"
_HOST = re.compile(r"obj\.http\.x-tiercel-host == (\S+)")
_PREFIX = re.compile(r"obj\.http\.x-tiercel-url ~ \^(\S+)")
_ESCAPED = re.compile(r"\\(.)")


class PurgeDoor:
    """
    Says who may purge.

    Args:
        networks: Addresses or networks, as in ``10.0.0.0/8``; none keeps the door shut. Behind a proxy on the same
            machine every client has the proxy's address: name no network there that contains it.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [_network(text) for text in networks]

    def admits(self, scope: Scope) -> bool:
        """Say whether the client of *scope* may purge."""
        client = scope.get("client")
        if not client or not self._networks:
            return False
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def read_purge(method: str, headers: Headers) -> Purge | None:
    """Return what a request asks to purge, or None where it makes no sense."""
    if method == "BAN":
        return _read_ban((headers.get("x-tiercel-ban") or "").strip())
    keys = (headers.get("x-tiercel-keys") or "").split()
    if not keys:
        return None
    urls = [key.removeprefix("url=") for key in keys if key.startswith("url=")]
    tags = [key for key in keys if not key.startswith("url=")]
    return Purge(tags=tags, urls=urls, soft=method == "SOFTPURGE")


def _read_ban(expression: str) -> Purge | None:
    if expression == _EVERYTHING:
        return Purge(everything=True)
    host = _HOST.fullmatch(expression)
    if host is not None:
        return Purge(hosts=[host[1].lower()])
    prefix = _PREFIX.fullmatch(expression)
    return Purge(prefixes=[_ESCAPED.sub(r"\1", prefix[1])]) if prefix is not None else None


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigurationError(f"purgers={text!r}: must be an address or a network such as 10.0.0.0/8") from error
