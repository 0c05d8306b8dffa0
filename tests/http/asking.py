"""
Asks ASGI applications without a server, and an origin that answers what a test tells it to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiercel.http.exchange import ASGIApp, Message, Receive, Scope, Send
from tiercel.http.rules.headers import Headers

Lines = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answered:
    """What a client got."""

    status: int
    headers: Headers
    body: bytes

    @property
    def cache_status(self) -> str:
        return self.headers.get("cache-status") or ""

    @property
    def is_hit(self) -> bool:
        return "; hit" in self.cache_status


def scope_of(
    target: str, method: str = "GET", headers: Lines = (), client: str = "192.0.2.7", scheme: str = "http"
) -> Scope:
    """Return the scope of a request; ``Host: shop.example`` where *headers* name none."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"host" for name, _ in raw):
        raw.insert(0, (b"host", b"shop.example"))
    path, _, query = target.partition("?")
    from urllib.parse import unquote

    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": raw,
        "client": (client, 40_000),
        "server": ("127.0.0.1", 80),
    }


async def ask(
    app: ASGIApp,
    target: str = "/",
    *,
    method: str = "GET",
    headers: Lines = (),
    body: bytes = b"",
    client: str = "192.0.2.7",
) -> Answered:
    """Send one request to *app* and return the whole answer."""
    lines = list(headers)
    if body:
        lines.append(("content-length", str(len(body))))
    return await send_scope(app, scope_of(target, method, lines, client), body)


async def send_scope(app: ASGIApp, scope: Scope, body: bytes = b"") -> Answered:
    """Send the request of *scope*."""
    start: Message = {}
    chunks: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answered(start["status"], Headers.from_raw(start["headers"]), b"".join(chunks))


Handler = Callable[[Headers, str], Awaitable[tuple[int, Lines, bytes]]]


@dataclass
class Origin:
    """An origin: a queue of answers, the last of which repeats; it counts and keeps what it was asked."""

    answers: Sequence[tuple[int, Lines, bytes]] = ()
    seen: list[tuple[str, str, Headers]] = field(default_factory=list)
    before_answer: Callable[[], Awaitable[Any]] | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        self.asked.set()
        self.seen.append((scope["method"], target, Headers.from_raw(scope["headers"])))
        if self.before_answer is not None:
            await self.before_answer()
        status, lines, body = self.answers[min(len(self.seen), len(self.answers)) - 1]
        await respond(send, status, lines, body if scope["method"] != "HEAD" else b"")

    async def until_asked(self, count: int) -> None:
        """Wait until *count* questions have come."""
        while self.count < count:
            self.asked.clear()
            await self.asked.wait()

    @property
    def count(self) -> int:
        return len(self.seen)


async def respond(send: Send, status: int, lines: Lines, body: bytes) -> None:
    """Send a whole answer."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in lines]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def origin(lines: Lines, body: bytes = b"content", status: int = 200) -> Origin:
    """Return an origin that always gives the same answer."""
    return Origin([(status, list(lines), body)])


class StandingClock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


def environ_of(target: str, method: str = "GET", headers: Lines = ()) -> dict[str, Any]:
    """Return a WSGI environment; ``Host: shop.example`` where *headers* name none."""
    from io import BytesIO
    from urllib.parse import unquote

    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, encoding="latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "HTTP_HOST": "shop.example",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
    }
    environ.update({"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers})
    return environ
