"""
Conditional requests: the cache answering one, making one, and taking in the answer (RFC 9110 section 13, RFC 9111
section 4.3).
"""

from __future__ import annotations

import re
from dataclasses import replace

from tiercel.http.rules.dates import parse_date
from tiercel.http.rules.directives import response_directives
from tiercel.http.rules.freshness import initial_age_s, lifetime_s, stale_windows
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions, Response, StoredResponse
from tiercel.http.rules.storing import response_tags

__all__ = [
    "CONDITIONS",
    "NOT_MODIFIED_FIELDS",
    "confirms",
    "freshened",
    "freshened_by_head",
    "is_not_modified",
    "range_applies",
    "validating",
]

CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"})
# RFC 9110 section 15.4.5, and what caches further down need.
NOT_MODIFIED_FIELDS = frozenset(
    {"cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary"}
)
# RFC 9111 section 3.2: they describe the stored content, which a 304 does not replace.
_CONTENT_FIELDS = frozenset({"content-encoding", "content-length", "content-md5", "content-range", "etag"})
_ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')


def is_not_modified(request: Headers, stored: StoredResponse, now: float) -> bool:
    """Say whether *request* is to be answered with 304; ``If-None-Match`` outranks ``If-Modified-Since``."""
    if_none_match = request.get("if-none-match")
    if if_none_match is not None:
        return _matches(if_none_match, stored.headers.get("etag"))
    since = parse_date(request.get("if-modified-since"), now)
    if since is None:
        return False
    changed = parse_date(stored.headers.get("last-modified") or stored.headers.get("date"), now)
    return (stored.received_at if changed is None else changed) <= since


def range_applies(request: Headers, stored: StoredResponse, now: float) -> bool:
    """Say whether ``Range`` counts: it does unless an ``If-Range`` names another version, by strong comparison."""
    if_range = request.get("if-range")
    if if_range is None:
        return True
    if if_range.startswith(('"', "W/")):
        return _is_strong(if_range) and if_range == stored.headers.get("etag")
    date = parse_date(if_range, now)
    return date is not None and date == parse_date(stored.headers.get("last-modified"), now)


def validating(request: Headers, stored: StoredResponse) -> Headers:
    """Return *request* made conditional on *stored*; the client's own conditions and range are left for later."""
    lines = []
    etag = stored.headers.get("etag")
    if etag is not None:
        lines.append(("if-none-match", etag))
    modified = stored.headers.get("last-modified")
    if modified is not None:
        lines.append(("if-modified-since", modified))
    return request.without(CONDITIONS | {"range"}).adding(*lines)


def confirms(not_modified: Response, stored: StoredResponse) -> bool:
    """
    Say whether a 304 speaks of *stored*.

    An origin that looks only at the date sends 304 with another strong tag where the content changed twice in a
    second; such an answer must not refresh what is stored (RFC 9111 section 4.3.4).
    """
    etag = not_modified.headers.get("etag")
    stored_etag = stored.headers.get("etag")
    return etag is None or stored_etag is None or not _is_strong(etag) or etag == stored_etag


def freshened(
    stored: StoredResponse, update: Response, options: EdgeOptions, sent_at: float, received_at: float
) -> StoredResponse:
    """Return *stored* with the fields of a 304, or of the response to a HEAD, and with its clock set back."""
    fresh = update.headers.end_to_end().without(_CONTENT_FIELDS | {"age", "set-cookie", options.tag_header})
    headers = stored.headers.without(name for name, _ in fresh).adding(*fresh)
    response = Response(stored.status, headers)
    directives = response_directives(headers, options.targets)
    windows = stale_windows(directives, options)
    return replace(
        stored,
        headers=headers.without(directives.fields("no-cache")),
        received_at=received_at,
        initial_age_s=initial_age_s(update.headers, sent_at, received_at),
        lifetime_s=lifetime_s(response, directives, options, received_at),
        while_revalidate_s=windows.while_revalidate_s,
        if_error_s=windows.if_error_s,
        tags=response_tags(update.headers, options.tag_header) or stored.tags,
        expired_at=None,
    )


def freshened_by_head(
    stored: StoredResponse, answer: Response, options: EdgeOptions, sent_at: float, received_at: float
) -> StoredResponse | None:
    """Return *stored* with the fields of the response to a HEAD, or None where that speaks of another version."""
    same = all(answer.headers.get(name) == stored.headers.get(name) for name in ("etag", "last-modified"))
    length = answer.headers.get("content-length")
    if answer.status != stored.status or not same or length not in (None, str(len(stored.body))):
        return None
    return freshened(stored, answer, options, sent_at, received_at)


def _matches(if_none_match: str, etag: str | None) -> bool:
    if if_none_match.strip() == "*":
        return True
    if etag is None:
        return False
    # Weak comparison: two tags match whether or not either is weak (RFC 9110 section 8.8.3.2).
    return etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in _ENTITY_TAG.findall(if_none_match)}


def _is_strong(etag: str) -> bool:
    return etag.startswith('"')
