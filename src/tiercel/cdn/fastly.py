"""
Fastly's purge API as requests.

Surrogate keys go 256 at a time as JSON; a URL is one request; everything is one request and cannot be soft.
A soft purge is the same request with ``Fastly-Soft-Purge: 1``.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiercel.cdn.faults import SendRefused
from tiercel.cdn.httpcall import HttpAnswer, HttpCall, json_call
from tiercel.cdn.paths import quoted
from tiercel.cdn.purge import PurgeItem


def purge_call(service: str, token: str, host: str, items: Sequence[PurgeItem]) -> HttpCall:
    """
    Return the request for *items*, which are of one kind and softness, as the planner packs them.

    Raises:
        SendRefused: a path and no *host*, or something that Fastly cannot purge by.
    """
    first = items[0]
    headers = {"Fastly-Key": token}
    if first.soft and first.kind != "all":
        headers["Fastly-Soft-Purge"] = "1"
    if first.kind == "all":
        return json_call(f"/service/{service}/purge_all", headers, {})
    if first.kind == "tag":
        return json_call(f"/service/{service}/purge", headers, {"surrogate_keys": [item.value for item in items]})
    if first.kind == "path" and len(items) == 1:
        if not host:
            raise SendRefused("a path at Fastly needs the site's host: add ?host=www.example.com", items_at_fault=False)
        return HttpCall("POST", f"/purge/{host}{quoted(first.value)}", {**headers, "Accept": "application/json"})
    raise SendRefused(f"Fastly cannot purge {len(items)} items by {first.kind}")


def service_call(service: str, token: str) -> HttpCall:
    """Return a request that fails where the token or the service is wrong."""
    return HttpCall("GET", f"/service/{service}", {"Fastly-Key": token, "Accept": "application/json"})


def reason(answer: HttpAnswer) -> str:
    """Return what Fastly says went wrong."""
    body = answer.json()
    return " ".join(str(body[name]) for name in ("msg", "detail") if body.get(name))
