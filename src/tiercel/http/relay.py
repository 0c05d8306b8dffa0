"""The relay: passes an origin's answer on while it arrives, and keeps a copy where the answer may be stored."""

from __future__ import annotations

from collections.abc import Callable

from tiercel.errors import CacheError
from tiercel.http.exchange import Message, Send
from tiercel.http.rules.cachestatus import CacheStatus
from tiercel.http.rules.decision import Action, Next, Plan, Verdict, conclude
from tiercel.http.rules.freshness import initial_age_s
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import CacheOptions, Request, Response, StoredResponse
from tiercel.http.rules.ranges import content_span
from tiercel.http.rules.storing import make_stored

__all__ = ["OriginFailure", "Relay"]


class OriginFailure(CacheError):
    """
    The origin gave no usable answer.

    Args:
        status: What a client is told: 502 where the origin cannot be reached or breaks off, 504 where it is too slow.
    """

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class Relay:
    """
    The sending side that the origin application sees.

    A relayed answer goes out piece by piece. One that the cache replaces (a 304 to its own question, an error that
    stale covers) is swallowed; the edge then serves what is stored.
    """

    def __init__(
        self,
        request: Request,
        decided: Plan,
        options: CacheOptions,
        clock: Callable[[], float],
        send: Send,
        refused: Callable[[], None] | None,
        is_collapsed: bool,
    ) -> None:
        self.sent_at = clock()
        self.received_at = self.sent_at
        self.answer: Response | None = None
        self.verdict: Verdict | None = None
        self.has_started = False
        self._request = request
        self._decided = decided
        self._options = options
        self._clock = clock
        self._send = send
        self._refused = refused
        self._is_collapsed = is_collapsed
        self._body: bytearray | None = None
        self._has_ended = False

    async def send(self, message: Message) -> None:
        """Take one message from the origin application."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body":
            await self._continue(message)
        elif self._is_relaying:
            await self._send(message)

    def complete(self) -> StoredResponse | None:
        """Return the stored form of the answer; None where it may not be stored or came in part only."""
        if self.answer is None or self._body is None or not self._has_ended:
            return None
        body = bytes(self._body)
        if not _is_whole(self.answer, body):
            return None
        return make_stored(self._request, self.answer, body, self._options, self.sent_at, self.received_at)

    @property
    def _is_relaying(self) -> bool:
        return self.verdict is not None and self.verdict.next is Next.RELAY

    async def _begin(self, message: Message) -> None:
        self.received_at = self._clock()
        self.answer = Response(message["status"], Headers.from_raw(message.get("headers", ())))
        self.verdict = conclude(
            self._request, self._decided, self.answer, self._options, self.sent_at, self.received_at
        )
        if not self._is_relaying:
            return
        if self.verdict.storable:
            self._body = bytearray()
        elif self._refused is not None:
            self._refused()
        self.has_started = True
        await self._send({**message, "headers": self._outgoing(self.answer).raw()})

    async def _continue(self, message: Message) -> None:
        chunk = message.get("body", b"")
        if self._body is not None:
            self._body += chunk
            if len(self._body) > self._options.max_body_bytes:
                self._body = None
                if self._refused is not None:
                    self._refused()
        self._has_ended = not message.get("more_body", False)
        if self._is_relaying:
            await self._send(message)

    def _outgoing(self, answer: Response) -> Headers:
        assert self.verdict is not None
        status = CacheStatus(
            forwarded=self._decided.reason or "miss",
            is_stored=self.verdict.storable,
            is_collapsed=self._is_collapsed,
            detail=self.verdict.refusal or "",
        )
        if self._decided.action is not Action.PASS and answer.status == 304:
            status.forwarded_status = 304
        headers = answer.headers.end_to_end().without({self._options.tag_header})
        # An answer that took a while is that much older (RFC 9111 section 4.2.3).
        if self.received_at - self.sent_at >= 1.0 and self.verdict.storable:
            age_s = int(initial_age_s(answer.headers, self.sent_at, self.received_at))
            headers = headers.replacing("age", str(age_s))
        return headers.adding(("cache-status", status.render(self._options.name)))


def _is_whole(answer: Response, body: bytes) -> bool:
    length = answer.headers.get("content-length")
    if length is not None and length != str(len(body)):
        return False
    span = content_span(answer) if answer.status == 206 else None
    return span is None or span.size_bytes == len(body)
