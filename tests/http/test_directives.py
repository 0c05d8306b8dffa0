"""
Cache directives: what is written in a field, and the cautious reading of what is written badly.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel.http.rules.directives import MAX_SECONDS, Directives, delta_seconds, parse_age, response_directives
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.structured import parse_dictionary

TARGETS = ("cdn-cache-control",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("max-age=60", 60),
        ("MaX-aGe=60", 60),
        ("public, max-age=60, foo", 60),
        ('max-age="60"', 60),
        ("max-age=0060", 60),
        ("max-age=99999999999", MAX_SECONDS),
        ("max-age=60, max-age=60", 60),
        # malformed or contradictory: stale at once
        ("max-age=60, max-age=90", 0),
        ("max-age=-60", 0),
        ("max-age='60'", 0),
        ("max-age=60.5", 0),
        ("max-age=a60", 0),
        ("max-age=60a", 0),
        ("max-age= 60", 0),
        ("max-age", 0),
        ("max-age=", 0),
        # not this directive at all
        ('extension="max-age=60"', None),
        ("max-age =60", None),
        ("x-max-age=60", None),
        ("", None),
    ],
)
def test_a_duration(text: str, seconds: int | None) -> None:
    assert Directives.parse(text).seconds("max-age") == seconds


def test_a_comma_inside_quotes_does_not_end_a_directive() -> None:
    directives = Directives.parse('no-cache="a, b", max-age=5, ext="x, max-age=9"')
    assert directives.fields("no-cache") == {"a", "b"}
    assert not directives.is_bare("no-cache")
    assert directives.seconds("max-age") == 5


@given(st.text(max_size=60))
def test_any_text_can_be_parsed(text: str) -> None:
    seconds = Directives.parse(text).seconds("max-age")
    assert seconds is None or 0 <= seconds <= MAX_SECONDS


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("007", 7), ("", None), ("-1", None), ("1 ", None), ("¹", None)]
)
def test_delta_seconds(text: str, seconds: int | None) -> None:
    assert delta_seconds(text) == seconds


def test_a_number_of_any_length_costs_nothing() -> None:
    assert delta_seconds("9" * 1_000_000) == MAX_SECONDS


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        (["7200"], 7200),
        (["7200, 0"], 7200),
        (["0", "7200"], 0),
        (["abc"], 0),
        (["-1"], 0),
        (["7200.0"], 0),
        (["7200;foo=bar"], 7200),
        ([], 0),
    ],
)
def test_age(lines: list[str], age: int) -> None:
    assert parse_age(Headers(("Age", line) for line in lines)) == age


def test_a_targeted_field_replaces_cache_control() -> None:
    headers = Headers([("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=60")])
    directives = response_directives(headers, TARGETS)
    assert directives.is_targeted
    assert "no-store" not in directives
    assert directives.seconds("max-age") == 60


@pytest.mark.parametrize("text", ["max-age=60, &&&", "MAX-AGE=60", "max-age=60,", "max-age=1 2", "", '"a"'])
def test_an_invalid_targeted_field_counts_as_absent(text: str) -> None:
    headers = Headers([("Cache-Control", "no-store"), ("CDN-Cache-Control", text)])
    assert "no-store" in response_directives(headers, TARGETS)


def test_a_duration_of_the_wrong_type_is_zero() -> None:
    headers = Headers([("CDN-Cache-Control", 'max-age="60"')])
    assert response_directives(headers, TARGETS).seconds("max-age") == 0


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("a", {"a": True}),
        ("a=1, b=?0", {"a": 1, "b": False}),
        ("a;x=1;y, b=2", {"a": True, "b": 2}),
        ("a=1,a=2", {"a": 2}),
        ('a="x, y"', {"a": '"x, y"'}),
        ("a=(1 2)", {"a": "1 2"}),
        ("a=1.5", {"a": "1.5"}),
        ("a=:aGk=:", {"a": ":aGk=:"}),
    ],
)
def test_dictionaries(text: str, members: dict[str, object]) -> None:
    parsed = parse_dictionary(text)
    assert parsed is not None
    assert {key: item.value for key, item in parsed.items()} == members


@pytest.mark.parametrize("text", ["A", "a=", "a=(1", "a b", "a=1.2345", "a=1234567890123456", "a=\x80", "=1", "a=?2"])
def test_malformed_dictionaries(text: str) -> None:
    assert parse_dictionary(text) is None


@given(st.text(alphabet='ab=,;"?:().1 @-', max_size=30))
def test_no_text_breaks_the_dictionary_parser(text: str) -> None:
    parsed = parse_dictionary(text)
    assert parsed is None or all(key == key.lower() for key in parsed)
