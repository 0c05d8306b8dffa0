"""
HTTP dates: the three formats of RFC 9110 section 5.6.7, parsed strictly, and the one that is written.

A cache that reads a malformed ``Expires`` leniently serves what the origin meant to be stale, so anything but the
three grammars is no date. Letter case is ignored. Seconds since the epoch, UTC.
"""

from __future__ import annotations

import calendar
import re
import time

__all__ = ["format_date", "parse_date"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_LONG_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMATS = (
    re.compile(rf"(?:{_DAYS}), (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK} gmt", re.ASCII),
    re.compile(rf"(?:{_LONG_DAYS}), (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_CLOCK} gmt", re.ASCII),
    re.compile(rf"(?:{_DAYS}) (?P<month>[a-z]{{3}}) (?P<day>\d\d| \d) {_CLOCK} (?P<year>\d{{4}})", re.ASCII),
)
_HALF_CENTURY = 50


def parse_date(text: str | None, now: float) -> float | None:
    """
    Return the time that *text* names, or None where it is no HTTP date.

    Args:
        text: A field value.
        now: Current time; a two-digit year that would lie more than 50 years ahead means the past century.
    """
    if text is None:
        return None
    lowered = text.strip().lower()
    for pattern in _FORMATS:
        match = pattern.fullmatch(lowered)
        if match is not None:
            return _seconds(match, now)
    return None


def format_date(seconds: float) -> str:
    """Return *seconds* as an IMF-fixdate."""
    moment = time.gmtime(seconds)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.tm_wday]
    month = _MONTHS[moment.tm_mon - 1].capitalize()
    clock = f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"
    return f"{day}, {moment.tm_mday:02} {month} {moment.tm_year:04} {clock} GMT"


def _seconds(match: re.Match[str], now: float) -> float | None:
    month_name = match["month"]
    if month_name not in _MONTHS:
        return None
    day, hour, minute, second = (int(match[part]) for part in ("day", "hour", "minute", "second"))
    year = _full_year(match["year"], now)
    month = _MONTHS.index(month_name) + 1
    if year < 1900 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))


def _full_year(digits: str, now: float) -> int:
    if len(digits) == 4:
        return int(digits)
    this_year = time.gmtime(now).tm_year
    year = this_year - this_year % 100 + int(digits)
    return year - 100 if year > this_year + _HALF_CENTURY else year
