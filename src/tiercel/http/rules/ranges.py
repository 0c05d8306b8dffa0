"""
Ranges: reading ``Range`` and ``Content-Range``, and cutting a part out of what is stored (RFC 9110 section 14).

Only single byte ranges are served from the cache; a request for several gets the whole representation, which the RFC
allows and which keeps a client from multiplying the bytes that it is sent.
"""

from __future__ import annotations

import re

from tiercel.http.rules.messages import ContentSpan, Response, StoredResponse

__all__ = ["UNSATISFIABLE", "Unsatisfiable", "content_span", "requested_span", "slice_of"]

_RANGE = re.compile(r"bytes[ ]*=[ ]*(\d{0,18})-(\d{0,18})", re.IGNORECASE | re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE | re.ASCII)


class Unsatisfiable:
    """Type of `UNSATISFIABLE`: no byte of the range exists."""


UNSATISFIABLE = Unsatisfiable()


def requested_span(value: str | None, total: int) -> ContentSpan | Unsatisfiable | None:
    """
    Return the part of *total* bytes that a ``Range`` value asks for.

    None means that the field is to be ignored: absent, malformed, of another unit, or of several ranges.
    """
    found = _RANGE.fullmatch((value or "").strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), total)
        return ContentSpan(total - length, total - 1, total) if length else UNSATISFIABLE
    first, last = int(found[1]), int(found[2]) if found[2] else total - 1
    if found[2] and last < first:
        return None
    return ContentSpan(first, min(last, total - 1), total) if first < total else UNSATISFIABLE


def content_span(response: Response) -> ContentSpan | None:
    """Return what a 206 holds; None where it is malformed, of unknown length, or in several parts."""
    found = _CONTENT_RANGE.fullmatch((response.headers.get("content-range") or "").strip())
    if found is None:
        return None
    span = ContentSpan(int(found[1]), int(found[2]), int(found[3]))
    return span if span.first <= span.last < span.total else None


def slice_of(stored: StoredResponse, wanted: ContentSpan) -> bytes | None:
    """Return the bytes *wanted* out of *stored*, or None where it does not hold them all."""
    held = stored.span or ContentSpan(0, len(stored.body) - 1, len(stored.body))
    if held.total != wanted.total or wanted.first < held.first or wanted.last > held.last:
        return None
    return stored.body[wanted.first - held.first : wanted.last - held.first + 1]
