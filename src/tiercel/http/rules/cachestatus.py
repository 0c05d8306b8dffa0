"""``Cache-Status``: what this cache did with a request, for whoever debugs the chain (RFC 9211)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["CacheStatus"]

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")


@dataclass(slots=True, kw_only=True)
class CacheStatus:
    """
    One cache's member of the field.

    Args:
        hit: Answered from the store without asking the origin.
        forwarded: Why the origin was asked; empty where it was not.
        forwarded_status: Status that the origin gave, where it is not the one that goes out.
        ttl_s: Freshness left; negative for stale.
        is_stored: The origin's answer was stored.
        is_collapsed: The answer to another request was waited for.
        detail: Anything else, in a word or two.
        is_first_hand: The answer was made for this request, so it has no ``Age``. Not rendered.
    """

    hit: bool = False
    forwarded: str = ""
    forwarded_status: int | None = None
    ttl_s: int | None = None
    is_stored: bool = False
    is_collapsed: bool = False
    detail: str = ""
    is_first_hand: bool = False

    def render(self, name: str) -> str:
        """Return the member for the cache called *name*."""
        parts = [name if _TOKEN.fullmatch(name) else f'"{name}"']
        if self.hit:
            parts.append("hit")
        if self.forwarded:
            parts.append(f"fwd={self.forwarded}")
        if self.forwarded_status is not None:
            parts.append(f"fwd-status={self.forwarded_status}")
        if self.ttl_s is not None:
            parts.append(f"ttl={self.ttl_s}")
        if self.is_stored:
            parts.append("stored")
        if self.is_collapsed:
            parts.append("collapsed")
        if self.detail:
            parts.append(f'detail="{self.detail}"')
        return "; ".join(parts)
