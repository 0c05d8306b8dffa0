"""Answers made from what is stored: status, fields, and the bytes that go out (RFC 9111 section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tiercel.http.rules.conditions import NOT_MODIFIED_FIELDS, is_not_modified, range_applies
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import ContentSpan, Request, Response, StoredResponse
from tiercel.http.rules.ranges import Unsatisfiable, requested_span, slice_of

__all__ = ["Answer", "answer_from", "invalidated_targets", "merged_variants"]


class Answer(NamedTuple):
    """
    A response ready to send.

    Args:
        status: Status code.
        headers: All fields but ``Age`` and ``Cache-Status``; often the stored object itself, encoded already.
        body: The content; empty where status or method allow none.
        age_s: Whole seconds for ``Age``.
    """

    status: int
    headers: Headers
    body: bytes
    age_s: int


def answer_from(stored: StoredResponse, request: Request, now: float) -> Answer:
    """Return the answer to *request* out of *stored*: 304, 206, 416 or the whole."""
    age_s = int(stored.age_s(now))
    if stored.span is None and stored.status == 200 and is_not_modified(request.headers, stored, now):
        kept = Headers(line for line in stored.headers if line[0] in NOT_MODIFIED_FIELDS)
        return Answer(304, kept, b"", age_s)
    total = stored.span.total if stored.span else len(stored.body)
    wanted = requested_span(request.headers.get("range"), total) if stored.status in (200, 206) else None
    if wanted is None or request.method != "GET" or not range_applies(request.headers, stored, now):
        body = b"" if request.method == "HEAD" else stored.body
        return Answer(stored.status, stored.headers, body, age_s)
    if isinstance(wanted, Unsatisfiable):
        fields = stored.headers.without({"content-length", "content-range"})
        fields = fields.adding(("content-range", f"bytes */{total}"), ("content-length", "0"))
        return Answer(416, fields, b"", age_s)
    return _part(stored, wanted, age_s)


def merged_variants(variants: Iterable[StoredResponse], new: StoredResponse, most: int) -> tuple[StoredResponse, ...]:
    """Return *variants* with *new* in place of those that it makes needless, newest first, at most *most*."""
    kept = [old for old in variants if old.selecting != new.selecting or _worth_keeping(old, new)]
    return tuple([new, *sorted(kept, key=lambda stored: stored.received_at, reverse=True)][:most])


def invalidated_targets(request: Request, response: Response) -> tuple[str, ...]:
    """
    Return the targets on this host that a successful unsafe request makes stale (RFC 9111 section 4.4).

    Targets of another host are left out: one site must not empty another's cache.
    """
    if request.method in ("GET", "HEAD", "OPTIONS", "TRACE") or not 200 <= response.status < 400:
        return ()
    targets = [request.target]
    for field in ("location", "content-location"):
        target = _local_target(response.headers.get(field), request)
        if target is not None:
            targets.append(target)
    return tuple(dict.fromkeys(targets))


def _part(stored: StoredResponse, wanted: ContentSpan, age_s: int) -> Answer:
    body = slice_of(stored, wanted) or b""
    fields = stored.headers.without({"content-length", "content-range"}).adding(
        ("content-range", f"bytes {wanted.first}-{wanted.last}/{wanted.total}"), ("content-length", str(len(body)))
    )
    return Answer(206, fields, body, age_s)


def _worth_keeping(old: StoredResponse, new: StoredResponse) -> bool:
    """Say whether a part lies outside the new part, so that each still answers ranges that the other cannot."""
    if new.span is None or old.span is None:
        return False
    return old.span.last < new.span.first or old.span.first > new.span.last


def _local_target(location: str | None, request: Request) -> str | None:
    if location is None:
        return None
    origin = f"{request.scheme}://{request.host}"
    if location.startswith(origin):
        rest = location[len(origin) :] or "/"
        return rest if rest.startswith("/") else None
    if location.startswith("/") and not location.startswith("//"):
        return location
    if "//" in location or ":" in location.partition("/")[0]:
        return None
    return request.target.partition("?")[0].rpartition("/")[0] + "/" + location
