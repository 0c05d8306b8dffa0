"""
One web site in both colours: a handler served over ASGI and over WSGI behind the page cache, asked in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.http.asking import Answered, StandingClock, ask, environ_of, respond
from tiercel.http.asgi import PageCache
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.policy import RoutePolicy
from tiercel.http.rules.headers import Headers
from tiercel.http.wsgi import WsgiPageCache

Lines = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Seen:
    """What the handler got to see of a request."""

    path: str
    query: str
    headers: Headers


Handled = tuple[int, Lines, bytes]
Handler = Callable[[Seen], Handled]


class Shelf:
    """A region's stand-in for both colours: keeps values and ttls, loads what it does not have."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.ttls: dict[str, float | None] = {}
        self.tags: dict[str, tuple[str, ...]] = {}
        self.error: Exception | None = None
        self.refuses = False

    def keep(self, key: str, value: Any, tags: Sequence[str], ttl_s: float | None) -> Any:
        self.values[key] = value
        self.tags[key] = tuple(tags)
        self.ttls[key] = ttl_s
        return value

    def ttl(self, key: str) -> float | None:
        return self.ttls[key] if key in self.values and not self.refuses else None

    def renew(self, key: str, ttl_s: float | None) -> bool:
        self.ttls[key] = ttl_s
        return key in self.values


class AsyncShelfRegion:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def get_or_load(
        self, key: str, loader: Callable[[], Any], *, tags: Sequence[str] = (), ttl_s: float | None = None
    ) -> Any:
        if self._shelf.error is not None:
            raise self._shelf.error
        if key in self._shelf.values:
            return self._shelf.values[key]
        return self._shelf.keep(key, await loader(), tags, ttl_s)

    async def touch(self, key: str, ttl_s: float | None = None) -> bool:
        return self._shelf.renew(key, ttl_s)

    async def ttl(self, key: str) -> float | None:
        return self._shelf.ttl(key)


class ShelfRegion:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def get_or_load(
        self, key: str, loader: Callable[[], Any], *, tags: Sequence[str] = (), ttl_s: float | None = None
    ) -> Any:
        if self._shelf.error is not None:
            raise self._shelf.error
        if key in self._shelf.values:
            return self._shelf.values[key]
        return self._shelf.keep(key, loader(), tags, ttl_s)

    def touch(self, key: str, ttl_s: float | None = None) -> bool:
        return self._shelf.renew(key, ttl_s)

    def ttl(self, key: str) -> float | None:
        return self._shelf.ttl(key)


@dataclass
class Site:
    """
    A handler behind the page cache.

    Args:
        colour: ``asgi`` or ``wsgi``.
        handler: Answers requests.
        routes: Policies.
        is_kept: Keep pages in `shelf`; off, only headers are set.
    """

    colour: str
    handler: Handler
    routes: Iterable[RoutePolicy]
    is_kept: bool = True
    tenant: Callable[[Any], str] | str = "acme"
    clock: StandingClock = field(default_factory=StandingClock)
    shelf: Shelf = field(default_factory=Shelf)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shelves["acme"] = self.shelf
        common = {"routes": list(self.routes), "tenant": self.tenant, "clock": self.clock, **self.options}
        self._asgi = PageCache(self._serve_asgi, region=self._async_region if self.is_kept else None, **common)
        self._wsgi = WsgiPageCache(self._serve_wsgi, region=self._region if self.is_kept else None, **common)

    def ask(self, target: str, *, method: str = "GET", headers: Lines = ()) -> Answered:
        """Send one request through the middleware."""
        if self.colour == "asgi":
            return asyncio.run(ask(self._asgi, target, method=method, headers=headers))
        return self._ask_wsgi(target, method, headers)

    def _async_region(self, tenant: str) -> AsyncShelfRegion:
        return AsyncShelfRegion(self.shelves.setdefault(tenant, Shelf()))

    def _region(self, tenant: str) -> ShelfRegion:
        return ShelfRegion(self.shelves.setdefault(tenant, Shelf()))

    async def _serve_asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.from_raw(scope["headers"])
        await respond(send, *self._handle(scope["path"], scope["query_string"].decode("latin-1"), headers))

    def _serve_wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        fields = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        status, lines, body = self._handle(path, environ["QUERY_STRING"], Headers(fields))
        start_response(f"{status} Whatever", list(lines))
        return [body]

    def _handle(self, path: str, query: str, headers: Headers) -> Handled:
        seen = Seen(path, query, headers)
        self.seen.append(seen)
        return self.handler(seen)

    def _ask_wsgi(self, target: str, method: str, headers: Lines) -> Answered:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        environ = environ_of(target, method, headers)
        chunks = self._wsgi(environ, lambda status, lines, *_: started.append((status, lines)))
        body = b"".join(chunks)
        status, lines = started[-1]
        return Answered(int(status[:3]), Headers(lines), b"" if method == "HEAD" else body)


def page(*lines: tuple[str, str], body: bytes = b"page", status: int = 200) -> Handler:
    """Return a handler that always gives the same answer."""
    return lambda seen: (status, lines, body)


def echo(seen: Seen) -> Handled:
    """Answer with everything that can be seen of the request: what a poisoner looks for."""
    fields = "\n".join(f"{name}: {value}" for name, value in seen.headers)
    return 200, [("Content-Type", "text/html")], f"{unquote(seen.path)}\n{seen.query}\n{fields}".encode()
