"""
Requests, responses and stored responses for the rules' tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiercel.http.rules.dates import format_date
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions, Request, Response, StoredResponse
from tiercel.http.rules.storing import make_stored

NOW = 1_800_000_000.0
OPTIONS = EdgeOptions()
Lines = Iterable[tuple[str, str]]


def request(*lines: tuple[str, str], method: str = "GET", target: str = "/", has_body: bool = False) -> Request:
    return Request(method, "http", "shop.example", target, Headers(lines), has_body=has_body)


def response(*lines: tuple[str, str], status: int = 200) -> Response:
    return Response(status, Headers(lines))


def stored(
    *lines: tuple[str, str],
    body: bytes = b"0123456789",
    status: int = 200,
    asked: Request | None = None,
    at: float = NOW,
    options: EdgeOptions = OPTIONS,
) -> StoredResponse:
    """Return what the cache keeps of a response with these fields, received at *at*."""
    return make_stored(asked or request(), response(*lines, status=status), body, options, at, at)


def date(seconds: float) -> str:
    """Return the HTTP date *seconds* from now."""
    return format_date(NOW + seconds)


def cc(text: str) -> tuple[str, str]:
    return ("Cache-Control", text)


def option(**changes: Any) -> EdgeOptions:
    return EdgeOptions(**changes)
