"""
Pages: an application's answer taken whole, dressed with the headers that caches go by, kept and sent again.

A page is shared only where nothing speaks against it; `refusal_of` lists what does. What it was made from is known
from the region reads that its handler made, see `tiercel._dependencies`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tiercel._core.tags import dependency_tag
from tiercel._dependencies import Collector
from tiercel.cdn.capabilities import VARNISH, Capabilities
from tiercel.cdn.headers import CachePolicy, cache_headers, tag_header
from tiercel.cdn.overflow import fit_tags
from tiercel.cdn.tagcodec import TagCodec
from tiercel.http.policy import Match
from tiercel.http.rules.directives import Directives
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import Request, StoredResponse
from tiercel.http.rules.variants import selecting_fields, vary_names

__all__ = [
    "PRIVATE",
    "Page",
    "PageDresser",
    "PageFailed",
    "PageTooLarge",
    "Served",
    "for_all",
    "is_endless",
    "overtaken",
    "page_key",
    "refusal_of",
    "short_ttl_s",
]

PRIVATE = "private, no-store"
Served: TypeAlias = Callable[[str, Sequence[str], str], None]
"""Told of a page that went out: target, tags, tenant."""
_MISSING = frozenset({404, 410})
_UNSHARED_FOR_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """
    One answer.

    Args:
        status: Status code.
        headers: End-to-end fields.
        body: The content.
        made_at: When it was made, seconds since the epoch.
        is_shared: Whether anybody else may get it.
        ttl_s: How long, counted from then: the route's ttl, or what was left of the values that it was made from.
        tags: What it falls by, as the application spells it.
    """

    status: int
    headers: Headers
    body: bytes
    made_at: float
    is_shared: bool = False
    ttl_s: float = 0.0
    tags: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return what a region keeps: plain values that every codec knows."""
        lines = [list(line) for line in self.headers]
        kept = {"status": self.status, "headers": lines, "body": self.body}
        return {**kept, "made_at": self.made_at, "ttl_s": self.ttl_s, "tags": list(self.tags)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Page:
        """Return the page that `to_plain` gave."""
        headers = Headers((name, value) for name, value in plain["headers"])
        body, made_at, ttl_s = bytes(plain["body"]), plain["made_at"], plain["ttl_s"]
        tags = tuple(plain.get("tags", ()))  # pages kept by an older version have none
        return cls(plain["status"], headers, body, made_at, is_shared=True, ttl_s=ttl_s, tags=tags)

    def as_stored(self) -> StoredResponse:
        """Return the page as the rules see it, so that conditions and ranges are answered from it."""
        return StoredResponse(
            status=self.status,
            headers=self.headers,
            body=self.body,
            selecting=(),
            received_at=self.made_at,
            initial_age_s=0.0,
            lifetime_s=self.ttl_s,
            while_revalidate_s=0.0,
            if_error_s=0.0,
        )


class PageTooLarge(Exception):  # a signal inside this package
    """The application's answer is larger than its route keeps; it has to be sent as it comes."""


class PageFailed(Exception):
    """The application answered with a server error; a stale page may stand in for it."""

    def __init__(self, page: Page) -> None:
        super().__init__(page.status)
        self.page = page


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDresser:
    """
    Adds the fields that caches and CDNs go by.

    Args:
        edges: The CDNs in front, each with its own targeted and tag headers.
        codec: Spells tags portably; the same salt as the edges' purgers use.
    """

    edges: Sequence[Capabilities] = (VARNISH,)
    codec: TagCodec

    def dress(self, page: Page, match: Match, tenant: str, found: Collector) -> tuple[Page, str]:
        """Return *page* with its fields set, and why it is not shared; empty where it is."""
        why_not = refusal_of(page, match, found)
        if why_not:
            return _unshared(page), why_not
        ttl_s = min(_ttl_s(page, match), found.left_s)
        tags = [*match.tags, *found.tags, *_dependency_tags(found)]
        headers = page.headers.without(("cache-control", "expires", "pragma"))
        for edge in self.edges:
            fitted = fit_tags(self.codec, tenant, tags, edge, ttl_s)
            if fitted.ttl_s <= 0:
                return _unshared(page), "too many tags"
            fields = {**cache_headers(_cache_policy(match, fitted.ttl_s), edge), **tag_header(fitted.tags, edge)}
            for name, value in fields.items():
                headers = headers.replacing(name.lower(), value)
        dressed = _with_validators(headers, page, match)
        return replace(page, headers=dressed, is_shared=True, ttl_s=ttl_s, tags=tuple(tags)), ""


def page_key(request: Request, match: Match) -> str:
    """Return the key of the page that answers *request*: tenant, host, canonical target and selecting fields."""
    digest = hashlib.blake2b(request.key.encode("utf-8", "surrogatepass"), digest_size=20)
    for name, value in selecting_fields(match.policy.vary, request.headers):
        for text in (name, value):
            octets = text.encode("utf-8", "surrogatepass")
            digest.update(len(octets).to_bytes(4, "big") + octets)
    return f"page:{digest.hexdigest()}"


def short_ttl_s(page: Page, why_not: str, match: Match) -> float | None:
    """Return how long a page is kept, or the note that it is unshared; None where the route's ttl holds."""
    ttl_s = _UNSHARED_FOR_S if why_not else page.ttl_s
    return max(ttl_s, 0.001) if ttl_s < match.policy.ttl_s else None


def overtaken(page: Page) -> Page:
    """Return a page as it goes out when something that it shows changed meanwhile: right for whoever asked before."""
    return _unshared(page)


def for_all(page: Page) -> Page:
    """Return a failed page as those get it who waited for somebody else's request."""
    return replace(page, headers=page.headers.without(("set-cookie",)))


def is_endless(headers: Headers) -> bool:
    """Say whether an answer is a stream of events, which never becomes a page."""
    return (headers.get("content-type") or "").startswith("text/event-stream")


def refusal_of(page: Page, match: Match, found: Collector) -> str:
    """Say in a word or two why *page* must not be shared; empty where it may."""
    directives = Directives.parse(page.headers.get("cache-control"))
    names = vary_names(page.headers)
    origin = page.headers.get("access-control-allow-origin")
    reasons = {
        "set-cookie": "set-cookie" in page.headers,
        "private read": found.uncacheable,
        # Two generations of one entry went into the page, or it is not known which.
        "mixed read": 0 in found.tokens.values(),
        "too many dependencies": found.overflowed,
        "status": page.status not in match.policy.statuses,
        "no-store": "no-store" in directives or "private" in directives,
        "vary": names is None or not set(match.policy.vary).issuperset(names),
        # An answer that echoes one site's name would open or close it for every other.
        "cors": origin not in (None, "*") and "origin" not in match.policy.vary,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _dependency_tags(found: Collector) -> list[str]:
    """Return a tag for each entry, tag and scope that was read, spelled by its hash: names are not kept with copies."""
    return [dependency_tag(tag) for tag in found.tokens if tag]


def _unshared(page: Page) -> Page:
    headers = page.headers.replacing("cache-control", PRIVATE)
    return replace(page, headers=headers, is_shared=False)


def _ttl_s(page: Page, match: Match) -> float:
    policy = match.policy
    return min(policy.ttl_s, policy.missing_ttl_s) if page.status in _MISSING else policy.ttl_s


def _cache_policy(match: Match, ttl_s: float) -> CachePolicy:
    policy = match.policy
    return CachePolicy(ttl_s=ttl_s, browser_ttl_s=policy.browser_ttl_s, grace_s=policy.grace_s, keep_s=policy.keep_s)


def _with_validators(headers: Headers, page: Page, match: Match) -> Headers:
    lines = [("content-length", str(len(page.body)))]
    if match.policy.vary:
        lines.append(("vary", ", ".join(match.policy.vary)))
    if "etag" not in headers and page.status == 200:
        lines.append(("etag", _entity_tag(page)))
    return headers.without(("content-length", "vary")).adding(*lines)


def _entity_tag(page: Page) -> str:
    """Return the same strong tag for the same content on every node."""
    digest = hashlib.blake2b(page.body, digest_size=16)
    for name in ("content-type", "content-encoding", "content-language"):
        digest.update(b"\0" + (page.headers.get(name) or "").encode("latin-1"))
    return f'"{digest.hexdigest()}"'
