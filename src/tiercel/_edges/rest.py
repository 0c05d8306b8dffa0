"""
A small blocking HTTP client for CDNs' interfaces: keep-alive, deadlines, no redirects, nothing more.

The CDNs' own packages are 40 and 102 MB for the three requests needed here. Thread-safe: each call borrows a
connection. A connection that the other side closed while it lay idle is replaced once, before anything was answered.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from urllib.parse import urlsplit

from tiercel.cdn.httpcall import HttpAnswer, HttpCall
from tiercel.errors import ConfigurationError, TierTimeout, TierUnavailable

_MAX_ANSWER_BYTES = 1024 * 1024


class RestClient:
    """
    Calls to one server.

    Args:
        base_url: ``https://host[:port]``; plain http is meant for loopback and inner networks.
        timeout_s: Longest wait for the connection and for each read.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 10.0) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"endpoint {base_url!r}: write http://host:port or https://host")
        self._is_tls = parts.scheme == "https"
        self._host, self._port, self._root = parts.hostname, parts.port, parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self.name = parts.netloc

    def call(self, request: HttpCall) -> HttpAnswer:
        """
        Send *request* and return the answer, whatever its status.

        Raises:
            TierTimeout: no answer in time.
            TierUnavailable: no connection, or it broke.
        """
        connection = self._borrow()
        while True:
            is_fresh = connection is None
            connection = connection or self._connect()
            try:
                return self._exchange(connection, request)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                connection.close()
                if is_fresh:
                    raise TierUnavailable(f"{self.name}: {error}", tier="cdn") from error
                connection = None  # it had gone stale while idle
            except TimeoutError as error:
                connection.close()
                raise TierTimeout(f"{self.name}: no answer within {self._timeout_s} s", tier="cdn") from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise TierUnavailable(f"{self.name}: {error}", tier="cdn") from error

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(OSError):
                connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, request: HttpCall) -> HttpAnswer:
        connection.request(request.method, self._root + request.path, body=request.body, headers=dict(request.headers))
        reply = connection.getresponse()
        body = reply.read(_MAX_ANSWER_BYTES + 1)
        headers = {name.lower(): value for name, value in reply.getheaders()}
        if reply.will_close or len(body) > _MAX_ANSWER_BYTES:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return HttpAnswer(reply.status, headers, body[:_MAX_ANSWER_BYTES])

    def _borrow(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> http.client.HTTPConnection:
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
