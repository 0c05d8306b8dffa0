"""
Storing: whether a response may be kept (RFC 9111 section 3), and the stored response made from it.

Beyond the RFC this cache refuses by default what leaks in practice: answers to requests with credentials, responses
that set a cookie, and answers to requests with a cookie unless the origin says in so many words that all may see them.
"""

from __future__ import annotations

from tiercel.http.rules.directives import Directives, response_directives
from tiercel.http.rules.freshness import (
    HEURISTIC_STATUSES,
    explicit_lifetime_s,
    initial_age_s,
    lifetime_s,
    stale_windows,
)
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions, Request, Response, StoredResponse
from tiercel.http.rules.ranges import content_span
from tiercel.http.rules.variants import selecting_fields, vary_names

__all__ = ["make_stored", "refusal", "response_tags"]

# RFC 9110 section 15, RFC 6585, RFC 7725: what `must-understand` asks about.
_UNDERSTOOD = frozenset(
    {200, 201, 202, 203, 204, 206, 300, 301, 302, 303, 307, 308, *range(400, 409), *range(409, 418), 421, 422, 426, 428}
    | {429, 431, 451, 500, 501, 502, 503, 504, 505, 511}
)
_SHARED_ON_PURPOSE = ("public", "s-maxage")


def refusal(request: Request, response: Response, options: EdgeOptions, received_at: float) -> str | None:
    """
    Say why *response* must not be stored, in a few words for ``Cache-Status``, or return None where it may.

    Args:
        request: What was asked; its fields as the client sent them, before any was removed.
        response: Status and fields of the answer.
        options: The operator's choices.
        received_at: When the response came.
    """
    directives = response_directives(response.headers, options.targets)
    return (
        _request_refusal(request, response, directives, options)
        or _directive_refusal(response, directives)
        or _field_refusal(response, options)
        or _lifetime_refusal(request, response, directives, options, received_at)
    )


def make_stored(
    request: Request, response: Response, body: bytes, options: EdgeOptions, sent_at: float, received_at: float
) -> StoredResponse:
    """Return the stored form of a response that `refusal` let pass."""
    directives = response_directives(response.headers, options.targets)
    windows = stale_windows(directives, options)
    unstored = directives.fields("no-cache") | {"age", options.tag_header}
    if options.share_set_cookie is False:
        unstored |= {"set-cookie"}
    return StoredResponse(
        status=response.status,
        headers=response.headers.end_to_end().without(unstored),
        body=body,
        selecting=selecting_fields(vary_names(response.headers) or (), request.headers),
        received_at=received_at,
        initial_age_s=initial_age_s(response.headers, sent_at, received_at),
        lifetime_s=lifetime_s(response, directives, options, received_at),
        while_revalidate_s=windows.while_revalidate_s,
        if_error_s=windows.if_error_s,
        tags=response_tags(response.headers, options.tag_header),
        span=content_span(response) if response.status == 206 else None,
    )


def response_tags(headers: Headers, tag_header: str) -> tuple[str, ...]:
    """Return the tags that a response carries, separated by spaces or commas, without repeats."""
    return tuple(dict.fromkeys((headers.get(tag_header) or "").replace(",", " ").split()))


def _request_refusal(request: Request, response: Response, directives: Directives, options: EdgeOptions) -> str | None:
    if request.method != "GET" and not _answers_later_get(request, response):
        return "method"
    if "no-store" in Directives.parse(request.headers.get("cache-control")):
        return "request no-store"
    if "authorization" in request.headers and not (options.share_authorized and _may_share_authorized(directives)):
        return "authorization"
    if "cookie" in request.headers and not _is_shared_on_purpose(directives):
        return "cookie"
    return None


def _directive_refusal(response: Response, directives: Directives) -> str | None:
    if response.status < 200 or response.status == 304:
        return "status"
    if "must-understand" in directives:
        # Understanding the status overrules `no-store`, which is there for caches that know no better.
        return None if response.status in _UNDERSTOOD and "private" not in directives else "not understood"
    for name in ("no-store", "private"):
        if name in directives:
            return name
    return None


def _field_refusal(response: Response, options: EdgeOptions) -> str | None:
    if options.statuses is not None and response.status not in options.statuses:
        return "status"
    if "set-cookie" in response.headers and not options.share_set_cookie:
        return "set-cookie"
    names = vary_names(response.headers)
    if names is None:
        return "vary"
    if options.vary_allowed is not None and not options.vary_allowed.issuperset(names):
        return "vary"
    if response.status == 206 and content_span(response) is None:
        return "range"
    return None


def _lifetime_refusal(
    request: Request, response: Response, directives: Directives, options: EdgeOptions, received_at: float
) -> str | None:
    explicit = explicit_lifetime_s(response.headers, directives, received_at)
    if request.method == "POST" and explicit is None:
        return "method"
    if explicit is None and response.status not in HEURISTIC_STATUSES and "public" not in directives:
        return "status"
    if lifetime_s(response, directives, options, received_at) > 0:
        return None
    # Nothing is gained by keeping what is stale at once and cannot be validated.
    has_validator = "etag" in response.headers or "last-modified" in response.headers
    return None if has_validator else "no freshness"


def _answers_later_get(request: Request, response: Response) -> bool:
    """Say whether this is a POST whose response is what a GET of the same URL would give (RFC 9110 section 9.3.3)."""
    location = response.headers.get("content-location")
    return request.method == "POST" and response.status == 200 and location in (request.target, request.url)


def _may_share_authorized(directives: Directives) -> bool:
    return any(name in directives for name in ("public", "s-maxage", "must-revalidate"))


def _is_shared_on_purpose(directives: Directives) -> bool:
    return directives.is_targeted or any(name in directives for name in _SHARED_ON_PURPOSE)
