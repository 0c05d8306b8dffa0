"""
Edge URLs, and tickets.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel.cdn.edgeurl import parse_edge_url
from tiercel.cdn.ticket import pack_numbers, unpack_numbers
from tiercel.errors import ConfigurationError

GOOD = {
    "folder:///srv/edge": ("folder", "", "/srv/edge"),
    "s3+cloudfront://bucket/E123?region=eu-central-1": ("s3+cloudfront", "bucket", "E123"),
    "cloudfront://E123": ("cloudfront", "E123", ""),
    "s3://bucket": ("s3", "bucket", ""),
    "fastly://SU1?host=a.example": ("fastly", "SU1", ""),
    "varnish://10.0.0.1:6081,10.0.0.2:6081": ("varnish", "10.0.0.1:6081,10.0.0.2:6081", ""),
}
BAD = [
    "",
    "bucket",
    "ftp://x",
    "folder://relative/path",
    "folder:///",
    "s3+cloudfront://bucket",
    "fastly://",
    "s3://b?regoin=x",
    "s3://b?region=a&region=b",
    "fastly://user:secret@SU1",
]


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    parsed = parse_edge_url(url)
    assert (parsed.scheme, parsed.place, parsed.path) == GOOD[url]


@pytest.mark.parametrize("url", BAD)
def test_bad_urls_say_why(url: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_edge_url(url)


def test_options_are_checked() -> None:
    parsed = parse_edge_url("varnish://h:1?window=2.5&method=bans&rate=x&burst=-1&name=eu")
    assert parsed.number("window", 1.0) == 2.5
    assert parsed.choice("method", ("xkey", "bans")) == "bans"
    assert parsed.choice("overflow", ("bucket", "uncacheable")) == "bucket"
    assert parsed.name == "eu"
    for name in ("rate", "burst"):
        with pytest.raises(ConfigurationError):
            parsed.number(name, 1.0)
    with pytest.raises(ConfigurationError):
        parsed.choice("method", ("xkey",))


@given(st.sets(st.integers(1, 10_000), min_size=1))
def test_tickets_survive_the_round_trip(numbers: set[int]) -> None:
    assert unpack_numbers(pack_numbers(numbers)) == sorted(numbers)


@pytest.mark.parametrize("text", ["x", "1-x", "", "1,,2"])
def test_a_strange_ticket_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        unpack_numbers(text)


def test_a_long_ticket_is_short() -> None:
    assert pack_numbers(range(1, 10_001)) == "1-10000"
