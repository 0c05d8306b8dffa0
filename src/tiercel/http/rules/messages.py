"""The nouns of the rules: a request, a response, a stored response, and the options that the rules obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiercel.http.rules.headers import Headers
from tiercel.options import require

__all__ = ["ContentSpan", "EdgeOptions", "Request", "Response", "StoredResponse"]


@dataclass(frozen=True, slots=True)
class Request:
    """
    One request as the cache sees it.

    Args:
        method: The method, case-sensitive.
        scheme: ``http`` or ``https``.
        host: Host and port, lower case, without the scheme's default port.
        target: Path and query exactly as on the wire: never decoded, never tidied up. A cache that reads a path
            differently from its origin can be tricked into storing one page as another.
        headers: The fields that the origin gets to see, those of the connection left out: a field that only one of
            the two reads must not select a stored response.
        tenant: Whose data the answer holds; part of the key.
        has_body: Whether content follows.
    """

    method: str
    scheme: str
    host: str
    target: str
    headers: Headers
    tenant: str = ""
    has_body: bool = False

    @property
    def key(self) -> str:
        """The primary cache key; lengths make it injective whatever tenant, host or target contain."""
        return f"{len(self.tenant)}:{self.tenant}{len(self.host)}:{self.host}{self.scheme}:{self.target}"

    @property
    def url(self) -> str:
        """The absolute URL."""
        return f"{self.scheme}://{self.host}{self.target}"


@dataclass(frozen=True, slots=True)
class Response:
    """Status and fields of a response; the content travels apart from it."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class ContentSpan:
    """The part of a representation that a partial response holds: bytes *first* to *last* of *total*, inclusive."""

    first: int
    last: int
    total: int

    @property
    def size_bytes(self) -> int:
        """Length of the part."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """
    A response in the cache, with everything that a hit needs worked out in advance.

    Args:
        status: Status code; 206 where *span* is set.
        headers: End-to-end fields.
        body: The content, or the part of it that *span* names.
        selecting: The fields that ``Vary`` names, each with the normalised value of the request that was answered.
        received_at: When the response came, seconds since the epoch.
        initial_age_s: Age of the response at that time.
        lifetime_s: Age up to which it is fresh; 0 where it must be validated before each use.
        while_revalidate_s: How long past that it may be served while one refresh runs.
        if_error_s: How long past that it may be served where the origin fails.
        tags: What it depends on.
        span: Which part *body* is; None for all.
        expired_at: When a soft purge made it stale, or None.
    """

    status: int
    headers: Headers
    body: bytes
    selecting: tuple[tuple[str, str], ...]
    received_at: float
    initial_age_s: float
    lifetime_s: float
    while_revalidate_s: float
    if_error_s: float
    tags: tuple[str, ...] = ()
    span: ContentSpan | None = None
    expired_at: float | None = None

    def age_s(self, now: float) -> float:
        """Return the current age (RFC 9111 section 4.2.3); never below zero, whatever the clocks do."""
        return max(self.initial_age_s + (now - self.received_at), 0.0)

    def staleness_s(self, now: float) -> float:
        """Return how long ago freshness ended: negative while fresh, 0 at the very end."""
        past_lifetime = self.age_s(now) - self.lifetime_s
        return past_lifetime if self.expired_at is None else max(past_lifetime, now - self.expired_at)

    def is_fresh(self, now: float) -> bool:
        """Say whether it may be served without asking; equality counts as stale."""
        return self.staleness_s(now) < 0

    @property
    def has_validator(self) -> bool:
        """Whether the origin can be asked if it is still good."""
        return "etag" in self.headers or "last-modified" in self.headers

    @property
    def weight_bytes(self) -> int:
        """What it costs to keep: content, fields and a flat sum for the rest."""
        fields = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.body) + 2 * fields + sum(map(len, self.tags)) + 512


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """
    What the rules leave to the operator.

    Args:
        name: The cache's name in ``Cache-Status``.
        targets: Targeted fields that address this cache, the most specific first.
        tag_header: Response field whose members are the response's tags; removed before the response goes out.
        honour_reload: Obey a request's ``no-cache``, ``max-age``, ``min-fresh`` and ``max-stale``. Off, no client can
            make the cache ask the origin.
        heuristic_fraction: Part of the time since ``Last-Modified`` for which a response without explicit freshness
            is fresh; 0 to store no such response.
        heuristic_max_s: Longest heuristic freshness.
        while_revalidate_s: Window for responses that name no ``stale-while-revalidate``.
        if_error_s: Window for responses that name no ``stale-if-error``.
        max_body_bytes: Larger content is passed on and not stored.
        max_variants: Most variants and parts kept of one URL; the oldest goes.
        share_authorized: Store answers to requests with ``Authorization`` where RFC 9111 section 3.5 allows it. Off
            by default: one forgotten ``public`` would hand one user's page to the next.
        share_set_cookie: Store responses with ``Set-Cookie``. Off by default for the same reason.
        statuses: Statuses that may be stored; None for all that the RFC allows.
        vary_allowed: Fields that ``Vary`` may name for a response to be stored; None for any.
    """

    name: str = "tiercel"
    targets: Sequence[str] = ("cdn-cache-control",)
    tag_header: str = "surrogate-key"
    honour_reload: bool = True
    heuristic_fraction: float = 0.1
    heuristic_max_s: float = 86_400.0
    while_revalidate_s: float = 0.0
    if_error_s: float = 60.0
    max_body_bytes: int = 8 * 1024 * 1024
    max_variants: int = 32
    share_authorized: bool = False
    share_set_cookie: bool = False
    statuses: frozenset[int] | None = None
    vary_allowed: frozenset[str] | None = None

    def __post_init__(self) -> None:
        require(0 <= self.heuristic_fraction <= 1, f"heuristic_fraction={self.heuristic_fraction}: must lie in [0, 1]")
        for field in ("heuristic_max_s", "while_revalidate_s", "if_error_s"):
            require(getattr(self, field) >= 0, f"{field}={getattr(self, field)}: must not be negative")
        for field in ("max_body_bytes", "max_variants"):
            require(getattr(self, field) >= 1, f"{field}={getattr(self, field)}: must be at least 1")
