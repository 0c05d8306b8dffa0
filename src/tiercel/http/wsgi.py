"""
WSGI middleware: the blocking twin of `tiercel.http.asgi`, for Django, Flask and whatever else speaks WSGI.

Same policies, same refusals, same pages: an ASGI and a WSGI process that share a region share its pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from http import HTTPStatus
from io import BytesIO
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

from tiercel._dependencies import collecting
from tiercel.cdn.capabilities import VARNISH, Capabilities
from tiercel.cdn.tagcodec import TagCodec
from tiercel.errors import CacheError
from tiercel.http.exchange import BadRequest, read_parts
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
from tiercel.http.rules.answers import Answer, answer_from
from tiercel.http.rules.cachestatus import CacheStatus
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import Request

__all__ = ["WsgiPageCache"]

Environ: TypeAlias = dict[str, Any]
Lines: TypeAlias = list[tuple[str, str]]
StartResponse: TypeAlias = Callable[..., Any]
_SAFE = "/:@!$&'()*+,;=~"
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class BlockingPageRegion(Protocol):
    """What the middleware needs of a `Region`."""

    def get_or_load(
        self, key: str, loader: Callable[[], Any], *, tags: Sequence[str] = (), ttl_s: float | None = None
    ) -> Any:
        """Return a kept value, or load it once however many ask."""

    def touch(self, key: str, ttl_s: float | None = None) -> bool:
        """Give an entry a new ttl."""

    def ttl(self, key: str) -> float | None:
        """Return how long an entry stays fresh; None where there is none."""


class WsgiPageCache:
    """
    Middleware around *app*; the arguments are those of `tiercel.http.asgi.PageCache`, with *tenant* a function of the
    WSGI environment and *region* giving a blocking `Region`. Safe to call from any number of threads.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        routes: Iterable[RoutePolicy],
        tenant: str | Callable[[Environ], str],
        region: Callable[[str], BlockingPageRegion] | None = None,
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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            request = _read_environ(environ, self._tenant if isinstance(self._tenant, str) else self._tenant(environ))
        except BadRequest as error:
            body = f"bad {error}\n".encode()
            start_response("400 Bad Request", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            return [body]
        doubtful = is_doubtful(request.target.partition("?")[0])
        match = None if doubtful else self._routes.find(_decoded_path(environ))
        if match is None or request.method not in ("GET", "HEAD") or request.has_body:
            return self._app(environ, _labelled(start_response, self._default, force=doubtful))
        if is_personal(request.headers, match.policy):
            return self._app(environ, _labelled(start_response, PRIVATE, force=True))
        return self._share(_Sharing(environ, request, match), start_response)

    def _share(self, sharing: _Sharing, start_response: StartResponse) -> Iterable[bytes]:
        status = CacheStatus()
        try:
            page = self._page(sharing, status)
        except PageTooLarge:
            return self._app(sharing.environ(), _labelled(start_response, PRIVATE, force=True))
        if self._served is not None and page.is_shared:
            self._served(sharing.request.target, page.tags, sharing.request.tenant)
        now = self._clock()
        stored = page.as_stored()
        status.is_first_hand = not status.hit
        status.ttl_s = -int(stored.staleness_s(now)) if status.hit else None
        answer = answer_from(stored, sharing.request, now)
        start_response(_status_line(answer.status), _lines(answer, status, self._name))
        return [answer.body]

    def _page(self, sharing: _Sharing, status: CacheStatus) -> Page:
        """Return the page, kept or made, and note in *status* which."""
        if self._region is None or not sharing.match.policy.stored:
            status.forwarded = "bypass"
            page, status.detail = self._make(sharing)
            return page
        return self._kept(self._region(sharing.request.tenant), sharing, status)

    def _kept(self, region: BlockingPageRegion, sharing: _Sharing, status: CacheStatus) -> Page:
        made: list[tuple[Page, str]] = []

        def load() -> dict[str, Any]:
            page, why_not = self._make(sharing)
            made.append((page, why_not))
            if page.status >= 500:
                raise PageFailed(page)
            return page.to_plain() if page.is_shared else {"unshared": why_not}

        policy = sharing.match.policy
        try:
            kept = region.get_or_load(sharing.key, load, tags=sharing.match.tags, ttl_s=policy.ttl_s)
            if made:
                return _first(region, sharing, status, *made[0])
        except PageFailed as failure:
            status.forwarded = "miss"
            return failure.page if made else for_all(failure.page)
        except CacheError as error:
            status.forwarded, status.detail = "miss", type(error).__name__
            return made[0][0] if made else self._make(sharing)[0]
        if "unshared" in kept:
            status.forwarded, status.detail = "bypass", kept["unshared"]
            return self._make(sharing)[0]
        status.hit = True
        return Page.from_plain(kept)

    def _make(self, sharing: _Sharing) -> tuple[Page, str]:
        """Let the application answer the shared request, and dress what it says."""
        taker = _PageTaker(sharing.match.policy.max_body_bytes)
        with collecting() as found:
            taker.take(self._app, sharing.environ())
        return self._dresser.dress(taker.page(self._clock()), sharing.match, sharing.request.tenant, found)


class _Sharing:
    """A request for a shared page: what was asked, and the handler's environment, stripped to what the key has."""

    __slots__ = ("_environ", "key", "match", "request")

    def __init__(self, environ: Environ, request: Request, match: Match) -> None:
        query = canonical_query(environ.get("QUERY_STRING", ""), match.policy.query)
        path = request.target.partition("?")[0]
        fields = shared_fields(request.headers, match.policy)
        shared = replace(request, method="GET", target=f"{path}?{query}" if query else path, headers=fields)
        self.match = match
        self.request = request
        self.key = page_key(shared, match)
        self._environ = _stripped(environ, fields, query)

    def environ(self) -> Environ:
        """Return a fresh environment: applications write into theirs."""
        return {**self._environ, "wsgi.input": BytesIO()}


class _PageTaker:
    """Takes an application's page whole."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._status = 500
        self._headers = Headers()
        self._body = bytearray()

    def take(self, app: WSGIApp, environ: Environ) -> None:
        """Run *app*; raise `PageTooLarge` where its answer is no page."""
        chunks = app(environ, self._start_response)
        try:
            for chunk in chunks:
                self._write(chunk)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    def page(self, now: float) -> Page:
        return Page(self._status, self._headers, bytes(self._body), now)

    def _start_response(self, status: str, lines: Lines, exc_info: Any = None) -> Callable[[bytes], None]:
        self._status = int(status[:3])
        self._headers = Headers(lines).end_to_end()
        return self._write

    def _write(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._max_bytes or is_endless(self._headers):
            raise PageTooLarge


def _first(region: BlockingPageRegion, sharing: _Sharing, status: CacheStatus, page: Page, why_not: str) -> Page:
    """Return a page just made; it is kept no longer than what it shows, the note that it is unshared briefly."""
    status.forwarded, status.is_stored, status.detail = "miss", page.is_shared, why_not
    brief_s = short_ttl_s(page, why_not, sharing.match)
    if brief_s is not None:
        region.touch(sharing.key, brief_s)
    if page.is_shared and region.ttl(sharing.key) is None:
        # The region refused it: a CDN that kept it would keep what has just been purged.
        status.is_stored, status.detail = False, "overtaken"
        return overtaken(page)
    return page


def _read_environ(environ: Environ, tenant: str) -> Request:
    fields = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    bare = ("CONTENT_LENGTH", "CONTENT_TYPE")
    fields += [(name.replace("_", "-"), environ[name]) for name in bare if environ.get(name)]
    # The raw path where the server gives it; PATH_INFO is decoded, and spelled again one way.
    decoded = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    raw: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or quote(decoded, safe=_SAFE, encoding="latin-1")
    path, query = raw.partition("?")[0], environ.get("QUERY_STRING", "")
    scheme = environ.get("wsgi.url_scheme", "http")
    target = f"{path}?{query}" if query else path
    return read_parts(environ["REQUEST_METHOD"], scheme, target, Headers(fields), tenant)


def _decoded_path(environ: Environ) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace")


def _stripped(environ: Environ, fields: Headers, query: str) -> Environ:
    kept = {name: value for name, value in environ.items() if not name.startswith("HTTP_")}
    kept.update({"HTTP_" + name.upper().replace("-", "_"): value for name, value in fields})
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE", "RAW_URI", "REQUEST_URI"):
        kept.pop(name, None)
    return {**kept, "REQUEST_METHOD": "GET", "QUERY_STRING": query}


def _labelled(start_response: StartResponse, cache_control: str, *, force: bool) -> StartResponse:
    """Return *start_response* with ``Cache-Control`` set: always with *force*, else where the answer names none."""

    def starting(status: str, lines: Lines, *rest: Any) -> Any:
        others = [line for line in lines if line[0].lower() != "cache-control"]
        if force or len(others) == len(lines):
            lines = [*others, ("Cache-Control", cache_control)]
        return start_response(status, lines, *rest)

    return starting


def _lines(answer: Answer, status: CacheStatus, name: str) -> Lines:
    lines = [(field.title(), value) for field, value in answer.headers]
    lines.append(("Cache-Status", status.render(name)))
    if not status.is_first_hand:
        lines.append(("Age", str(answer.age_s)))
    return lines


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"
