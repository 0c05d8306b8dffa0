"""
What is published at a folder edge, served over HTTP as ASGI: the origin that S3 is to CloudFront, where there is no S3.

Objects go out with the headers that they were published with, their entity tag, their tags as surrogate keys and
their age; a gzip variant goes to who takes it. Put the embedded edge or Varnish in front: ranges, stale windows and
collapsing are theirs. A path that ends in a slash is its ``index.html``. Cost: one or two file reads a request, in a
worker thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol
from urllib.parse import quote, unquote

from tiercel._core.clock import SystemClock
from tiercel.cdn.objects import EdgeObject
from tiercel.errors import ConfigurationError, TierError
from tiercel.http.exchange import Message, Receive, Scope, Send, send_plain
from tiercel.http.rules.headers import Headers
from tiercel.typing import Clock

__all__ = ["PublishedSite"]

_INDEX = "index.html"


class _Published(Protocol):
    async def fetch(self, path: str, *, accept_encoding: str = "") -> EdgeObject | None: ...


class PublishedSite:
    """
    Serves what *edge* holds.

    Args:
        edge: An edge with an origin, say of ``folder:///srv/edge``.
        clock: Wall time for ages; the system's where None.
        expired: What becomes of an object whose ttl and windows are over: ``serve`` it, as a bucket does (right for a
            site's files), or ``refuse`` it with 404 (right for copies of responses).
    """

    def __init__(
        self, edge: _Published, clock: Clock | None = None, *, expired: Literal["serve", "refuse"] = "serve"
    ) -> None:
        self._edge = edge
        self._clock = clock or SystemClock()
        self._serves_expired = expired == "serve"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a lifespan is acknowledged, anything else refused."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            raise ConfigurationError(f"PublishedSite serves http, not {scope['type']}")
        elif scope["method"] not in ("GET", "HEAD"):
            await send_plain(send, 405, "only GET and HEAD")
        else:
            await self._answer(scope, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        headers = Headers.from_raw(scope["headers"])
        try:
            item = await self._find(scope, headers.get("accept-encoding") or "")
        except TierError:
            await send_plain(send, 503, "the folder cannot be read")
            return
        if item is None:
            await send_plain(send, 404, "nothing is published here")
            return
        is_known = _matches(headers.get("if-none-match") or "", item.etag)
        body = b"" if is_known or scope["method"] == "HEAD" else item.body
        status = 304 if is_known else item.status
        await send({"type": "http.response.start", "status": status, "headers": self._fields(item, is_known=is_known)})
        await send({"type": "http.response.body", "body": body})

    async def _find(self, scope: Scope, accept_encoding: str) -> EdgeObject | None:
        raw = (scope.get("raw_path") or quote(scope["path"]).encode("ascii")).decode("latin-1").partition("?")[0]
        target = raw + _INDEX if raw.endswith("/") else raw
        for path in dict.fromkeys((target, unquote(target))):
            try:
                item = await self._edge.fetch(path, accept_encoding=accept_encoding)
            except ConfigurationError:  # no path that could have been published
                continue
            if item is not None and (self._serves_expired or item.freshness(self._clock.wall()) != "expired"):
                return item
        return None

    def _fields(self, item: EdgeObject, *, is_known: bool) -> list[tuple[bytes, bytes]]:
        fields = {**item.headers, "ETag": item.etag, "Age": str(int(item.age_s(self._clock.wall())))}
        if item.tags:
            fields["Surrogate-Key"] = " ".join(item.tags)
        if not is_known:
            fields["Content-Length"] = str(len(item.body))
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]


def _matches(condition: str, etag: str) -> bool:
    """Say whether ``If-None-Match`` names *etag* (weak comparison: RFC 9110, 13.1.2)."""
    members: Sequence[str] = [member.strip().removeprefix("W/") for member in condition.split(",")]
    return condition.strip() == "*" or etag in members


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
