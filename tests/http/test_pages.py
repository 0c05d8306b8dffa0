"""
The page cache in both colours: headers, keys, refusals, and what becomes of failures.
"""

from __future__ import annotations

import hashlib

import pytest

from tests.http.site import Seen, Site, echo, page
from tiercel import _dependencies
from tiercel.cdn.capabilities import CLOUDFRONT, FASTLY, VARNISH
from tiercel.errors import ConfigurationError, TierUnavailable
from tiercel.http.policy import RoutePolicy, Routes, canonical_query

pytestmark = pytest.mark.parametrize("colour", ["asgi", "wsgi"])

PRODUCT = RoutePolicy(path="/p/{sku}", ttl_s=300, grace_s=30, keep_s=60, tags=("page:{sku}",))
PRIVATE = "private, no-store"


def test_a_page_is_made_once_and_dressed_for_the_cdn(colour: str) -> None:
    site = Site(colour, page(("Content-Type", "text/html")), [PRODUCT])
    first = site.ask("/p/1")
    site.clock.pass_s(10)
    second = site.ask("/p/1")
    assert len(site.seen) == 1
    assert (first.body, second.body) == (b"page", b"page")
    assert first.cache_status == "tiercel; fwd=miss; stored"
    assert second.cache_status == "tiercel; hit; ttl=290"
    assert "age" not in first.headers
    assert second.headers.lines("age") == ["10"]
    assert second.headers.lines("cache-control") == ["public, max-age=0"]
    assert second.headers.lines("cdn-cache-control") == ["max-age=300, stale-while-revalidate=30, stale-if-error=90"]
    assert (second.headers.get("surrogate-key") or "").split()[0].startswith("tenant~")
    assert second.headers.lines("vary") == ["accept-encoding"]
    assert "date" not in second.headers  # servers add their own, and two of them would be none


def test_the_entity_tag_is_the_same_on_every_node_and_answers_conditions(colour: str) -> None:
    tags = {Site(colour, page(), [PRODUCT]).ask("/p/1").headers.get("etag") for _ in range(2)}
    digest = hashlib.blake2b(b"page" + b"\0" * 3, digest_size=16).hexdigest()
    assert tags == {f'"{digest}"'}
    site = Site(colour, page(), [PRODUCT])
    for _ in range(2):  # made for this request, and kept
        answer = site.ask("/p/1", headers=[("If-None-Match", f'"{digest}"')])
        assert (answer.status, answer.body) == (304, b"")
    assert len(site.seen) == 1


def test_the_entity_tag_tells_encodings_apart(colour: str) -> None:
    plain = Site(colour, page(), [PRODUCT]).ask("/p/1").headers.get("etag")
    packed = Site(colour, page(("Content-Encoding", "gzip")), [PRODUCT]).ask("/p/1").headers.get("etag")
    assert plain != packed


def test_heads_and_ranges_are_answered_from_the_page(colour: str) -> None:
    site = Site(colour, page(), [PRODUCT])
    assert site.ask("/p/1", method="HEAD").body == b""
    assert site.ask("/p/1", headers=[("Range", "bytes=1-2")]).body == b"ag"
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("edges", "fields"),
    [
        ([VARNISH], {"cdn-cache-control", "surrogate-key"}),
        ([FASTLY], {"surrogate-control", "surrogate-key"}),
        ([CLOUDFRONT], {"x-amz-meta-cache-tag"}),
        ([VARNISH, FASTLY], {"cdn-cache-control", "surrogate-control", "surrogate-key"}),
    ],
)
def test_each_cdn_gets_its_own_headers(colour: str, edges: list[object], fields: set[str]) -> None:
    site = Site(colour, page(), [PRODUCT], options={"edges": edges})
    answer = site.ask("/p/1")
    assert {name for name, _ in answer.headers} >= fields
    assert {"cdn-cache-control", "surrogate-control"} & {name for name, _ in answer.headers} <= fields


def test_what_the_handler_read_becomes_the_pages_tags(colour: str) -> None:
    def reading(seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        _dependencies.note(((0xABC, 1),), ("search",))
        return 200, [], b"page"

    keys = (Site(colour, reading, [PRODUCT]).ask("/p/1").headers.get("surrogate-key") or "").split()
    readable = {key.partition("~")[0] for key in keys}
    assert {"search", "page-1", "dep-0000000000000abc"} <= readable


def test_a_private_read_makes_the_page_private(colour: str) -> None:
    def reading(seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        _dependencies.note(((1, 1),), private=True)
        return 200, [], b"your basket"

    site = Site(colour, reading, [PRODUCT])
    for _ in range(2):
        answer = site.ask("/p/1")
        assert answer.headers.lines("cache-control") == [PRIVATE]
        assert "surrogate-key" not in answer.headers
    assert len(site.seen) == 2
    assert all("unshared" in value for value in site.shelf.values.values())


def test_a_page_of_two_generations_is_not_shared(colour: str) -> None:
    def reading(seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        _dependencies.note(((1, 7),))
        _dependencies.note(((1, 8),))
        return 200, [], b"half old, half new"

    answer = Site(colour, reading, [PRODUCT]).ask("/p/1")
    assert answer.headers.lines("cache-control") == [PRIVATE]
    assert 'detail="mixed read"' in answer.cache_status


def test_a_page_that_the_region_refused_is_not_handed_to_a_cdn(colour: str) -> None:
    site = Site(colour, page(), [PRODUCT])
    site.shelf.refuses = True
    answer = site.ask("/p/1")
    assert answer.body == b"page"
    assert answer.headers.lines("cache-control") == [PRIVATE]
    assert 'detail="overtaken"' in answer.cache_status


@pytest.mark.parametrize(
    ("lines", "status", "why"),
    [
        ([("Set-Cookie", "a=b")], 200, "set-cookie"),
        ([("Cache-Control", "no-store")], 200, "no-store"),
        ([("Cache-Control", "private, max-age=60")], 200, "no-store"),
        ([("Vary", "Cookie")], 200, "vary"),
        ([("Vary", "*")], 200, "vary"),
        ([("Access-Control-Allow-Origin", "https://evil.example")], 200, "cors"),
        ([], 403, "status"),
        ([], 302, "status"),
    ],
)
def test_pages_that_are_not_shared(colour: str, lines: list[tuple[str, str]], status: int, why: str) -> None:
    site = Site(colour, page(*lines, status=status), [PRODUCT])
    first, second = site.ask("/p/1"), site.ask("/p/1")
    assert len(site.seen) == 2
    assert first.headers.lines("cache-control") == second.headers.lines("cache-control") == [PRIVATE]
    assert f'detail="{why}"' in first.cache_status
    assert f'detail="{why}"' in second.cache_status
    assert set(site.shelf.ttls.values()) == {10.0}


def test_a_missing_page_is_kept_for_its_own_short_time(colour: str) -> None:
    site = Site(colour, page(status=404), [PRODUCT])
    assert site.ask("/p/1").headers.lines("cdn-cache-control")[0].startswith("max-age=10")
    assert site.ask("/p/1").is_hit
    assert set(site.shelf.ttls.values()) == {10.0}


def test_nothing_reaches_the_handler_that_the_key_does_not_hold(colour: str) -> None:
    policy = RoutePolicy(path="/p/{sku}", ttl_s=60, vary=("accept-language",), query=("page",))
    site = Site(colour, echo, [policy])
    noise = [("Cookie", "a=b"), ("X-Forwarded-Host", "evil"), ("User-Agent", "x"), ("Origin", "evil"), ("Accept", "*")]
    site.ask("/p/1?utm=1&page=2&x=y", headers=[*noise, ("Accept-Language", "de")])
    (seen,) = site.seen
    assert {name for name, _ in seen.headers} == {"host", "accept-language"}
    assert seen.query == "page=2"


def test_the_key_holds_what_the_handler_sees(colour: str) -> None:
    policy = RoutePolicy(path="/p/{sku}", ttl_s=60, vary=("accept-language",), query=("page", "sort"))
    site = Site(colour, echo, [policy])
    german = ("Accept-Language", "de")
    site.ask("/p/1?sort=a&page=2", headers=[german])
    assert site.ask("/p/1?page=2&sort=a&utm=9", headers=[german, ("Cookie", "x=y")]).is_hit
    assert not site.ask("/p/1?page=3&sort=a", headers=[german]).is_hit
    assert not site.ask("/p/1?page=2&sort=a", headers=[("Accept-Language", "en")]).is_hit
    assert not site.ask("/p/2?page=2&sort=a", headers=[german]).is_hit
    assert not site.ask("/p/1?page=2&sort=a", headers=[german, ("Host", "other.example")]).is_hit


def test_tenants_have_regions_of_their_own(colour: str) -> None:
    def tenant(source: dict[str, object]) -> str:
        return "beta" if "beta" in str(source.get("query_string", source.get("QUERY_STRING"))) else "acme"

    site = Site(colour, page(), [RoutePolicy(path="/p/*", ttl_s=60, query=())], tenant=tenant)
    site.ask("/p/1")
    assert not site.ask("/p/1?beta").is_hit
    assert site.shelves.keys() == {"acme", "beta"}
    assert site.shelves["acme"].values.keys().isdisjoint(site.shelves["beta"].values)


@pytest.mark.parametrize("headers", [[("Authorization", "Basic eA==")], [("Cookie", "theme=x; session=1")]])
def test_a_personal_request_is_served_unshared_with_all_its_fields(colour: str, headers: list[tuple[str, str]]) -> None:
    site = Site(colour, echo, [RoutePolicy(path="/p/{sku}", ttl_s=60, personal_cookies=("session",))])
    site.ask("/p/1")
    answer = site.ask("/p/1", headers=headers)
    assert headers[0][1].encode() in answer.body
    assert answer.headers.lines("cache-control") == [PRIVATE]
    assert headers[0][1].encode() not in site.ask("/p/1").body


def test_routes_without_a_policy_are_not_shared_unless_they_say_so(colour: str) -> None:
    site = Site(colour, page(), [PRODUCT])
    assert site.ask("/account").headers.lines("cache-control") == [PRIVATE]
    assert site.ask("/p/1", method="POST").headers.lines("cache-control") == [PRIVATE]
    own = Site(colour, page(("Cache-Control", "public, max-age=5")), [PRODUCT])
    assert own.ask("/account").headers.lines("cache-control") == ["public, max-age=5"]
    assert own.shelf.values == {}


def test_a_failing_application_is_not_shared_with_its_cookies(colour: str) -> None:
    site = Site(colour, page(("Set-Cookie", "a=b"), status=500), [PRODUCT])
    answer = site.ask("/p/1")
    assert (answer.status, answer.headers.get("cache-control")) == (500, PRIVATE)
    assert site.shelf.values == {}


def test_pages_are_made_where_the_region_is_down(colour: str) -> None:
    site = Site(colour, page(), [PRODUCT])
    site.shelf.error = TierUnavailable()
    assert site.ask("/p/1").body == b"page"
    assert "TierUnavailable" in site.ask("/p/1").cache_status


def test_without_a_region_only_headers_are_set(colour: str) -> None:
    site = Site(colour, page(), [PRODUCT], is_kept=False)
    assert site.ask("/p/1").headers.get("cdn-cache-control")
    site.ask("/p/1")
    assert len(site.seen) == 2


@pytest.mark.parametrize("lines", [[], [("Content-Type", "text/event-stream")]])
def test_what_is_no_page_is_sent_as_it_comes(colour: str, lines: list[tuple[str, str]]) -> None:
    limit = 1000 if lines else 10
    policy = RoutePolicy(path="/p/{sku}", ttl_s=60, max_body_bytes=limit)
    answer = Site(colour, page(*lines, body=b"x" * 11), [policy]).ask("/p/1")
    assert (len(answer.body), answer.headers.get("cache-control")) == (11, PRIVATE)


def test_more_dependencies_than_a_cdn_keeps_are_coarsened_never_cut(colour: str) -> None:
    def reading(seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        _dependencies.note(tuple((number, 1) for number in range(1, 201)))
        return 200, [], b"page"

    keys = (Site(colour, reading, [PRODUCT], options={"edges": [CLOUDFRONT]}).ask("/p/1")).headers
    tags = (keys.get("x-amz-meta-cache-tag") or "").split(",")
    assert 1 < len(tags) <= 50
    assert any(".all~" in tag for tag in tags)


def test_a_request_without_a_clear_host_is_refused(colour: str) -> None:
    site = Site(colour, page(), [PRODUCT])
    assert site.ask("/p/1", headers=[("Host", "a b")]).status == 400
    assert site.seen == []


def test_an_applications_own_error_reaches_its_server(colour: str) -> None:
    def broken(seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Site(colour, broken, [PRODUCT]).ask("/p/1")


def test_wrong_policies_are_refused(colour: str) -> None:
    for wrong in (
        {"path": "p"},
        {"path": "/*/a"},
        {"ttl_s": 0},
        {"browser_ttl_s": 61},
        {"vary": ("Accept",)},
        {"vary": ("cookie",)},
        {"grace_s": -1},
    ):
        with pytest.raises(ConfigurationError, match="route"):
            RoutePolicy(**{"path": "/a", "ttl_s": 60, **wrong})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="sku"):
        Routes([RoutePolicy(path="/a", ttl_s=60, tags=("x:{sku}",))])


@pytest.mark.parametrize(
    ("query", "counted", "canonical"),
    [
        ("b=2&a=1", None, "a=1&b=2"),
        ("a=2&a=1", None, "a=2&a=1"),
        ("a=%7e&b=+", None, "a=~&b=%20"),
        ("a=&b", None, "a=&b="),
        ("a=1&utm=2", ("a",), "a=1"),
        ("a=%ff", None, "a=%FF"),
        ("", None, ""),
    ],
)
def test_canonical_queries(colour: str, query: str, counted: tuple[str, ...] | None, canonical: str) -> None:
    assert canonical_query(query, counted) == canonical
    assert canonical_query(canonical, counted) == canonical
