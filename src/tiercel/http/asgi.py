"""
ASGI middleware: an application's pages shared by route policy, dressed for CDNs, and kept in a region.

::

    app = PageCache(
        app,
        routes=[RoutePolicy(path="/p/{sku}", ttl_s=300, tags=("page:{sku}",))],
        tenant=lambda scope: scope["state"]["tenant"],
        region=lambda tenant: cache.tenant(tenant).region("api"),
    )

A page depends on every region entry that its handler read; it falls when one of them does. Stale-while-revalidate,
request collapsing and fail-safe are the region's own (`grace_s`, `keep_s`, fenced fills, on all nodes together).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from tiercel._dependencies import collecting
from tiercel.cdn.capabilities import VARNISH, Capabilities
from tiercel.cdn.tagcodec import TagCodec
from tiercel.errors import CacheError
from tiercel.http.exchange import (
    ASGIApp,
    BadRequest,
    Message,
    Receive,
    Scope,
    Send,
    no_content,
    read_request,
    send_answer,
    send_plain,
)
from tiercel.http.pages import (
    PRIVATE,
    Page,
    PageDresser,
    PageFailed,
    PageTooLarge,
    Served,
    for_all,
    is_endless,
    overtaken,
    page_key,
    short_ttl_s,
)
from tiercel.http.policy import Match, RoutePolicy, Routes, canonical_query, is_doubtful, is_personal, shared_fields
from tiercel.http.rules.answers import answer_from
from tiercel.http.rules.cachestatus import CacheStatus
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import Request

__all__ = ["PageCache", "PageRegion"]


class PageRegion(Protocol):
    """What the middleware needs of an `AsyncRegion`."""

    async def get_or_load(
        self, key: str, loader: Callable[[], Any], *, tags: Sequence[str] = (), ttl_s: float | None = None
    ) -> Any:
        """Return a kept value, or load it once however many ask."""

    async def touch(self, key: str, ttl_s: float | None = None) -> bool:
        """Give an entry a new ttl."""

    async def ttl(self, key: str) -> float | None:
        """Return how long an entry stays fresh; None where there is none."""


class PageCache:
    """
    Middleware around *app*.

    Args:
        app: The application.
        routes: Which pages are shared; the first policy that fits a path holds.
        tenant: The tenant of a request, or a function of its scope; part of every key.
        region: Gives a tenant's region to keep pages in; None sends headers only.
        edges: The CDNs in front of the application; where two want different ``Cache-Control``, the last wins.
        salt: The tag codec's, the same as in the edges' URLs.
        default_cache_control: For answers without a policy that name none themselves.
        name: This cache's name in ``Cache-Status``.
        clock: Seconds since the epoch.
        served: Told of each shared page that goes out, by target, tags and tenant: ``cache.edge.served``, where the CDN
            in front knows no tags and is purged by the paths that carry them.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Iterable[RoutePolicy],
        tenant: str | Callable[[Scope], str],
        region: Callable[[str], PageRegion] | None = None,
        edges: Sequence[Capabilities] = (VARNISH,),
        salt: str = "tiercel",
        default_cache_control: str = PRIVATE,
        name: str = "tiercel",
        clock: Callable[[], float] = time.time,
        served: Served | None = None,
    ) -> None:
        self._app = app
        self._routes = Routes(routes)
        self._tenant = tenant
        self._region = region
        self._dresser = PageDresser(edges=edges, codec=TagCodec(salt))
        self._default = default_cache_control
        self._name = name
        self._clock = clock
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is not HTTP."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            request = read_request(scope, self._tenant_of(scope), frozenset())
        except BadRequest as error:
            await send_plain(send, 400, f"bad {error}")
            return
        doubtful = is_doubtful(request.target.partition("?")[0])
        match = None if doubtful else self._routes.find(scope["path"])
        if match is None or request.method not in ("GET", "HEAD") or request.has_body:
            await self._app(scope, receive, _labelled(send, self._default, force=doubtful))
        elif is_personal(request.headers, match.policy):
            await self._app(scope, receive, _labelled(send, PRIVATE, force=True))
        else:
            await self._share(_Sharing(scope, request, match), send)

    async def _share(self, sharing: _Sharing, send: Send) -> None:
        status = CacheStatus()
        try:
            page = await self._page(sharing, status)
        except PageTooLarge:
            await self._app(sharing.scope, no_content(), _labelled(send, PRIVATE, force=True))
            return
        if self._served is not None and page.is_shared:
            self._served(sharing.request.target, page.tags, sharing.request.tenant)
        now = self._clock()
        stored = page.as_stored()
        status.is_first_hand = not status.hit
        status.ttl_s = -int(stored.staleness_s(now)) if status.hit else None
        asked = sharing.request
        await send_answer(send, answer_from(stored, asked, now), status, self._name, asked.method)

    async def _page(self, sharing: _Sharing, status: CacheStatus) -> Page:
        """Return the page, kept or made, and note in *status* which."""
        if self._region is None or not sharing.match.policy.stored:
            status.forwarded = "bypass"
            page, status.detail = await self._make(sharing)
            return page
        return await self._kept(self._region(sharing.request.tenant), sharing, status)

    async def _kept(self, region: PageRegion, sharing: _Sharing, status: CacheStatus) -> Page:
        made: list[tuple[Page, str]] = []

        async def load() -> dict[str, Any]:
            page, why_not = await self._make(sharing)
            made.append((page, why_not))
            if page.status >= 500:
                raise PageFailed(page)
            return page.to_plain() if page.is_shared else {"unshared": why_not}

        policy = sharing.match.policy
        try:
            kept = await region.get_or_load(sharing.key, load, tags=sharing.match.tags, ttl_s=policy.ttl_s)
            if made:
                return await self._first(region, sharing, status, *made[0])
        except PageFailed as failure:
            status.forwarded = "miss"
            return failure.page if made else for_all(failure.page)
        except CacheError as error:
            status.forwarded, status.detail = "miss", type(error).__name__
            return made[0][0] if made else (await self._make(sharing))[0]
        if "unshared" in kept:
            status.forwarded, status.detail = "bypass", kept["unshared"]
            return (await self._make(sharing))[0]
        status.hit = True
        return Page.from_plain(kept)

    async def _first(
        self, region: PageRegion, sharing: _Sharing, status: CacheStatus, page: Page, why_not: str
    ) -> Page:
        """Return a page just made; it is kept no longer than what it shows, the note that it is unshared briefly."""
        status.forwarded, status.is_stored, status.detail = "miss", page.is_shared, why_not
        brief_s = short_ttl_s(page, why_not, sharing.match)
        if brief_s is not None:
            await region.touch(sharing.key, brief_s)
        if page.is_shared and await region.ttl(sharing.key) is None:
            # The region refused it: a CDN that kept it would keep what has just been purged.
            status.is_stored, status.detail = False, "overtaken"
            return overtaken(page)
        return page

    async def _make(self, sharing: _Sharing) -> tuple[Page, str]:
        """Let the application answer the shared request, and dress what it says."""
        taker = _PageTaker(sharing.match.policy.max_body_bytes)
        with collecting() as found:
            try:
                await self._app(sharing.scope, no_content(), taker.send)
            except Exception:
                # Frameworks may swallow `PageTooLarge`, or raise another error in its place; so the taker remembers,
                # and what was raised then counts for nothing: the page is asked for again, and sent as it comes.
                if not taker.is_too_large:
                    raise
        if taker.is_too_large:
            raise PageTooLarge
        return self._dresser.dress(taker.page(self._clock()), sharing.match, sharing.request.tenant, found)

    def _tenant_of(self, scope: Scope) -> str:
        return self._tenant if isinstance(self._tenant, str) else self._tenant(scope)


class _Sharing:
    """A request for a shared page: what was asked, and the scope for the handler, stripped to what the key has."""

    __slots__ = ("key", "match", "request", "scope")

    def __init__(self, scope: Scope, request: Request, match: Match) -> None:
        query = canonical_query(scope.get("query_string", b"").decode("latin-1"), match.policy.query)
        path = request.target.partition("?")[0]
        fields = shared_fields(request.headers, match.policy)
        shared = replace(request, method="GET", target=f"{path}?{query}" if query else path, headers=fields)
        self.match = match
        self.request = request
        self.key = page_key(shared, match)
        self.scope: Scope = {
            **scope,
            "method": "GET",
            "headers": fields.raw(),
            "query_string": query.encode("ascii"),
            "extensions": {},
        }


class _PageTaker:
    """The sending side that an application sees while its page is taken whole."""

    def __init__(self, max_bytes: int) -> None:
        self.is_too_large = False
        self._max_bytes = max_bytes
        self._status = 500
        self._headers = Headers()
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = Headers.from_raw(message.get("headers", ())).end_to_end()
            self._check(is_endless(self._headers))
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            self._check(len(self._body) > self._max_bytes)

    def _check(self, is_too_large: bool) -> None:
        if is_too_large:
            self.is_too_large = True
            raise PageTooLarge

    def page(self, now: float) -> Page:
        return Page(self._status, self._headers, bytes(self._body), now)


def _labelled(send: Send, cache_control: str, *, force: bool) -> Send:
    """Return *send* with ``Cache-Control`` set on the answer: always with *force*, else where it names none."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers.from_raw(message.get("headers", ()))
            if force or "cache-control" not in headers:
                headers = headers.replacing("cache-control", cache_control)
                message = {**message, "headers": headers.raw()}
        await send(message)

    return sending
