"""
Purges as requests to Varnish with the VCL of this package (``tiercel.vcl``).

By ``xkey``: tags, and paths as the key ``url=PATH`` that the VCL gives every object; both can be soft. By ban, which
the ban lurker works off (only ``obj.*`` is compared): prefixes, hosts, everything, and with ``method=bans`` tags and
paths too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tiercel.cdn.httpcall import HttpCall
from tiercel.cdn.paths import quoted
from tiercel.cdn.purge import PurgeItem

METHODS = ("xkey", "bans")


def purge_calls(items: Sequence[PurgeItem], method: str = "xkey") -> list[HttpCall]:
    """Return the requests for *items*: one for all that go by key, one for each that goes by ban."""
    calls = []
    for soft in (False, True):
        keys = [_key(item) for item in items if item.soft is soft and _by_key(item, method)]
        if keys:
            calls.append(HttpCall("SOFTPURGE" if soft else "PURGE", "/", {"X-Tiercel-Keys": " ".join(keys)}))
    calls += [HttpCall("BAN", "/", {"X-Tiercel-Ban": _ban(item)}) for item in items if not _by_key(item, method)]
    return calls


def _by_key(item: PurgeItem, method: str) -> bool:
    return method == "xkey" and item.kind in ("tag", "path")


def _key(item: PurgeItem) -> str:
    return item.value if item.kind == "tag" else "url=" + quoted(item.value)


def _ban(item: PurgeItem) -> str:
    if item.kind == "all":
        return "obj.status != 0"
    if item.kind == "host":
        return f"obj.http.x-tiercel-host == {item.value}"
    if item.kind == "prefix":
        return f"obj.http.x-tiercel-url ~ ^{_literal(quoted(item.value))}"
    return f"obj.http.xkey ~ (^|\\s){_literal(_key(item))}(\\s|$)"


def _literal(text: str) -> str:
    # Quotes and blanks cannot occur: tags are portable and paths are percent-encoded.
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)
