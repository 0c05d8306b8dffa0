"""
What a CDN can do and what it allows, as one value that the planner reads.

Sources are the CDNs' own pages of 2026. Rates are requests, not items; a limit of None is none that is known.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    One CDN's purge interface.

    Args:
        name: The CDN, as in the edge's URL.
        tags, prefixes, hosts, soft: What a purge may name, and whether it may mark stale instead of removing. Paths and
            "everything" work everywhere.
        batch_items: Most items in one request.
        mixed: Whether one request may mix kinds.
        alone: Kinds of which a request takes one only.
        items_in_progress: Most unfinished items of one distribution.
        prefixes_in_progress: Most unfinished prefixes of one distribution.
        rate_per_s: Sustained requests a second that the CDN accepts, or that experience calls safe.
        burst: Requests at once.
        tag_header: Response header that carries the tags to the CDN.
        tag_separator: What stands between tags in that header.
        tags_per_object: Most tags kept for one object.
        tag_header_bytes: Longest header value.
        tag_bytes: Longest tag.
        price_per_item: US dollars for one item beyond the free ones.
        free_items_month: Items a month that cost nothing, over all distributions of an account.
        polled: Whether completion has to be asked for.
    """

    name: str
    tags: bool = True
    prefixes: bool = False
    hosts: bool = False
    soft: bool = False
    batch_items: int = 1
    mixed: bool = False
    alone: frozenset[str] = frozenset()
    items_in_progress: int | None = None
    prefixes_in_progress: int | None = None
    rate_per_s: float = 100.0
    burst: int = 100
    tag_header: str = "Cache-Tag"
    tag_separator: str = ","
    tags_per_object: int | None = None
    tag_header_bytes: int = 16_384
    tag_bytes: int = 1024
    price_per_item: float = 0.0
    free_items_month: int = 0
    polled: bool = False


CLOUDFRONT = Capabilities(
    name="cloudfront",
    prefixes=True,
    batch_items=3000,
    mixed=True,
    items_in_progress=3000,
    prefixes_in_progress=15,
    rate_per_s=0.5,  # unpublished; throttles after six or seven calls in a row
    burst=5,
    tag_header="x-amz-meta-cache-tag",  # the only spelling that an S3 origin can send
    tags_per_object=50,
    tag_header_bytes=1783,  # S3 keeps 2 KB of metadata, names included; the rest holds Tiercel's own fields
    tag_bytes=256,
    price_per_item=0.005,
    free_items_month=1000,
    polled=True,
)
FASTLY = Capabilities(
    name="fastly",
    soft=True,
    batch_items=256,
    alone=frozenset({"path", "all"}),
    rate_per_s=100_000 / 3600,
    burst=100,
    tag_header="Surrogate-Key",
    tag_separator=" ",
)
CLOUDFLARE = Capabilities(
    name="cloudflare",
    prefixes=True,
    hosts=True,
    soft=True,
    batch_items=100,
    rate_per_s=5 / 60,  # the free plan's; an Enterprise zone has 50 a second, set `rate` in the edge's URL
    burst=25,
)
VARNISH = Capabilities(
    name="varnish",
    prefixes=True,
    hosts=True,
    soft=True,
    batch_items=64,  # keys share one request header, 8 KB long by default
    alone=frozenset({"prefix", "host", "path", "all"}),
    rate_per_s=1000.0,
    burst=1000,
    tag_header="Surrogate-Key",
    tag_separator=" ",
    tag_header_bytes=7168,  # http_resp_hdr_len is 8 KB by default
)
FOLDER = Capabilities(
    name="folder",
    prefixes=True,
    hosts=True,
    batch_items=10_000,
    mixed=True,
    rate_per_s=1e6,
    burst=1_000_000,
    tag_header="Cache-Tag",
)
