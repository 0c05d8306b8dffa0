"""
A scripted HTTP origin for the edge tests: what it serves is set by the test, what it was asked is recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.rig.process import LOOPBACK, free_port

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PURGE")


@dataclass(frozen=True)
class Answer:
    """What the origin says for a path. Header names are sent as written."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """One request that reached the origin; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class OriginServer:
    """
    An HTTP/1.1 server in threads of this process. Set `answers` by path; a path without one is a 404.

    `requests` holds what came, in order; reading and setting are safe at any time.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.answers: dict[str, Answer] = {}
        self.requests: list[Seen] = []
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                origin._answer(self)

            def log_message(self, *_words: object) -> None:
                """Say nothing: the requests are recorded."""

        for method in METHODS:
            setattr(Handler, f"do_{method}", Handler.answer)

        self._server = ThreadingHTTPServer((LOOPBACK, self.port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """``http://`` address."""
        return f"http://{LOOPBACK}:{self.port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        self.requests.append(Seen(handler.command, handler.path, headers, body))
        answer = self.answers.get(handler.path, Answer(b"no such path", 404))
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body)

    def count(self, path: str) -> int:
        """Return how many requests for *path* came."""
        return sum(seen.path == path for seen in self.requests)

    def flush(self) -> None:
        """Forget every answer and request."""
        self.answers.clear()
        self.requests.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
