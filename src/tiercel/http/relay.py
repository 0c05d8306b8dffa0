"""
The relay: stands between the origin's answer and the client, and keeps a copy where the answer may be stored.

An answer that may not be stored flows through piece by piece. One that may is taken in whole first, stored, and then
sent: so the next request finds it, a slow reader does not hold up those who wait for the same answer, and an origin
that breaks off half-way can still be covered by a stale copy. One that grows past the limit starts to flow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tiercel.errors import CacheError
from tiercel.http.exchange import Message, Send
from tiercel.http.rules.answers import answer_from, invalidated_targets
from tiercel.http.rules.cachestatus import CacheStatus
from tiercel.http.rules.conditions import NOT_MODIFIED_FIELDS, freshened_by_head
from tiercel.http.rules.decision import Next, Plan, Verdict, conclude
from tiercel.http.rules.freshness import initial_age_s
from tiercel.http.rules.headers import Headers
from tiercel.http.rules.messages import EdgeOptions, Request, Response, StoredResponse
from tiercel.http.rules.ranges import content_span
from tiercel.http.rules.storing import make_stored
from tiercel.http.storage import AsyncStorage, Purge

__all__ = ["Asking", "OriginFailure", "Relay"]


class OriginFailure(CacheError):
    """
    The origin gave no usable answer.

    Args:
        status: What a client is told: 502 where the origin cannot be reached or breaks off, 504 where it is too slow.
    """

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Asking:
    """
    One question to the origin.

    Args:
        request: What the client wants.
        decided: Why the origin is asked.
        options: The rules' options.
        storage: Where the answer goes.
        fence: The storage's mark of the time before the question.
        clock: Seconds since the epoch.
        is_collapsed: The client waited for somebody else's answer before.
        landed: Called once it is clear what becomes of the answer: stored, or not to be (True where refused).
    """

    request: Request
    decided: Plan
    options: EdgeOptions
    storage: AsyncStorage
    fence: int
    clock: Callable[[], float]
    is_collapsed: bool
    landed: Callable[[bool], None]


class Relay:
    """The sending side that the origin application sees; *send* is the client's."""

    def __init__(self, asking: Asking, send: Send) -> None:
        self.answer: Response | None = None
        self.verdict: Verdict | None = None
        self.has_started = False
        self.sent_at = asking.clock()
        self.received_at = self.sent_at
        self._asking = asking
        self._send = send
        self._start: Message = {}
        self._held: bytearray | None = None

    async def send(self, message: Message) -> None:
        """Take one message from the origin application."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self.verdict is None or self.verdict.next is not Next.RELAY:
            return  # the cache answers in the origin's place
        elif message["type"] == "http.response.body" and self._held is not None:
            await self._hold(self._held, message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        asking = self._asking
        self.received_at = asking.clock()
        self.answer = Response(message["status"], Headers.from_raw(message.get("headers", ())))
        self.verdict = conclude(
            asking.request, asking.decided, self.answer, asking.options, self.sent_at, self.received_at
        )
        if self.verdict.next is not Next.RELAY:
            return
        self._start = {**message, "headers": self._outgoing(self.answer, self.verdict).raw()}
        # Before the client hears of it, so that its next request cannot find what it has just changed.
        await self._take_effects(self.answer)
        if self.verdict.storable:
            self._held = bytearray()
        else:
            asking.landed(True)
            await self._flow()

    async def _hold(self, held: bytearray, message: Message) -> None:
        held += message.get("body", b"")
        more_body = message.get("more_body", False)
        if len(held) > self._asking.options.max_body_bytes:
            self._held = None
            self._asking.landed(True)
        elif more_body:
            return
        else:
            stored = await self._keep(bytes(held))
            if stored is not None and answer_from(stored, self._asking.request, self.received_at).status == 304:
                await self._say_not_modified()
                return
        await self._flow()
        await self._send({"type": "http.response.body", "body": bytes(held), "more_body": more_body})

    async def _say_not_modified(self) -> None:
        """Answer the client's own condition, which the origin did not get to see."""
        kept = NOT_MODIFIED_FIELDS | {"cache-status"}
        headers = [line for line in self._start["headers"] if line[0].decode("latin-1") in kept]
        self._start = {**self._start, "status": 304, "headers": headers}
        await self._flow()
        await self._send({"type": "http.response.body", "body": b""})

    async def _flow(self) -> None:
        self.has_started = True
        await self._send(self._start)

    async def _keep(self, body: bytes) -> StoredResponse | None:
        asking = self._asking
        assert self.answer is not None
        if not _is_whole(self.answer, body):
            asking.landed(True)
            return None
        stored = make_stored(asking.request, self.answer, body, asking.options, self.sent_at, self.received_at)
        await self._save(stored)
        asking.landed(False)
        return stored

    async def _take_effects(self, answer: Response) -> None:
        """Let fall what an unsafe request changed; refresh what a HEAD confirmed."""
        request, asking = self._asking.request, self._asking
        targets = invalidated_targets(request, answer)
        if targets:
            urls = [f"{request.scheme}://{request.host}{target}" for target in targets]
            await asking.storage.purge(Purge(urls=urls, tenant=request.tenant), self.received_at)
        if request.method == "HEAD" and asking.decided.stored is not None:
            known = asking.decided.stored
            fresh = freshened_by_head(known, answer, asking.options, self.sent_at, self.received_at)
            if fresh is not None:
                await self._save(fresh)

    async def _save(self, stored: StoredResponse) -> bool:
        asking = self._asking
        fence = asking.fence if asking.request.method in ("GET", "HEAD") else await asking.storage.fence()
        return await asking.storage.save(asking.request, stored, fence=fence, most=asking.options.max_variants)

    async def save_freshened(self, stored: StoredResponse) -> bool:
        """Put a stored response that a 304 confirmed in place of the old one."""
        saved = await self._save(stored)
        self._asking.landed(False)
        return saved

    def _outgoing(self, answer: Response, verdict: Verdict) -> Headers:
        asking = self._asking
        status = CacheStatus(
            forwarded=asking.decided.reason or "miss",
            is_stored=verdict.storable,
            is_collapsed=asking.is_collapsed,
            detail=verdict.refusal or "",
        )
        headers = answer.headers.end_to_end().without({asking.options.tag_header})
        # An answer that took a while is that much older (RFC 9111 section 4.2.3).
        if self.received_at - self.sent_at >= 1.0 and verdict.storable and "age" not in headers:
            age_s = int(initial_age_s(answer.headers, self.sent_at, self.received_at))
            headers = headers.adding(("age", str(age_s)))
        return headers.adding(("cache-status", status.render(asking.options.name)))


def _is_whole(answer: Response, body: bytes) -> bool:
    length = answer.headers.get("content-length")
    if length is not None and length != str(len(body)):
        return False
    span = content_span(answer) if answer.status == 206 else None
    return span is None or span.size_bytes == len(body)
