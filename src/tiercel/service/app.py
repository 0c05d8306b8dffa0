"""
The ASGI application: every table of endpoints behind one set of security headers.

It may run by itself (`tiercel.service.server`) or inside a platform's process, at the root of a host name or a port of
its own. Everything it sends is its own: no page asks the network for anything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiercel._async.cache import AsyncCache
from tiercel.matrix import Matrix
from tiercel.service.desk import Desk
from tiercel.service.dispatch import Call, Endpoint, routes_of
from tiercel.service.endpoints import ENDPOINTS
from tiercel.service.openapi import document_of
from tiercel.service.pages import PAGES
from tiercel.service.settings import ServiceSettings
from tiercel.service.signin import SIGN_IN

__all__ = ["TABLE", "service_app"]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


async def _openapi(_: Call) -> dict[str, Any]:
    return document_of(TABLE, version("tiercel"))


TABLE: Final[tuple[Endpoint, ...]] = (
    *ENDPOINTS,
    Endpoint(
        method="GET",
        path="/openapi.json",
        answer=_openapi,
        summary="This document.",
        role=None,
        result=dict[str, Any],
    ),
    *SIGN_IN,
    *PAGES,
)
"""Everything that can be asked."""


def service_app(
    cache: AsyncCache, settings: ServiceSettings, matrix: Matrix | None = None, others: Sequence[Endpoint] = ()
) -> Starlette:
    """
    Return the application of a started cache; its lifespan starts and ends the monitor behind charts and alerts.

    Args:
        cache: The cache; it is used and not closed.
        settings: Who may use the service.
        matrix: Whose journals and edge are shown; None for the cache's own.
        others: What is answered beside the service's own; pages with a summary are linked by it.
    """
    desk = Desk(cache, settings, matrix)
    desk.links = [(each.path, each.summary) for each in others if each.is_page and each.summary]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desk.alerts.monitor.start()
        try:
            yield
        finally:
            desk.alerts.monitor.stop()

    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    app = Starlette(
        routes=[*routes_of((*TABLE, *others), desk), static],
        middleware=[Middleware(SecurityHeaders, is_https=settings.is_https)],
        lifespan=lifespan,
    )
    app.state.desk = desk
    return app


class SecurityHeaders:
    """
    Adds what keeps browsers from doing with our pages what they should not.

    Args:
        app: The application.
        is_https: Also tell browsers to come back through TLS alone.
    """

    def __init__(self, app: ASGIApp, is_https: bool = False) -> None:
        self._app = app
        self._headers = dict(HEADERS)
        if is_https:
            self._headers[b"strict-transport-security"] = b"max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *(pair for pair in message["headers"] if pair[0].lower() not in self._headers),
                    *self._headers.items(),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)
