"""
Freshness: how long a response may be served, and how old it was when it came (RFC 9111 section 4.2, RFC 5861).

Shared-cache order: a targeted field, else ``s-maxage``, ``max-age``, ``Expires``, and last the heuristic.
"""

from __future__ import annotations

from typing import NamedTuple

from tiercel.http.rules.dates import parse_date
from tiercel.http.rules.directives import Directives, parse_age
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions, Response

__all__ = [
    "HEURISTIC_STATUSES",
    "StaleWindows",
    "explicit_lifetime_s",
    "forbids_stale",
    "initial_age_s",
    "lifetime_s",
    "stale_windows",
]

# RFC 9110 section 15.1.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
_NEVER_STALE = ("must-revalidate", "proxy-revalidate", "s-maxage", "no-cache")


class StaleWindows(NamedTuple):
    """How long past its lifetime a response may be served; both start where freshness ends."""

    while_revalidate_s: float
    if_error_s: float


def initial_age_s(headers: Headers, sent_at: float, received_at: float) -> float:
    """
    Return the age that a response has on arrival (RFC 9111 section 4.2.3).

    Args:
        headers: The response's fields.
        sent_at: When the request left.
        received_at: When the response came, same clock.
    """
    date = parse_date(headers.get("date"), received_at)
    apparent_age = max(0.0, received_at - date) if date is not None else 0.0
    # Dates have whole seconds: a fraction of one is rounding, not age.
    apparent_age = apparent_age if apparent_age >= 1.0 else 0.0
    return max(apparent_age, parse_age(headers) + max(0.0, received_at - sent_at))


def explicit_lifetime_s(headers: Headers, directives: Directives, received_at: float) -> float | None:
    """Return the lifetime that the origin named, or None where it named none; a malformed one is 0."""
    for name in ("s-maxage", "max-age"):
        seconds = directives.seconds(name)
        if seconds is not None:
            return float(seconds)
    if directives.is_targeted or "expires" not in headers:
        return None
    expires = parse_date(headers.get("expires"), received_at)
    date = parse_date(headers.get("date"), received_at)
    return 0.0 if expires is None else max(0.0, expires - (received_at if date is None else date))


def lifetime_s(response: Response, directives: Directives, options: EdgeOptions, received_at: float) -> float:
    """Return for how long after its creation *response* is fresh; 0 where it needs validation before every use."""
    if directives.is_bare("no-cache"):
        return 0.0
    explicit = explicit_lifetime_s(response.headers, directives, received_at)
    return _heuristic_s(response, directives, options, received_at) if explicit is None else explicit


def forbids_stale(directives: Directives) -> bool:
    """Say whether the origin forbids to serve the response stale, whatever happens (RFC 9111 section 4.2.4)."""
    return any(name in directives for name in _NEVER_STALE)


def stale_windows(directives: Directives, options: EdgeOptions) -> StaleWindows:
    """Return the windows past freshness; both are 0 where the origin forbids stale answers."""
    if forbids_stale(directives):
        return StaleWindows(0.0, 0.0)
    while_revalidate = directives.seconds("stale-while-revalidate")
    if_error = directives.seconds("stale-if-error")
    return StaleWindows(
        options.while_revalidate_s if while_revalidate is None else float(while_revalidate),
        options.if_error_s if if_error is None else float(if_error),
    )


def _heuristic_s(response: Response, directives: Directives, options: EdgeOptions, received_at: float) -> float:
    if response.status not in HEURISTIC_STATUSES and "public" not in directives:
        return 0.0
    modified = parse_date(response.headers.get("last-modified"), received_at)
    if modified is None:
        return 0.0
    date = parse_date(response.headers.get("date"), received_at)
    unchanged_s = (received_at if date is None else date) - modified
    return min(max(0.0, unchanged_s * options.heuristic_fraction), options.heuristic_max_s)
