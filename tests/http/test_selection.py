"""
Choosing a stored response and answering from it: variants, conditions, ranges, invalidation.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.samples import NOW, OPTIONS, cc, date, request, response, stored
from tiercel.http.rules.answers import answer_from, invalidated_targets, merged_variants
from tiercel.http.rules.conditions import confirms, freshened, freshened_by_head, validating
from tiercel.http.rules.messages import ContentSpan, Request
from tiercel.http.rules.ranges import UNSATISFIABLE, requested_span
from tiercel.http.rules.variants import match

FRESH = cc("max-age=60")
ETAG = ("ETag", '"v1"')


@pytest.mark.parametrize(
    ("field", "first", "second", "same"),
    [
        ("Foo", "1", "1", True),
        ("Foo", "1", "2", False),
        ("Foo", "1,2", "1 , 2", True),
        ("Foo", "1,2", "2,1", False),
        ("Accept-Language", "en, de", "DE,en", True),
        ("Accept-Language", "en", "de", False),
        ("Accept-Encoding", "gzip, br", "br,gzip", True),
        ("Accept-Encoding", "gzip", "identity", False),
    ],
)
def test_selecting_fields_are_compared_normalised(field: str, first: str, second: str, same: bool) -> None:
    kept = stored(FRESH, ("Vary", field), asked=request((field, first)))
    assert bool(match([kept], request((field, second)))) is same


def test_an_absent_selecting_field_is_a_value_of_its_own() -> None:
    kept = stored(FRESH, ("Vary", "Foo"), asked=request())
    assert match([kept], request())
    assert not match([kept], request(("Foo", "1")))


def test_the_language_that_a_client_ranks_first_is_served_from_another_clients_answer() -> None:
    kept = stored(
        FRESH, ("Vary", "Accept-Language"), ("Content-Language", "de"), asked=request(("Accept-Language", "en, de"))
    )
    assert match([kept], request(("Accept-Language", "fr;q=0.5, de;q=1.0")))
    assert not match([kept], request(("Accept-Language", "fr, de;q=0.5")))
    assert not match([kept], request(("Accept-Language", "de, fr")))


def test_the_newest_matching_variant_comes_first() -> None:
    old, new = stored(FRESH, at=NOW - 10), stored(FRESH, at=NOW)
    assert match([old, new], request()) == [new, old]


def test_a_new_variant_replaces_its_like_and_bounds_the_shelf() -> None:
    variants = [stored(FRESH, ("Vary", "Foo"), asked=request(("Foo", str(n))), at=NOW + n) for n in range(4)]
    newer = stored(FRESH, ("Vary", "Foo"), asked=request(("Foo", "2")), at=NOW + 9)
    assert merged_variants(variants, newer, 3) == (newer, variants[3], variants[1])


@pytest.mark.parametrize(
    ("lines", "is_304"),
    [
        ([("If-None-Match", '"v1"')], True),
        ([("If-None-Match", 'W/"v1"')], True),
        ([("If-None-Match", '"v0", "v1"')], True),
        ([("If-None-Match", "*")], True),
        ([("If-None-Match", '"v2"')], False),
        ([("If-None-Match", "v1")], False),
        ([("If-None-Match", '"v2"'), ("If-Modified-Since", date(0))], False),
        ([("If-Modified-Since", date(-100))], True),
        ([("If-Modified-Since", date(-101))], False),
        ([("If-Modified-Since", "yesterday")], False),
        ([], False),
    ],
)
def test_conditions_answered_by_the_cache(lines: list[tuple[str, str]], is_304: bool) -> None:
    kept = stored(FRESH, ETAG, ("Last-Modified", date(-100)), ("X-Other", "1"))
    answer = answer_from(kept, request(*lines), NOW)
    assert (answer.status == 304) is is_304
    if is_304:
        assert answer.body == b""
        assert answer.headers.get("etag") == '"v1"'
        assert "x-other" not in answer.headers


def test_a_condition_does_not_turn_an_error_page_into_304() -> None:
    kept = stored(FRESH, ETAG, status=404)
    assert answer_from(kept, request(("If-None-Match", '"v1"')), NOW).status == 404


def test_a_validation_request_carries_the_caches_conditions_and_not_the_clients() -> None:
    kept = stored(FRESH, ETAG, ("Last-Modified", date(-100)))
    asked = request(("If-None-Match", '"mine"'), ("If-Modified-Since", date(0)), ("Range", "bytes=0-1"), ("Foo", "1"))
    forward = validating(asked.headers, kept)
    assert forward.lines("if-none-match") == ['"v1"']
    assert forward.lines("if-modified-since") == [date(-100)]
    assert "range" not in forward
    assert forward.get("foo") == "1"


def test_a_304_renews_fields_and_clock_but_not_what_describes_the_content() -> None:
    kept = stored(
        cc("max-age=1"), ETAG, ("Content-Length", "10"), ("Content-Encoding", "gzip"), ("X", "old"), ("Y", "1")
    )
    update = response(
        FRESH, ETAG, ("Content-Length", "0"), ("Content-Encoding", "br"), ("X", "new"), ("Set-Cookie", "a")
    )
    fresh = freshened(kept, update, OPTIONS, NOW + 50, NOW + 50)
    assert fresh.headers.lines("x") == ["new"]
    assert fresh.headers.get("y") == "1"
    assert fresh.headers.get("content-length") == "10"
    assert fresh.headers.get("content-encoding") == "gzip"
    assert "set-cookie" not in fresh.headers
    assert fresh.is_fresh(NOW + 109)
    assert fresh.body == kept.body


def test_a_304_for_another_version_confirms_nothing() -> None:
    kept = stored(FRESH, ETAG)
    assert confirms(response(status=304), kept)
    assert confirms(response(ETAG, status=304), kept)
    assert confirms(response(("ETag", 'W/"v2"'), status=304), kept)
    assert not confirms(response(("ETag", '"v2"'), status=304), kept)


def test_a_head_renews_only_the_version_that_is_stored() -> None:
    kept = stored(cc("max-age=1"), ETAG)
    fresh = freshened_by_head(kept, response(FRESH, ETAG, ("Content-Length", "10")), OPTIONS, NOW, NOW)
    assert fresh is not None
    assert fresh.lifetime_s == 60
    assert freshened_by_head(kept, response(FRESH, ("ETag", '"v2"')), OPTIONS, NOW, NOW) is None
    assert freshened_by_head(kept, response(FRESH, ETAG, ("Content-Length", "11")), OPTIONS, NOW, NOW) is None
    assert freshened_by_head(kept, response(FRESH, ETAG, status=410), OPTIONS, NOW, NOW) is None


@pytest.mark.parametrize(
    ("value", "body", "content_range"),
    [
        ("bytes=0-1", b"01", "bytes 0-1/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=0-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_a_part_of_a_whole(value: str, body: bytes, content_range: str) -> None:
    answer = answer_from(stored(FRESH, ("Content-Length", "10")), request(("Range", value)), NOW)
    assert (answer.status, answer.body) == (206, body)
    assert answer.headers.get("content-range") == content_range
    assert answer.headers.lines("content-length") == [str(len(body))]


@pytest.mark.parametrize("value", ["bytes=0-1,3-4", "bytes=5-1", "items=0-1", "bytes=-", "bytes=a-b", ""])
def test_a_range_that_is_ignored_gives_the_whole(value: str) -> None:
    assert answer_from(stored(FRESH), request(("Range", value)), NOW).status == 200


def test_a_range_past_the_end() -> None:
    answer = answer_from(stored(FRESH), request(("Range", "bytes=10-")), NOW)
    assert (answer.status, answer.body, answer.headers.get("content-range")) == (416, b"", "bytes */10")


@pytest.mark.parametrize(
    ("if_range", "status"), [('"v1"', 206), ('"v2"', 200), ('W/"v1"', 200), (date(-100), 206), (date(-99), 200)]
)
def test_if_range(if_range: str, status: int) -> None:
    kept = stored(FRESH, ETAG, ("Last-Modified", date(-100)))
    asked = request(("Range", "bytes=0-1"), ("If-Range", if_range))
    assert answer_from(kept, asked, NOW).status == status


def test_a_stored_part_answers_what_lies_inside_it() -> None:
    part = stored(FRESH, ("Content-Range", "bytes 5-9/10"), body=b"56789", status=206)
    answer = answer_from(part, request(("Range", "bytes=6-7")), NOW)
    assert (answer.status, answer.body, answer.headers.get("content-range")) == (206, b"67", "bytes 6-7/10")


@given(st.binary(min_size=1, max_size=40), st.integers(0, 60), st.integers(0, 60))
def test_every_range_gives_the_bytes_it_names(body: bytes, first: int, length: int) -> None:
    wanted = requested_span(f"bytes={first}-{first + length}", len(body))
    if first >= len(body):
        assert wanted is UNSATISFIABLE
        return
    assert isinstance(wanted, ContentSpan)
    answer = answer_from(stored(FRESH, body=body), request(("Range", f"bytes={first}-{first + length}")), NOW)
    assert answer.body == body[first : first + length + 1]


@pytest.mark.parametrize(
    ("asked", "lines", "status", "targets"),
    [
        (request(method="POST", target="/a?x=1"), [], 200, ("/a?x=1",)),
        (request(method="M-SEARCH", target="/a"), [], 302, ("/a",)),
        (request(method="POST", target="/a"), [], 500, ()),
        (request(method="POST", target="/a"), [], 404, ()),
        (request(method="GET", target="/a"), [], 200, ()),
        (request(method="OPTIONS", target="/a"), [], 200, ()),
        (
            request(method="PUT", target="/a/b"),
            [("Location", "/c"), ("Content-Location", "d")],
            201,
            ("/a/b", "/c", "/a/d"),
        ),
        (request(method="PUT", target="/a"), [("Location", "http://shop.example/c")], 201, ("/a", "/c")),
        (request(method="PUT", target="/a"), [("Location", "http://shop.example.evil/c")], 201, ("/a",)),
        (request(method="PUT", target="/a"), [("Location", "//evil/c")], 201, ("/a",)),
        (request(method="PUT", target="/a"), [("Location", "javascript:x")], 201, ("/a",)),
    ],
)
def test_what_an_unsafe_request_makes_stale(
    asked: Request, lines: list[tuple[str, str]], status: int, targets: tuple[str, ...]
) -> None:
    assert invalidated_targets(asked, response(*lines, status=status)) == targets
