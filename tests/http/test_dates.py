"""
HTTP dates: the three grammars and nothing else.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel.http.rules.dates import format_date, parse_date

NOW = 1_790_000_000.0  # September 2026
MOMENT = 784_111_777.0


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "sUN, 06 NOV 1994 08:49:37 gmt",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT ",
    ],
)
def test_reads_every_spelling_of_the_rfc(text: str) -> None:
    assert parse_date(text, NOW) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov  1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sun, 06 Nov 1500 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:38 GMT",
        "Sun, 0\u0666 Nov 1994 08:49:37 GMT",
    ],
)
def test_refuses_what_a_lenient_parser_would_take(text: str | None) -> None:
    assert parse_date(text, NOW) is None


def test_a_two_digit_year_lies_at_most_fifty_years_ahead() -> None:
    assert parse_date("Thursday, 18-Aug-50 02:01:18 GMT", NOW) == parse_date("Thu, 18 Aug 2050 02:01:18 GMT", NOW)
    assert parse_date("Sunday, 06-Nov-94 08:49:37 GMT", NOW) == MOMENT


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_what_is_written_reads_back(seconds: int) -> None:
    assert parse_date(format_date(seconds), NOW) == seconds


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    assert parse_date(text, NOW) is None or "GMT" in text.upper() or text.strip()[-4:].isdigit()
