"""
Cloudflare's purge API as requests.

One endpoint removes (``purge_cache``), one marks stale (``invalidate_cache``); both take the same selectors:
``files`` (whole URLs), ``tags``, ``prefixes`` (host and path, no scheme), ``hosts``, ``purge_everything``; at most
100 of one sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiercel.cdn.faults import SendRefused
from tiercel.cdn.httpcall import HttpAnswer, HttpCall, json_call
from tiercel.cdn.paths import quoted
from tiercel.cdn.purge import PurgeItem

_API = "/client/v4/zones/"


def purge_call(zone: str, token: str, host: str, items: Sequence[PurgeItem]) -> HttpCall:
    """
    Return the request for *items*, which are of one kind and softness, as the planner packs them.

    Raises:
        SendRefused: a path or prefix and no *host*.
    """
    first = items[0]
    action = "invalidate_cache" if first.soft else "purge_cache"
    return json_call(f"{_API}{zone}/{action}", {"Authorization": f"Bearer {token}"}, _selector(host, items))


def zone_call(zone: str, token: str) -> HttpCall:
    """Return a request that fails where the token or the zone is wrong."""
    return HttpCall("GET", _API + zone, {"Authorization": f"Bearer {token}", "Accept": "application/json"})


def reason(answer: HttpAnswer) -> str:
    """Return what Cloudflare says went wrong."""
    errors = answer.json().get("errors") or []
    return "; ".join(f"{error.get('code')} {error.get('message')}" for error in errors if isinstance(error, dict))


def _selector(host: str, items: Sequence[PurgeItem]) -> dict[str, Any]:
    kind = items[0].kind
    if kind == "all":
        return {"purge_everything": True}
    if kind == "tag":
        return {"tags": [item.value for item in items]}
    if kind == "host":
        return {"hosts": [item.value for item in items]}
    if not host:
        raise SendRefused(
            f"a {kind} at Cloudflare needs the site's host: add ?host=www.example.com", items_at_fault=False
        )
    if kind == "prefix":
        return {"prefixes": [host + quoted(item.value) for item in items]}
    return {"files": [f"https://{host}{quoted(item.value)}" for item in items]}
