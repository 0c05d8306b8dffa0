"""
What becomes of a response that depends on more tags than its CDN keeps.

A CDN ignores surplus tags without a word, and the page then survives the purge that should fell it. So surplus tags
are never cut: they become buckets, then families; what still does not fit is kept only briefly, or not at all. Cost:
one pass over the tags; a response within the limits pays one length check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tiercel.cdn.capabilities import Capabilities
from tiercel.cdn.tagcodec import TagCodec

Step: TypeAlias = Literal["fits", "bucketed", "coarse", "short_ttl", "uncacheable"]
SHORT_TTL_S = 5.0


@dataclass(frozen=True, slots=True)
class FittedTags:
    """
    Tags that fit, and what it took.

    Args:
        tags: Portable tags to send: the tenant's own, the families', then the fine ones or what stands for them.
        step: How far the response had to be coarsened.
        ttl_s: Longest time that the edge may keep it; 0 is not at all.
    """

    tags: tuple[str, ...]
    step: Step
    ttl_s: float


def fit_tags(
    codec: TagCodec,
    tenant: str,
    tags: Sequence[str],
    capabilities: Capabilities,
    ttl_s: float,
    *,
    short_ttl_s: float = SHORT_TTL_S,
) -> FittedTags:
    """
    Return portable tags for a response of *tenant* that depends on *tags*, within what the CDN keeps.

    Where *codec* does not expand overflow on purge, an overflowing response is uncacheable at once. With
    *short_ttl_s* 0 a response whose families alone overflow is uncacheable too.
    """
    own = (codec.tenant_tag(tenant), *(codec.family_tag(tenant, tag) for tag in tags))
    fine = _distinct(own, [codec.encode(tenant, tag) for tag in tags])
    if _fits(fine, capabilities):
        return FittedTags(fine, "fits", ttl_s)
    if not codec.expand_overflow:
        return FittedTags(own[:1], "uncacheable", 0.0)
    buckets = _distinct(own, [codec.bucket(tenant, tag) for tag in tags])
    if _fits(buckets, capabilities):
        return FittedTags(buckets, "bucketed", ttl_s)
    families = _distinct(own, [codec.coarse(tenant, tag) for tag in tags])
    if _fits(families, capabilities):
        return FittedTags(families, "coarse", ttl_s)
    if short_ttl_s > 0:
        return FittedTags(own[:1], "short_ttl", min(ttl_s, short_ttl_s))
    return FittedTags(own[:1], "uncacheable", 0.0)


def _distinct(own: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*own, *names)))


def _fits(names: Sequence[str], capabilities: Capabilities) -> bool:
    limit = capabilities.tags_per_object
    if limit is not None and len(names) > limit:
        return False
    size_bytes = sum(map(len, names)) + len(capabilities.tag_separator) * (len(names) - 1)
    return size_bytes <= capabilities.tag_header_bytes and all(len(name) <= capabilities.tag_bytes for name in names)
