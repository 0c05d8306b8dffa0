"""
What is sent to browsers and to each CDN.
"""

from __future__ import annotations

import pytest

from tiercel.cdn.capabilities import CLOUDFLARE, CLOUDFRONT, FASTLY, VARNISH, Capabilities
from tiercel.cdn.contenttypes import content_type, is_compressible
from tiercel.cdn.diagnosis import judge_distribution
from tiercel.cdn.headers import CachePolicy, cache_headers
from tiercel.cdn.objects import EdgeObject, entity_tag
from tiercel.cdn.probe import parse_cache_status, read_probe
from tiercel.cdn.variants import accepts, variant_of

STALE_HEADER = "max-age=300, stale-while-revalidate=60, stale-if-error=660"
STALE = CachePolicy(ttl_s=300, browser_ttl_s=0, grace_s=60, keep_s=600)


@pytest.mark.parametrize(
    ("capabilities", "headers"),
    [
        (CLOUDFRONT, {"Cache-Control": "public, max-age=300, stale-while-revalidate=60, stale-if-error=660"}),
        (
            FASTLY,
            {
                "Cache-Control": "public, max-age=0",
                "Surrogate-Control": "max-age=300, stale-while-revalidate=60, stale-if-error=660",
            },
        ),
        (
            CLOUDFLARE,
            {
                "Cache-Control": "public, max-age=0",
                "Cloudflare-CDN-Cache-Control": STALE_HEADER,
            },
        ),
        (
            VARNISH,
            {
                "Cache-Control": "public, max-age=0",
                "CDN-Cache-Control": "max-age=300, stale-while-revalidate=60, stale-if-error=660",
            },
        ),
    ],
)
def test_each_cdn_reads_its_own_header(capabilities: Capabilities, headers: dict[str, str]) -> None:
    assert cache_headers(STALE, capabilities) == headers


def test_s_maxage_is_never_sent_with_a_stale_window() -> None:
    """It implies proxy-revalidate, which forbids serving stale (RFC 9111, 5.2.2.10)."""
    for policy in (STALE, CachePolicy(ttl_s=300, grace_s=60), CachePolicy(ttl_s=300, keep_s=60)):
        assert "s-maxage" not in cache_headers(policy, CLOUDFRONT)["Cache-Control"]
    assert cache_headers(CachePolicy(ttl_s=300, browser_ttl_s=0), CLOUDFRONT) == {
        "Cache-Control": "public, max-age=0, s-maxage=300"
    }


def test_a_response_is_never_kept_longer_than_what_it_was_made_from() -> None:
    policy = CachePolicy(ttl_s=300, left_s=12.7)
    assert cache_headers(policy, CLOUDFRONT) == {"Cache-Control": "public, max-age=12"}
    assert CachePolicy(ttl_s=300, left_s=-1).edge_s == 0
    assert CachePolicy(ttl_s=30, browser_ttl_s=300).browser_s == 30


def test_hashed_names_are_immutable() -> None:
    assert cache_headers(CachePolicy(ttl_s=1, immutable=True), FASTLY) == {
        "Cache-Control": "public, max-age=31536000, immutable"
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("A.CSS", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("x.json", "application/json"),
        ("logo.svg", "image/svg+xml; charset=utf-8"),
        ("x.woff2", "font/woff2"),
        ("README", "application/octet-stream"),
        ("x.unknown", "application/octet-stream"),
        ("a.b/c", "application/octet-stream"),
    ],
)
def test_types_come_from_the_name(name: str, expected: str) -> None:
    assert content_type(name) == expected


def test_what_is_packed_already_is_not_compressed() -> None:
    assert is_compressible("text/html; charset=utf-8")
    assert is_compressible("application/problem+json")
    assert not is_compressible("image/png")
    assert variant_of(EdgeObject(path="/a", body=b"x" * 1000, headers={"Content-Type": "image/png"})) is None
    assert variant_of(EdgeObject(path="/a", body=b"x" * 10, headers={"Content-Type": "text/css"})) is None


def test_a_variant_is_the_same_on_every_node() -> None:
    item = EdgeObject(
        path="/a", body=b"hello " * 100, headers={"Content-Type": "text/css"}, etag=entity_tag(b"hello " * 100)
    )
    first, second = variant_of(item), variant_of(item)
    assert first == second
    assert first is not None
    assert first.etag != item.etag


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("", False),
        ("br", False),
        ("*", True),
        ("gzip;q=0, *", False),
        ("gzip;q=0.1", True),
        ("GZIP", True),
        ("gzip;q=x", False),
    ],
)
def test_accept_encoding(header: str, taken: bool) -> None:
    assert accepts(header) is taken


def test_entity_tags_are_quoted_and_differ_by_encoding() -> None:
    assert entity_tag(b"a").startswith('"')
    assert len({entity_tag(b"a"), entity_tag(b"b"), entity_tag(b"a", "gzip")}) == 3


@pytest.mark.parametrize(
    ("age_s", "state"), [(0, "fresh"), (9.9, "fresh"), (10, "stale"), (34.9, "stale"), (35, "expired"), (-5, "fresh")]
)
def test_freshness_is_ttl_then_grace_and_keep(age_s: float, state: str) -> None:
    item = EdgeObject(path="/a", body=b"", published_s=1000.0, ttl_s=10, grace_s=5, keep_s=20)
    assert item.freshness(1000.0 + age_s) == state


def test_cache_status_is_read_in_order() -> None:
    value = 'origin; fwd=miss; stored, "edge 1"; hit; ttl=30; detail="a, b; c"'
    hops = parse_cache_status(value)
    assert [(hop.cache, hop.is_hit) for hop in hops] == [("origin", False), ("edge 1", True)]
    assert hops[0].parameters == {"fwd": "miss", "stored": "true"}
    assert hops[1].parameters == {"ttl": "30", "detail": "a, b; c"}
    assert parse_cache_status("") == ()


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"cache-status": "e; hit"}, "hit"),
        ({"cache-status": "e; fwd=miss"}, "miss"),
        ({"x-cache": "Hit from cloudfront"}, "hit"),
        ({"cf-cache-status": "DYNAMIC"}, "miss"),
        ({"age": "x"}, "unknown"),
    ],
)
def test_the_verdict_of_a_probe(headers: dict[str, str], verdict: str) -> None:
    assert read_probe(200, headers).verdict == verdict


def test_a_distribution_is_judged() -> None:
    good = {"CacheTagConfig": {"HeaderName": "X-Amz-Meta-Cache-Tag"}, "DefaultCacheBehavior": {"Compress": True}}
    assert [finding.level for finding in judge_distribution(good)] == ["ok"]
    bad = {"Enabled": False, "DefaultCacheBehavior": {"MinTTL": 60, "ForwardedValues": {"QueryString": False}}}
    assert [finding.level for finding in judge_distribution(bad)] == ["error", "error", "warning", "note", "warning"]
    assert judge_distribution({"CacheTagConfig": {"HeaderName": "x-other"}})[0].level == "error"
