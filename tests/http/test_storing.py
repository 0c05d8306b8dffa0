"""
Storing: what a shared cache must not keep, and what it keeps of the rest.
"""

from __future__ import annotations

import pytest

from tests.http.samples import NOW, OPTIONS, cc, date, option, request, response, stored
from tiercel.errors import ConfigurationError
from tiercel.http.rules.messages import EdgeOptions, Request
from tiercel.http.rules.storing import refusal

FRESH = cc("max-age=60")
COOKIE = ("Cookie", "a=b")
AUTHORIZATION = ("Authorization", "Basic eA==")


def refused(
    *lines: tuple[str, str], asked: Request | None = None, status: int = 200, options: EdgeOptions = OPTIONS
) -> str | None:
    return refusal(asked or request(), response(*lines, status=status), options, NOW)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([FRESH], 200),
        ([FRESH], 503),
        ([FRESH], 599),
        ([cc("no-cache"), ("ETag", '"a"')], 200),
        ([("Last-Modified", date(-1000))], 404),
        ([cc("max-age=60, no-store, must-understand")], 200),
        ([FRESH, ("Vary", "foo")], 200),
        ([FRESH, ("Content-Range", "bytes 0-4/10")], 206),
        ([cc("public, max-age=60")], 200),
    ],
)
def test_may_be_stored(lines: list[tuple[str, str]], status: int) -> None:
    assert refused(*lines, status=status) is None


@pytest.mark.parametrize(
    ("lines", "status", "why"),
    [
        ([cc("max-age=60, no-store")], 200, "no-store"),
        ([cc("private, max-age=60")], 200, "private"),
        ([cc('private="x", max-age=60')], 200, "private"),
        ([FRESH, ("CDN-Cache-Control", "private")], 200, "private"),
        ([cc("max-age=60, no-store, must-understand")], 599, "not understood"),
        ([FRESH, ("Set-Cookie", "a=b")], 200, "set-cookie"),
        ([FRESH, ("Vary", "*")], 200, "vary"),
        ([FRESH, ("Vary", "foo, *")], 200, "vary"),
        ([FRESH], 206, "range"),
        ([FRESH], 304, "status"),
        ([FRESH], 103, "status"),
        ([("ETag", '"a"')], 403, "status"),
        ([cc("max-age=0")], 200, "no freshness"),
        ([], 200, "no freshness"),
    ],
)
def test_must_not_be_stored(lines: list[tuple[str, str]], status: int, why: str) -> None:
    assert refused(*lines, status=status) == why


def test_answers_to_credentials_are_refused_however_public_they_claim_to_be() -> None:
    asked = request(AUTHORIZATION)
    for text in ("max-age=60", "public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"):
        assert refused(cc(text), asked=asked) == "authorization"
    shares = option(share_authorized=True)
    assert refused(cc("public, max-age=60"), asked=asked, options=shares) is None
    assert refused(FRESH, asked=asked, options=shares) == "authorization"


def test_answers_to_cookies_need_the_origins_word_that_all_may_see_them() -> None:
    asked = request(COOKIE)
    assert refused(FRESH, asked=asked) == "cookie"
    assert refused(("Last-Modified", date(-1000)), asked=asked) == "cookie"
    assert refused(cc("public, max-age=60"), asked=asked) is None
    assert refused(cc("s-maxage=60"), asked=asked) is None
    assert refused(("CDN-Cache-Control", "max-age=60"), asked=asked) is None


def test_a_request_may_forbid_to_store() -> None:
    assert refused(FRESH, asked=request(cc("no-store"))) == "request no-store"


def test_only_a_post_that_answers_the_later_get_is_stored() -> None:
    post = request(method="POST", target="/a")
    assert refused(FRESH, asked=post) == "method"
    assert refused(FRESH, ("Content-Location", "/b"), asked=post) == "method"
    assert refused(("Last-Modified", date(-1000)), ("Content-Location", "/a"), asked=post) == "method"
    assert refused(FRESH, ("Content-Location", "/a"), asked=post) is None
    assert refused(FRESH, asked=request(method="HEAD")) == "method"


def test_the_operators_lists() -> None:
    assert refused(FRESH, status=404, options=option(statuses=frozenset({200}))) == "status"
    assert refused(FRESH, ("Vary", "Foo"), options=option(vary_allowed=frozenset({"bar"}))) == "vary"
    assert refused(FRESH, ("Vary", "Bar"), options=option(vary_allowed=frozenset({"bar"}))) is None


def test_what_is_kept_of_a_response() -> None:
    kept = stored(
        cc('no-cache="secret", max-age=60'),
        ("Secret", "1"),
        ("Connection", "hop"),
        ("Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Age", "5"),
        ("Surrogate-Key", "a b"),
        ("Vary", "Foo"),
        ("X-Kept", "1"),
        asked=request(("Foo", " 1 ,2")),
    )
    assert {name for name, _ in kept.headers} == {"cache-control", "vary", "x-kept"}
    assert kept.tags == ("a", "b")
    assert kept.selecting == (("foo", "1,2"),)
    assert kept.initial_age_s == 5


@pytest.mark.parametrize(
    "changes", [{"heuristic_fraction": 2}, {"if_error_s": -1}, {"max_body_bytes": 0}, {"max_variants": 0}]
)
def test_wrong_options_name_their_field(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        option(**changes)
