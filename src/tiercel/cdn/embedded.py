"""
Purges as requests to the embedded edge, over its purge door.

Tags go together in one ``Surrogate-Key``; a path, a prefix and everything are one request each. All can be soft.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiercel.cdn.faults import SendRefused
from tiercel.cdn.httpcall import HttpAnswer, HttpCall
from tiercel.cdn.paths import quoted
from tiercel.cdn.purge import PurgeItem


def purge_call(host: str, secret: str, items: Sequence[PurgeItem]) -> HttpCall:
    """
    Return the request for *items*, which are of one kind and softness, as the planner packs them.

    Raises:
        SendRefused: something that the door has no word for.
    """
    first = items[0]
    headers = {"Tiercel-Purge-Key": secret} | ({"Host": host} if host else {})
    if first.soft:
        headers["Tiercel-Purge-Mode"] = "soft"
    if first.kind == "tag":
        return HttpCall("PURGE", "/", {**headers, "Surrogate-Key": " ".join(item.value for item in items)})
    if first.kind == "path":
        return HttpCall("PURGE", quoted(first.value), headers)
    if first.kind in ("prefix", "all"):
        path = quoted(first.value) if first.kind == "prefix" else "/"
        return HttpCall("PURGE", path, {**headers, "Tiercel-Purge": first.kind})
    raise SendRefused(f"the embedded edge cannot purge by {first.kind}")


def reason(answer: HttpAnswer) -> str:
    """Return what the edge says went wrong."""
    return str(answer.json().get("error", ""))
