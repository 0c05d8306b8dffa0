"""Human durations and sizes: what is read, what is refused, and that what is written reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.durations import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("10us", 1e-5),
        ("2d", 172_800),
        ("1w", 604_800),
        (90, 90),
        (0.5, 0.5),
        ("0s", 0),
    ],
)
def test_durations_are_read(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1", "1x", "1h30", "-1s", "1 hour", "1hm", -1, True, None, [], float("inf")])
def test_other_text_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is no duration: write seconds as a number"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("64 MB", 64_000_000), ("1GiB", 1 << 30), ("1.5 KiB", 1536), ("10", 10), ("7B", 7), ("2 kb", 2000), (5, 5)],
)
def test_sizes_are_read(text: object, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MB", "1 XB", "-1", -1, 1.5, True, None])
def test_other_text_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is no size: write bytes as a number"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3600, "1h"), (5400, "1h30m"), (86_400, "24h"), (0.25, "250ms"), (90.5, "90.5s"), (0, "0s")]
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_whole_seconds_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 10**6))
def test_microseconds_read_back(microseconds: int) -> None:
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


def test_sizes_are_written_in_the_largest_unit() -> None:
    assert [format_size(size) for size in (0, 1023, 1024, 1536, 5 << 30)] == [
        "0 B",
        "1023 B",
        "1 KiB",
        "1.5 KiB",
        "5 GiB",
    ]
