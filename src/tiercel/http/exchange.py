"""One HTTP exchange over ASGI: the request read from its scope, and answers written to its channel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import quote

from tiercel.http.rules.answers import Answer
from tiercel.http.rules.cachestatus import CacheStatus
from tiercel.http.rules.headers import Headers, RawHeaders
from tiercel.http.rules.messages import Request

__all__ = [
    "UNTRUSTED_FIELDS",
    "ASGIApp",
    "BadRequest",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "forwarded_scope",
    "host_of",
    "no_content",
    "read_parts",
    "read_request",
    "send_answer",
    "send_plain",
]

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Request fields that change what many frameworks answer and that no key holds: the tools of cache poisoning.
UNTRUSTED_FIELDS = frozenset(
    {
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-host",
        "x-http-destinationurl",
        "x-http-host-override",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-host",
        "x-original-url",
        "x-rewrite-url",
    }
)
_HOST = re.compile(r"(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_TARGET = re.compile(r"(?:/[\x21-\x7e\x80-\xff]*|\*)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# Ways for an application to send a file behind the cache's back.
_BYPASSING_EXTENSIONS = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class BadRequest(ValueError):
    """The request cannot have one meaning for cache and origin alike; it is answered with 400."""


def read_request(scope: Scope, tenant: str, untrusted: frozenset[str]) -> Request:
    """
    Return the request of an ASGI HTTP scope, without its connection's fields and those called *untrusted*.

    Raises:
        BadRequest: Host or target are not beyond doubt.
    """
    path = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    query = scope.get("query_string", b"")
    target = (path + b"?" + query if query else path).decode("latin-1")
    headers = Headers.from_raw(scope["headers"])
    return read_parts(scope["method"], scope.get("scheme", "http"), target, headers, tenant, untrusted)


def read_parts(
    method: str, scheme: str, target: str, headers: Headers, tenant: str, untrusted: frozenset[str] = frozenset()
) -> Request:
    """Return the request made of its parts; see `read_request`."""
    if _TARGET.fullmatch(target) is None:
        raise BadRequest("target")
    length = headers.get("content-length")
    return Request(
        method=method,
        scheme=scheme,
        host=host_of(headers, scheme),
        target=target,
        headers=headers.end_to_end().without(untrusted),
        tenant=tenant,
        has_body=(length is not None and length != "0") or "transfer-encoding" in headers,
    )


def host_of(headers: Headers, scheme: str) -> str:
    """Return the host that a request names, in lower case and without the default port; it must name exactly one."""
    lines = headers.lines("host")
    host = lines[0].strip().lower() if len(lines) == 1 else ""
    if _HOST.fullmatch(host) is None:
        raise BadRequest("host")
    return host.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def forwarded_scope(scope: Scope, headers: Headers) -> Scope:
    """Return *scope* with other request fields, for the origin."""
    extensions = {name: it for name, it in scope.get("extensions", {}).items() if name not in _BYPASSING_EXTENSIONS}
    # The server has decoded the transfer, but only this field tells the origin that content follows.
    framing = [line for line in scope["headers"] if line[0] == b"transfer-encoding"]
    return {**scope, "headers": [*headers.raw(), *framing], "extensions": extensions}


def no_content() -> Receive:
    """Return the receiving side of a request without content, whose client never goes away."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never  # frameworks wait here for a disconnect

    return receive


async def send_answer(send: Send, answer: Answer, status: CacheStatus, name: str, method: str) -> None:
    """Send an answer made from what is stored."""
    raw: RawHeaders = [*answer.headers.raw(), (b"cache-status", status.render(name).encode("latin-1"))]
    if not status.is_first_hand:
        raw.append((b"age", str(answer.age_s).encode("ascii")))
    if "content-length" not in answer.headers and method != "HEAD" and answer.status not in (204, 304):
        raw.append((b"content-length", str(len(answer.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})


async def send_plain(send: Send, status: int, text: str, cache_status: str = "") -> None:
    """Send a short text of the cache's own; nobody may store it."""
    body = text.encode("utf-8") + b"\n"
    raw = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    if cache_status:
        raw.append((b"cache-status", cache_status.encode("latin-1")))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
