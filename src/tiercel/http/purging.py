"""
The purge door: ``PURGE`` requests over HTTP, for invalidators that run elsewhere.

``PURGE /path`` drops that URL; with ``Surrogate-Key: a b`` those tags fall instead, with ``Tiercel-Purge: prefix``
every URL that begins so, with ``Tiercel-Purge: all`` everything. ``Tiercel-Purge-Mode: soft`` makes stale instead of
removing. Each request must show the secret in ``Tiercel-Purge-Key``.
"""

from __future__ import annotations

import hmac
import json
from typing import Protocol

from tiercel.http.exchange import Send
from tiercel.http.rules.messages import Request
from tiercel.http.rules.storing import response_tags
from tiercel.http.storage import Purge

__all__ = ["PurgeDoor", "read_purge"]


class _Purger(Protocol):
    async def purge(
        self,
        *,
        tags: tuple[str, ...] = (),
        urls: tuple[str, ...] = (),
        prefixes: tuple[str, ...] = (),
        everything: bool = False,
        soft: bool = False,
    ) -> int: ...


class PurgeDoor:
    """Answers ``PURGE`` requests; closed to all where *secret* is None."""

    def __init__(self, purger: _Purger, secret: str | None) -> None:
        self._purger = purger
        self._secret = secret

    async def answer(self, request: Request, send: Send) -> None:
        """Check the secret, purge, and say how many stored responses fell."""
        shown = request.headers.get("tiercel-purge-key") or ""
        if self._secret is None:
            await _send_json(send, 405, {"error": "purging over HTTP is switched off"})
        elif not hmac.compare_digest(shown.encode(), self._secret.encode()):
            await _send_json(send, 403, {"error": "wrong purge key"})
        else:
            order = read_purge(request)
            fell = await self._purger.purge(
                tags=tuple(order.tags),
                urls=tuple(order.urls),
                prefixes=tuple(order.prefixes),
                everything=order.everything,
                soft=order.soft,
            )
            await _send_json(send, 200, {"purged": fell})


def read_purge(request: Request) -> Purge:
    """Return what a ``PURGE`` request asks for."""
    soft = request.headers.get("tiercel-purge-mode") == "soft"
    kind = request.headers.get("tiercel-purge") or ""
    tags = response_tags(request.headers, "surrogate-key")
    if tags:
        return Purge(tags=tags, soft=soft)
    if kind == "all":
        return Purge(everything=True, soft=soft)
    if kind == "prefix":
        return Purge(prefixes=(request.url,), soft=soft)
    return Purge(urls=(request.url,), soft=soft)


async def _send_json(send: Send, status: int, body: object) -> None:
    content = json.dumps(body).encode("utf-8")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode("ascii"))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
