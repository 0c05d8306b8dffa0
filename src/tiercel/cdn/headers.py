"""
Response headers by CDN: how long browsers and the edge may keep a response, and which tags it carries.

``s-maxage`` implies ``proxy-revalidate`` (RFC 9111, 5.2.2.10), which forbids serving stale. So an edge that
understands a targeted header (RFC 9213) gets its lifetimes there, with ``max-age``; CloudFront, which does not, gets
``s-maxage`` only where nothing stale is wanted, and otherwise one ``max-age`` for browsers and edge together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiercel.cdn.capabilities import Capabilities
from tiercel.errors import ConfigurationError

YEAR_S = 31_536_000
TARGETED = {"cloudflare": "Cloudflare-CDN-Cache-Control", "fastly": "Surrogate-Control"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """
    How long a response may be kept, in seconds.

    Args:
        ttl_s: Fresh at the edge.
        browser_ttl_s: Fresh in browsers, which no purge reaches; None for the edge's.
        grace_s: Served stale while one request fetches the new one.
        keep_s: Served stale where the origin fails.
        immutable: The URL names this content for ever.
        left_s: What is left of the ttl of the value the response was made from; the smaller one wins.
    """

    ttl_s: float
    browser_ttl_s: float | None = None
    grace_s: float = 0.0
    keep_s: float = 0.0
    immutable: bool = False
    left_s: float | None = None

    @property
    def edge_s(self) -> int:
        """Whole seconds that the edge may keep it."""
        return max(0, int(self.ttl_s if self.left_s is None else min(self.ttl_s, self.left_s)))

    @property
    def browser_s(self) -> int:
        """Whole seconds that a browser may keep it."""
        return self.edge_s if self.browser_ttl_s is None else max(0, min(int(self.browser_ttl_s), self.edge_s))


def cache_headers(policy: CachePolicy, capabilities: Capabilities) -> dict[str, str]:
    """Return ``Cache-Control`` and, where *capabilities*' CDN reads one, its targeted header."""
    if policy.immutable:
        return {"Cache-Control": f"public, max-age={YEAR_S}, immutable"}
    if capabilities.name == "cloudfront":
        return {"Cache-Control": _untargeted(policy)}
    name = TARGETED.get(capabilities.name, "CDN-Cache-Control")
    return {
        "Cache-Control": f"public, max-age={policy.browser_s}",
        name: f"max-age={policy.edge_s}" + _stale(policy),
    }


def tag_header(tags: Sequence[str], capabilities: Capabilities) -> dict[str, str]:
    """
    Return the header that carries portable *tags*; empty where there are none.

    Raises:
        ConfigurationError: more tags, or more bytes, than the CDN keeps. It would drop the rest without a word; fit
            them
            first with `tiercel.cdn.overflow.fit_tags`.
    """
    if not tags or not capabilities.tags:
        return {}
    value = capabilities.tag_separator.join(tags)
    limit = capabilities.tags_per_object
    if (limit is not None and len(tags) > limit) or len(value) > capabilities.tag_header_bytes:
        raise ConfigurationError(
            f"{len(tags)} tags in {len(value)} bytes: {capabilities.name} keeps "
            f"{limit or 'any number'} in {capabilities.tag_header_bytes} bytes"
        )
    return {capabilities.tag_header: value}


def _untargeted(policy: CachePolicy) -> str:
    if policy.grace_s or policy.keep_s or policy.browser_s == policy.edge_s:
        return f"public, max-age={policy.edge_s}" + _stale(policy)
    return f"public, max-age={policy.browser_s}, s-maxage={policy.edge_s}"


def _stale(policy: CachePolicy) -> str:
    # Both are sent even where only grace is asked for: an edge that knows only one of the two still serves something.
    text = f", stale-while-revalidate={int(policy.grace_s)}" if policy.grace_s else ""
    window_s = int(policy.grace_s + policy.keep_s)
    return text + (f", stale-if-error={window_s}" if policy.keep_s else "")
