"""
Freshness: lifetimes in their order, age on arrival, and the windows past both.
"""

from __future__ import annotations

import pytest

from tests.http.samples import NOW, OPTIONS, cc, date, option, response, stored
from tiercel.http.rules.directives import response_directives
from tiercel.http.rules.freshness import StaleWindows, initial_age_s, lifetime_s, stale_windows
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions


def lifetime_of(*lines: tuple[str, str], status: int = 200, options: EdgeOptions = OPTIONS) -> float:
    answer = response(*lines, status=status)
    return lifetime_s(answer, response_directives(answer.headers, options.targets), options, NOW)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([cc("max-age=60")], 60),
        ([cc("max-age=60, s-maxage=5")], 5),
        ([cc("max-age=60"), ("CDN-Cache-Control", "max-age=7")], 7),
        ([cc("no-store"), ("CDN-Cache-Control", "max-age=7"), ("Expires", date(-10))], 7),
        ([cc("max-age=60"), ("Expires", date(-10)), ("Date", date(0))], 60),
        ([("Expires", date(90)), ("Date", date(0))], 90),
        ([("Expires", date(90)), ("Date", date(100))], 0),
        ([("Expires", date(90)), ("Date", "soon")], 90),
        ([("Expires", "0"), ("Last-Modified", date(-1000))], 0),
        ([cc("no-cache, max-age=60")], 0),
        ([cc('no-cache="a", max-age=60')], 60),
        ([("Last-Modified", date(-1000)), ("Date", date(0))], 100),
        ([], 0),
    ],
)
def test_lifetime(lines: list[tuple[str, str]], expected: float) -> None:
    assert lifetime_of(*lines) == expected


def test_heuristic_freshness_needs_a_status_that_allows_it_or_the_origins_word() -> None:
    modified = ("Last-Modified", date(-1000))
    assert lifetime_of(modified, status=599) == 0
    assert lifetime_of(modified, cc("public"), status=599) == 100
    assert lifetime_of(modified, options=option(heuristic_fraction=0.0)) == 0
    assert lifetime_of(("Last-Modified", date(-1e7)), options=option(heuristic_max_s=60.0)) == 60


def test_age_on_arrival_is_the_larger_of_what_the_clocks_and_the_field_say() -> None:
    assert initial_age_s(Headers([("Date", date(-30)), ("Age", "5")]), NOW, NOW) == 30
    assert initial_age_s(Headers([("Date", date(0)), ("Age", "50")]), NOW - 2, NOW) == 52
    assert initial_age_s(Headers([("Date", date(30))]), NOW, NOW) == 0


def test_equality_counts_as_stale() -> None:
    kept = stored(cc("max-age=60"))
    assert kept.is_fresh(NOW + 59.999)
    assert not kept.is_fresh(NOW + 60)
    assert not stored(cc("max-age=0"), ("ETag", '"a"')).is_fresh(NOW)


def test_a_clock_that_goes_back_never_makes_a_negative_age() -> None:
    assert stored(cc("max-age=60")).age_s(NOW - 3600) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max-age=1", StaleWindows(0, 60)),
        ("max-age=1, stale-while-revalidate=5", StaleWindows(5, 60)),
        ("max-age=1, stale-if-error=7", StaleWindows(0, 7)),
        ("max-age=1, must-revalidate, stale-while-revalidate=5", StaleWindows(0, 0)),
        ("max-age=1, proxy-revalidate", StaleWindows(0, 0)),
        ("s-maxage=1, stale-while-revalidate=5, stale-if-error=7", StaleWindows(0, 0)),
        ("no-cache, stale-if-error=7", StaleWindows(0, 0)),
    ],
)
def test_windows_past_freshness(text: str, expected: StaleWindows) -> None:
    answer = response(cc(text))
    assert stale_windows(response_directives(answer.headers, OPTIONS.targets), OPTIONS) == expected
