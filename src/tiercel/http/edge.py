"""
The embedded edge: a shared HTTP cache as an ASGI application in front of another one.

The rules decide (`tiercel.http.rules`), a storage keeps (`tiercel.http.storage`); this shell asks the origin, relays
its answer while it arrives, and lets requests for the same thing share one answer (collapsing). The origin is any ASGI
application: the user's own, or `tiercel.http.proxy.OriginProxy`.

Concurrency: one edge serves one event loop. A request that is answered from the store starts no task and waits for
nothing but its storage.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from tiercel.http.exchange import (
    UNTRUSTED_FIELDS,
    ASGIApp,
    BadRequest,
    Message,
    Receive,
    Scope,
    Send,
    forwarded_scope,
    no_content,
    read_request,
    send_answer,
    send_plain,
)
from tiercel.http.purging import PURGE_METHODS, PurgeDoor, read_purge
from tiercel.http.relay import Asking, OriginFailure, Relay
from tiercel.http.rules.answers import answer_from
from tiercel.http.rules.cachestatus import CacheStatus
from tiercel.http.rules.conditions import CONDITIONS
from tiercel.http.rules.decision import Action, Next, Plan, filling, plan, without_answer
from tiercel.http.rules.messages import EdgeOptions, Request, StoredResponse
from tiercel.http.storage import AsyncStorage, InLoop, MemoryStorage, Purge, Storage

__all__ = ["Edge"]

_UNSTORABLE_FOR_S = 10.0
_UNSTORABLE_KEPT = 4096


class Edge:
    """
    A shared cache in front of *origin*.

    Args:
        origin: The application that answers what the cache cannot.
        storage: Where responses are kept; a `MemoryStorage` of 64 MiB where None.
        options: What the rules leave open.
        tenant: Says whose data a request asks for; part of every key. None where all belongs to one.
        purgers: Networks whose clients may purge over HTTP, see `tiercel.http.purging`.
        untrusted: Request fields that never reach the origin, because no key holds them.
        wait_s: Longest time that a request waits for another one's answer before it asks by itself.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        origin: ASGIApp,
        *,
        storage: Storage | AsyncStorage | None = None,
        options: EdgeOptions | None = None,
        tenant: Callable[[Scope], str] | None = None,
        purgers: Sequence[str] = (),
        untrusted: frozenset[str] = UNTRUSTED_FIELDS,
        wait_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.origin = origin
        self.options = options or EdgeOptions()
        self.storage: AsyncStorage = _awaitable(MemoryStorage() if storage is None else storage)
        self._tenant = tenant
        self._door = PurgeDoor(purgers)
        self._untrusted = untrusted
        self._wait_s = wait_s
        self._clock = clock
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._refreshes: set[asyncio.Task[None]] = set()
        self._unstorable: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is not HTTP."""
        if scope["type"] != "http":
            await self.origin(scope, receive, send)
            return
        try:
            request = read_request(scope, self._tenant(scope) if self._tenant else "", self._untrusted)
        except BadRequest as error:
            await send_plain(send, 400, f"bad {error}")
            return
        if request.method in PURGE_METHODS:
            await self._answer_purge(scope, request, send)
            return
        await self._handle(_Exchange(scope, receive, send, request), may_wait=True)

    async def purge(self, purge: Purge) -> int:
        """Make what *purge* names fall, in this storage; return how many stored responses it was."""
        return await self.storage.purge(purge, self._clock())

    async def aclose(self) -> None:
        """Wait for the refreshes that are under way."""
        if self._refreshes:
            await asyncio.wait(self._refreshes)

    async def _answer_purge(self, scope: Scope, request: Request, send: Send) -> None:
        purge = read_purge(request.method, request.headers)
        if not self._door.admits(scope):
            await send_plain(send, 403, "not allowed to purge")
        elif purge is None:
            await send_plain(send, 400, "nothing to purge")
        else:
            await send_plain(send, 200, f"purged {await self.purge(purge)}")

    async def _handle(self, exchange: _Exchange, *, may_wait: bool) -> None:
        request, options, now = exchange.request, self.options, self._clock()
        decided = plan(request, await self.storage.load(request), options, now)
        if decided.action in (Action.SERVE, Action.SERVE_AND_REFRESH) and decided.stored is not None:
            if decided.action is Action.SERVE_AND_REFRESH:
                self._refresh(exchange, decided)
            await self._serve(exchange, decided.stored, now, CacheStatus(hit=True))
        elif decided.action is Action.REFUSE:
            status = CacheStatus(detail="only-if-cached").render(options.name)
            await send_plain(exchange.send, 504, "not in the cache", status)
        elif not self._is_shareable(decided, request):
            await self._ask(exchange, decided, _nothing_waits)
        elif may_wait and request.key in self._flights:
            await self._wait(exchange)
        else:
            await self._lead(exchange, decided, self._take_off(request.key))

    def _is_shareable(self, decided: Plan, request: Request) -> bool:
        """Say whether other requests may wait for the answer to this one."""
        if decided.action is Action.PASS or request.method != "GET":
            return False
        if "range" in request.headers or "cookie" in request.headers or "authorization" in request.headers:
            return False
        return not self._is_unstorable(request)

    def _is_unstorable(self, request: Request) -> bool:
        """Say whether the last answer to this could not be stored, a moment ago."""
        return self._unstorable.get(request.key, 0.0) > self._clock()

    async def _wait(self, exchange: _Exchange) -> None:
        await asyncio.wait({self._flights[exchange.request.key]}, timeout=self._wait_s)
        exchange.is_collapsed = True
        await self._handle(exchange, may_wait=False)

    async def _lead(self, exchange: _Exchange, decided: Plan, landed: Callable[[bool], None]) -> None:
        """Ask the origin while others wait; they go on as soon as it is clear whether anything will be stored."""
        try:
            await self._ask(exchange, decided, landed)
        finally:
            landed(False)

    def _take_off(self, key: str) -> Callable[[bool], None]:
        """Let requests for *key* wait from now on; return what ends that, told whether nothing will be stored."""
        flight = asyncio.get_running_loop().create_future()
        self._flights.setdefault(key, flight)

        def landed(is_refused: bool) -> None:
            if is_refused:
                self._remember_unstorable(key)
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not flight.done():
                flight.set_result(None)

        return landed

    async def _ask(self, exchange: _Exchange, decided: Plan, landed: Callable[[bool], None]) -> None:
        """Ask the origin, and do with its answer what the rules say."""
        if decided.action is Action.FETCH and not self._is_unstorable(exchange.request):
            # A client that only validates its own copy would leave the cache empty for all others.
            decided = filling(decided, exchange.request)
        fence = await self.storage.fence()
        asking = Asking(
            exchange.request, decided, self.options, self.storage, fence, self._clock, exchange.is_collapsed, landed
        )
        relay = Relay(asking, exchange.send)
        try:
            await self.origin(forwarded_scope(exchange.scope, decided.forward), exchange.receive, relay.send)
        except Exception as error:
            if relay.has_started:
                raise
            await self._serve_without_answer(exchange, decided, error)
            return
        if relay.verdict is None:
            raise RuntimeError("the origin application returned without a response")
        if relay.verdict.next is Next.REFETCH:
            plain = exchange.request.headers.without(CONDITIONS)
            await self._ask(exchange, Plan(Action.FETCH, None, plain, "stale"), landed)
        elif relay.verdict.stored is not None:
            await self._serve_verdict(exchange, decided, relay, relay.verdict.stored)

    async def _serve_verdict(self, exchange: _Exchange, decided: Plan, relay: Relay, stored: StoredResponse) -> None:
        status = CacheStatus(forwarded=decided.reason, forwarded_status=relay.answer.status if relay.answer else None)
        if relay.verdict is not None and relay.verdict.next is Next.SERVE_FRESHENED:
            status.is_stored = await relay.save_freshened(stored)
        await self._serve(exchange, stored, self._clock(), status)

    async def _serve_without_answer(self, exchange: _Exchange, decided: Plan, error: Exception) -> None:
        """Serve stale where the origin failed before it answered; else say so, or let the error through."""
        verdict = without_answer(decided, self._clock())
        if verdict is not None and verdict.stored is not None:
            status = CacheStatus(forwarded=decided.reason, detail="origin failed")
            await self._serve(exchange, verdict.stored, self._clock(), status)
        elif isinstance(error, OriginFailure):
            status = CacheStatus(forwarded=decided.reason, detail="origin failed")
            await send_plain(exchange.send, error.status, str(error), status.render(self.options.name))
        else:
            raise error

    async def _serve(self, exchange: _Exchange, stored: StoredResponse, now: float, status: CacheStatus) -> None:
        answer = answer_from(stored, exchange.request, now)
        status.ttl_s = -int(stored.staleness_s(now))
        status.is_collapsed = exchange.is_collapsed
        await send_answer(exchange.send, answer, status, self.options.name, exchange.request.method)

    def _refresh(self, exchange: _Exchange, decided: Plan) -> None:
        """Ask the origin in the background, once however many requests find the response stale."""
        key = exchange.request.key
        if key in self._flights:
            return
        silent = _Exchange(exchange.scope, no_content(), _discard, exchange.request)
        task = asyncio.ensure_future(self._refresh_quietly(silent, decided, self._take_off(key)))
        self._refreshes.add(task)
        task.add_done_callback(self._refreshes.discard)

    async def _refresh_quietly(self, exchange: _Exchange, decided: Plan, landed: Callable[[bool], None]) -> None:
        try:
            await self._lead(exchange, decided, landed)
        except Exception as error:  # the next request after the window meets the failure itself, and reports it
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"background refresh of {exchange.request.target} failed", "exception": error}
            )

    def _remember_unstorable(self, key: str) -> None:
        self._unstorable[key] = self._clock() + _UNSTORABLE_FOR_S
        self._unstorable.move_to_end(key)
        if len(self._unstorable) > _UNSTORABLE_KEPT:
            self._unstorable.popitem(last=False)


class _Exchange:
    """One client's request and the channel to answer it."""

    __slots__ = ("is_collapsed", "receive", "request", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send, request: Request) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.request = request
        self.is_collapsed = False


def _awaitable(storage: Storage | AsyncStorage) -> AsyncStorage:
    if asyncio.iscoroutinefunction(storage.load):
        return storage  # type: ignore[return-value]  # the check above tells the two protocols apart
    return InLoop(storage)  # type: ignore[arg-type]


def _nothing_waits(is_refused: bool) -> None:
    """Nobody waits for an answer that is not shared."""


async def _discard(message: Message) -> None:
    """Swallow what a background refresh would send to a client."""
