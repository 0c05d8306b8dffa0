"""
Route policies: which requests of an application share a page, for how long, and what may tell two pages apart.

On a route with a policy nothing reaches the handler that is not in the page's key: no cookie, no ``Authorization``, no
request field but those that the policy names, no query parameter but those that it counts. So no request can make a
page that another one should not get; who needs more of the request must say so, and is then served unshared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from tiercel.http.rules.headers import Headers
from tiercel.options import require

__all__ = ["Match", "RoutePolicy", "Routes", "canonical_query", "is_doubtful", "is_personal", "shared_fields"]

# Fields that do not select a page: the host is in the key, the others only follow a request through logs.
_NEUTRAL_FIELDS = frozenset({"host", "traceparent", "tracestate", "x-request-id"})
# What some server in the chain may read as a separator, a parent folder or an end: cache deception lives here.
_DOUBTFUL = re.compile(
    r"%2f|%5c|%2e|%25|%3b|%3f|%23|%[01][0-9a-f]|%7f|//|\\|;|/\.{1,2}(?:/|$)|[\x00-\x20\x7f]", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePolicy:
    """
    How the pages of one route are shared.

    Args:
        path: The route: literal text, ``{name}`` for one segment, a final ``*`` for any rest.
        ttl_s: How long a page is fresh at the CDN and in the response cache.
        browser_ttl_s: How long a browser keeps it, which no purge reaches; 0 lets it ask each time.
        grace_s: How long a CDN may serve it stale while it fetches a new one.
        keep_s: How long beyond that a CDN may serve it where the application fails.
        missing_ttl_s: Ttl of 404 and 410.
        tags: Tags of every page of the route; ``{name}`` is filled in from the path.
        query: Parameters that count; others are dropped before the handler sees them. None for all.
        vary: Request fields that select a page, in lower case; the handler sees no others.
        personal_cookies: Cookies that make a request personal: it is served unshared, with all its fields.
        statuses: Statuses that are shared.
        stored: Keep pages in the response cache too, where there is one.
        max_body_bytes: A larger page is sent as it comes, unshared.
    """

    path: str
    ttl_s: float
    browser_ttl_s: float = 0.0
    grace_s: float = 0.0
    keep_s: float = 0.0
    missing_ttl_s: float = 10.0
    tags: tuple[str, ...] = ()
    query: tuple[str, ...] | None = None
    vary: tuple[str, ...] = ("accept-encoding",)
    personal_cookies: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset({200, 301, 308, 404, 410})
    stored: bool = True
    max_body_bytes: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        where = f"route {self.path!r}: "
        require(self.path.startswith("/"), where + "path must begin with /")
        require("*" not in self.path[:-1], where + "only the end of a path may be *")
        require(self.ttl_s > 0, where + f"ttl_s={self.ttl_s}: must be greater than 0")
        for name in ("browser_ttl_s", "grace_s", "keep_s", "missing_ttl_s"):
            require(getattr(self, name) >= 0, where + f"{name}={getattr(self, name)}: must not be negative")
        require(
            self.browser_ttl_s <= self.ttl_s, where + f"browser_ttl_s={self.browser_ttl_s} exceeds ttl_s={self.ttl_s}"
        )
        for field in self.vary:
            require(field == field.lower(), where + f"vary names {field!r}: write it in lower case")
            require(field not in ("cookie", "authorization"), where + f"vary names {field!r}: use personal_cookies")


class Match(NamedTuple):
    """The policy of a request, and what stands for its placeholders."""

    policy: RoutePolicy
    parameters: Mapping[str, str]

    @property
    def tags(self) -> list[str]:
        """The policy's tags, filled in."""
        return [_PLACEHOLDER.sub(lambda found: self.parameters[found[1]], tag) for tag in self.policy.tags]


class Routes:
    """An ordered list of policies; the first that fits a path holds."""

    def __init__(self, policies: Iterable[RoutePolicy]) -> None:
        self._compiled = [(_compiled(policy.path), policy) for policy in policies]
        for pattern, policy in self._compiled:
            unknown = {name for tag in policy.tags for name in _PLACEHOLDER.findall(tag)} - set(pattern.groupindex)
            require(not unknown, f"route {policy.path!r}: a tag names {sorted(unknown)}, which the path does not have")

    def find(self, path: str) -> Match | None:
        """Return the policy of the decoded *path*, or None."""
        for pattern, policy in self._compiled:
            found = pattern.fullmatch(path)
            if found is not None:
                return Match(policy, found.groupdict())
        return None


def is_doubtful(raw_path: str) -> bool:
    """Say whether servers may disagree on what *raw_path*, not yet decoded, names; such a path is never shared."""
    return _DOUBTFUL.search(raw_path) is not None


def is_personal(headers: Headers, policy: RoutePolicy) -> bool:
    """Say whether a request is about one person, so that its answer is for that person only."""
    if "authorization" in headers or "proxy-authorization" in headers:
        return True
    cookies = {pair.partition("=")[0].strip() for pair in (headers.get("cookie") or "").replace(",", ";").split(";")}
    return not cookies.isdisjoint(policy.personal_cookies)


def shared_fields(headers: Headers, policy: RoutePolicy) -> Headers:
    """Return the request fields that the handler of a shared page gets to see."""
    seen = _NEUTRAL_FIELDS | set(policy.vary)
    return Headers(line for line in headers if line[0] in seen)


def canonical_query(query: str, counted: Sequence[str] | None) -> str:
    """Return *query* with the parameters that count, sorted by name and spelled one way; repeats keep their order."""
    if not query:
        return ""
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    kept = [pair for pair in pairs if counted is None or pair[0] in counted]
    kept.sort(key=lambda pair: pair[0])
    return urlencode(kept, quote_via=quote, errors="surrogateescape")


def _compiled(path: str) -> re.Pattern[str]:
    is_prefix = path.endswith("*")
    text = path.removesuffix("*")
    parts = _PLACEHOLDER.split(text)
    pattern = "".join(re.escape(part) if number % 2 == 0 else f"(?P<{part}>[^/]+)" for number, part in enumerate(parts))
    return re.compile(pattern + (".*" if is_prefix else ""), re.DOTALL)
