"""
The origin proxy: an ASGI application that asks an HTTP server for every answer.

It sends the target exactly as it came, adds no field but ``Via`` and the ``X-Forwarded-*`` family, follows no redirect,
decodes nothing and never repeats a request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from tiercel.errors import ConfigurationError
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.origin import OriginPool, OriginRequest
from tiercel.http.relay import OriginFailure
from tiercel.http.rules.headers import CONNECTION_FIELDS, RawHeaders
from tiercel.options import require

__all__ = ["OriginProxy"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginProxy:
    """
    Forwards requests to the server at *url*; serves one event loop.

    Args:
        url: Scheme, host and port of the origin; no path.
        keep_host: Send the client's ``Host`` on; else the origin's own name.
        timeout_s: Longest wait for a connection, and for each piece of an answer.
        max_connections: Most connections to the origin at once; more requests wait.
        keepalive_s: How long an idle connection is kept. An origin that closes one just as a request leaves costs
            that request, because nothing is ever repeated; so stay below the origin's own limit.
    """

    def __init__(
        self,
        url: str,
        *,
        keep_host: bool = True,
        timeout_s: float = 30.0,
        max_connections: int = 100,
        keepalive_s: float = 2.0,
    ) -> None:
        parts = urlsplit(url)
        require(
            parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.path in ("", "/"),
            f"origin={url!r}: must be http://host[:port] or https://host[:port], without a path",
        )
        self._authority = parts.netloc.encode("ascii")
        self._keep_host = keep_host
        self._pool = OriginPool(
            parts.hostname or "",
            parts.port or _DEFAULT_PORTS[parts.scheme],
            tls=parts.scheme == "https",
            timeout_s=timeout_s,
            max_connections=max_connections,
            keepalive_s=keepalive_s,
        )

    async def aclose(self) -> None:
        """Close every idle connection to the origin."""
        await self._pool.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request and relay its answer; raise `OriginFailure` where there is none."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ConfigurationError(f"the proxy speaks HTTP only, not {scope['type']}")
        async for part in self._pool.exchange(self._outgoing(scope, receive)):
            if isinstance(part, bytes):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            else:
                headers = [(bytes(name), bytes(value)) for name, value in part.headers]
                await send({"type": "http.response.start", "status": part.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _outgoing(self, scope: Scope, receive: Receive) -> OriginRequest:
        path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
        query: bytes = scope.get("query_string", b"")
        fields, has_content = self._request_fields(scope)
        return OriginRequest(
            method=scope["method"],
            target=path + b"?" + query if query else path,
            headers=fields,
            content=_content(receive) if has_content else None,
        )

    def _request_fields(self, scope: Scope) -> tuple[RawHeaders, bool]:
        """Return the fields for the origin, and whether content follows them."""
        given: list[tuple[bytes, bytes]] = list(scope["headers"])
        names = {name for name, _ in given}
        hosts = [value for name, value in given if name == b"host"] if self._keep_host else []
        fields = [(b"host", hosts[0] if hosts else self._authority)]
        fields += [line for line in given if line[0] != b"host" and _goes_on(line[0])]
        is_chunked = b"transfer-encoding" in names and b"content-length" not in names
        if is_chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        client = (scope.get("client") or ("unknown", 0))[0]
        fields += [
            (b"x-forwarded-for", client.encode("ascii", "replace")),
            (b"x-forwarded-proto", scope.get("scheme", "http").encode("ascii")),
            (b"via", b"1.1 tiercel"),
        ]
        return fields, is_chunked or any(line[0] == b"content-length" and line[1] != b"0" for line in given)

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def _goes_on(name: bytes) -> bool:
    return name.decode("latin-1") not in CONNECTION_FIELDS and not name.startswith(b"x-forwarded-")


async def _content(receive: Receive) -> AsyncIterator[bytes]:
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OriginFailure("the client went away")
        if message.get("body"):
            yield message["body"]
        more_body = message.get("more_body", False)
