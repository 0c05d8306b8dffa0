"""
The origin proxy: an ASGI application that asks an HTTP server for every answer.

It sends the target exactly as it came, adds no field but ``Via`` and the ``X-Forwarded-*`` family, follows no redirect,
decodes nothing and never repeats a request. Needs httpcore (``pip install tiercel[service]``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tiercel.errors import ConfigurationError
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.relay import OriginFailure
from tiercel.http.rules.headers import CONNECTION_FIELDS, RawHeaders
from tiercel.options import require

if TYPE_CHECKING:
    import httpcore

__all__ = ["OriginProxy"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginProxy:
    """
    Forwards requests to the server at *url*.

    Args:
        url: Scheme, host and port of the origin; no path.
        keep_host: Send the client's ``Host`` on; else the origin's own name.
        timeout_s: Longest wait for a connection, and for each piece of an answer.
        max_connections: Most connections to the origin at once.
    """

    def __init__(
        self, url: str, *, keep_host: bool = True, timeout_s: float = 30.0, max_connections: int = 100
    ) -> None:
        parts = urlsplit(url)
        require(
            parts.scheme in _DEFAULT_PORTS and parts.hostname is not None and parts.path in ("", "/"),
            f"origin={url!r}: must be http://host[:port] or https://host[:port], without a path",
        )
        self._scheme = parts.scheme.encode("ascii")
        self._host = (parts.hostname or "").encode("ascii")
        self._port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._authority = parts.netloc.encode("ascii")
        self._keep_host = keep_host
        self._timeout = {"connect": timeout_s, "read": timeout_s, "write": timeout_s, "pool": timeout_s}
        self._httpcore = _import_httpcore()
        self._pool = self._httpcore.AsyncConnectionPool(
            max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=30.0
        )

    async def aclose(self) -> None:
        """Close every connection to the origin."""
        await self._pool.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ConfigurationError(f"the proxy speaks HTTP only, not {scope['type']}")
        try:
            response = await self._pool.handle_async_request(self._outgoing(scope, receive))
        except (self._httpcore.NetworkError, self._httpcore.ProtocolError) as error:
            raise OriginFailure("the origin cannot be reached") from error
        except self._httpcore.TimeoutException as error:
            raise OriginFailure("the origin is too slow", 504) from error
        try:
            await send(
                {"type": "http.response.start", "status": response.status, "headers": _lowered(response.headers)}
            )
            await self._relay_content(response, send)
        finally:
            await response.aclose()

    async def _relay_content(self, response: httpcore.Response, send: Send) -> None:
        try:
            async for chunk in response.aiter_stream():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (self._httpcore.NetworkError, self._httpcore.ProtocolError, self._httpcore.TimeoutException) as error:
            raise OriginFailure("the origin broke off") from error
        await send({"type": "http.response.body", "body": b""})

    def _outgoing(self, scope: Scope, receive: Receive) -> httpcore.Request:
        path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
        query: bytes = scope.get("query_string", b"")
        target = path + b"?" + query if query else path
        url = self._httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=target)
        fields, has_content = self._request_fields(scope)
        outgoing: httpcore.Request = self._httpcore.Request(
            scope["method"].encode("ascii"),
            url,
            headers=fields,
            content=_content(receive) if has_content else None,
            extensions={"timeout": self._timeout},
        )
        return outgoing

    def _request_fields(self, scope: Scope) -> tuple[RawHeaders, bool]:
        fields: RawHeaders = []
        length: bytes | None = None
        is_chunked = False
        host = self._authority
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                is_chunked = True
            elif name == b"host":
                host = value if self._keep_host else host
            elif name.decode("latin-1") not in CONNECTION_FIELDS and not name.startswith(b"x-forwarded-"):
                fields.append((name, value))
        if length is not None:
            fields.append((b"content-length", length))
        elif is_chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        client = (scope.get("client") or ("unknown", 0))[0].encode("ascii", "replace")
        fields += [
            (b"x-forwarded-for", client),
            (b"x-forwarded-proto", scope.get("scheme", "http").encode("ascii")),
            (b"via", b"1.1 tiercel"),
        ]
        return [(b"host", host), *fields], length not in (None, b"0") or is_chunked

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "lifespan.startup.complete"})


async def _content(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OriginFailure("the client went away")
        chunk = message.get("body", b"")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


def _lowered(headers: list[tuple[bytes, bytes]]) -> RawHeaders:
    return [(name.lower(), value) for name, value in headers]


def _import_httpcore() -> Any:
    try:
        import httpcore
    except ImportError as error:
        raise ConfigurationError("the edge proxy needs httpcore: pip install tiercel[service]") from error
    return httpcore
