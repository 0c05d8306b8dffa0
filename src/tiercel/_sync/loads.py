# Generated from src/tiercel/_async/loads.py by tools/unasync.py. Do not edit.
"""
The loads of a region: each key is loaded once, however many ask in this process, in the foreground or behind a stale
copy.

One flight per key; inside it one lease per key among all nodes (`tiercel._sync.filler`). A caller that is cancelled
or out of time leaves the flight; the load ends and fills.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiercel._sync.bulkfiller import BulkFiller
from tiercel._sync.filler import Filler
from tiercel._sync.looker import Looker
from tiercel._sync.node import Place
from tiercel._sync.orders import ManyOrder, Order
from tiercel._core.copy import Copy, Look
from tiercel._core.gathering import Gathering
from tiercel._core.setbacks import Setbacks
from tiercel._core.windows import Freshness
from tiercel._flights import Flight, alongside, detached, follow
from tiercel._gates import gate
from tiercel._paired import Event, spawn
from tiercel._timebudget import ends_at, left_s, within
from tiercel.errors import LoadTimeout
from tiercel.typing import Key

GATHER_S = 0.005
"""How long a refresh waits for others that one call can serve as well; nobody waits for it."""


class Loads:
    """
    Args:
        place: The region and tenant that it loads for.
        looker: Finds what is there already.
    """

    __slots__ = ("_bulk_filler", "_due", "_filler", "_lock", "_place", "_setbacks")

    def __init__(self, place: Place, looker: Looker) -> None:
        self._place = place
        self._setbacks = Setbacks()
        self._lock = threading.Lock()
        self._due: Gathering[ManyOrder, Key, tuple[Flight, Look]] = Gathering()
        self._filler = Filler(place, looker)
        self._bulk_filler = BulkFiller(place, looker, self._filler)

    def is_due(self, key: Key) -> bool:
        """Say whether *key* may be tried again after its last failure."""
        return self._setbacks.is_due(key, self._now())

    def may_serve(self, copy: Copy) -> bool:
        """Say whether *copy* may be served although it is stale."""
        return not self._place.core.options.never_stale and copy.freshness is not Freshness.EXPIRED

    def served_stale(self, key: Key, why: str) -> None:
        """Count a stale answer; an event unless a refresh is its only reason."""
        self._place.core.stats.stale_served += 1
        if why != "refreshing":
            self._place.node.recorder.event(
                "stale_served", region=self._place.core.options.name, tenant=self._place.tenant, key=key, why=why
            )

    def refresh(self, key: Key, order: Order, look: Look) -> None:
        """Load in the background unless a load is under way; with what falls due now, where one call can do it."""
        if order.load_many is not None:
            self.refresh_in_bulk(key, ManyOrder(order.load_many, order.tags, order.ttl_s), look)
            return
        flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
        if leads:
            spawn("tiercel-refresh", self._lead, flight, key, order, look)

    def refresh_in_bulk(self, key: Key, order: ManyOrder, look: Look) -> None:
        """Load in the background, in one call with all that fall due within a moment and are loaded alike."""
        flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
        if not leads:
            return
        with self._lock:
            is_first = self._due.add(order, key, (flight, look))
        if is_first:
            spawn("tiercel-refresh", self._refresh_gathered, order)

    def _refresh_gathered(self, order: ManyOrder) -> None:
        """Wait for what else falls due, and load it, a batch a call."""
        Event().wait_for(GATHER_S)
        gate("refresh.gathered")
        while True:
            with self._lock:
                batch = self._due.take(order)
            if not batch:
                return
            led = {key: flight for key, (flight, _) in batch.items()}
            self._lead_many(led, order, {key: look for key, (_, look) in batch.items()})

    def load(self, key: Key, order: Order, look: Look) -> Copy:
        """
        Return a copy of *key* from one load, this caller's or another's; a stale one where that fails or lasts.

        Raises:
            Exception: the loader's own, where nothing stale may be served.
            LoadTimeout: ``load_timeout_s`` or the request's time budget is over, and nothing stale may be served.
        """
        flights = self._place.node.process.flights
        while True:
            flight_key: Any = self._place.flight_key(key)
            flight, leads = flights.enter((*flight_key, object()) if order.is_strong else flight_key)
            if leads:
                self._beside(look)(self._lead, flight, key, order, look)
            else:
                self._joined()
            copy = self._followed(key, flight, look, leads)
            if copy is not None:
                return copy

    def _joined(self) -> None:
        self._place.core.stats.flights_joined += 1
        gate("read.follow")

    def _beside(self, look: Look) -> Callable[..., None]:
        """Return how a load is begun: beside a caller who will not wait for all of it, or in his own thread."""
        hurries = self._patience_s(look) < self._place.core.options.load_timeout_s
        return alongside if hurries else detached

    def _fallback(self, look: Look) -> Copy | None:
        return look.copy if look.copy is not None and self.may_serve(look.copy) else None

    def _patience_s(self, look: Look) -> float:
        """Return how long a caller waits for a load: less with a stale copy at hand, or with little time left."""
        options = self._place.core.options
        soft_s = options.soft_timeout_s if self._fallback(look) is not None else None
        return within(soft_s or options.load_timeout_s)

    def _followed(self, key: Key, flight: Flight, look: Look, leads: bool) -> Copy | None:
        """Return the flight's copy, or a stale one; None where its leader had less time than this caller has left."""
        patience_s = self._patience_s(look)
        try:
            copy: Copy = follow(flight, patience_s)
        except Exception as error:
            has_landed = flight.future.done()
            if has_landed and not leads and isinstance(error, TimeoutError) and flight.ends < ends_at():
                return None
            if not has_landed and patience_s >= self._place.core.options.load_timeout_s:
                self._place.node.process.flights.abandon(flight)  # it may hang: the next caller starts anew
            fallback = self._fallback(look)
            if fallback is not None and (isinstance(error, LoadTimeout) or self._excuses(error)):
                self.served_stale(key, "timeout" if isinstance(error, LoadTimeout) else type(error).__name__)
                return fallback
            if not has_landed and left_s() <= 0:
                raise LoadTimeout("the time budget of the request is over; the load goes on and fills") from error
            raise
        return copy

    def _lead(self, flight: Flight, key: Key, order: Order, look: Look) -> None:
        """Load, and end the flight whatever happens."""
        flights = self._place.node.process.flights
        try:
            copy = self._filler.fill(key, order, look)
        except BaseException as error:
            self._setbacks.note(key, self._now())
            flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            self._setbacks.forget(key)
            flights.land(flight, copy)

    def load_many(self, keys: Sequence[Key], order: ManyOrder, looks: Mapping[Key, Look]) -> dict[Key, Copy]:
        """Return copies of *keys*: one load for those that nobody is loading; raises as `load` does."""
        copies: dict[Key, Copy] = {}
        wanted = list(keys)
        while wanted:
            followed, led = self._entered_many(wanted)
            if led:
                self._beside(Look())(self._lead_many, led, order, looks)
            for key, flight in followed.items():
                copy = self._followed(key, flight, looks[key], key in led)
                if copy is not None:
                    copies[key] = copy
            wanted = [key for key in wanted if key not in copies]
        return {key: copies[key] for key in keys}

    def _entered_many(self, keys: Sequence[Key]) -> tuple[dict[Key, Flight], dict[Key, Flight]]:
        """Return the flights of *keys*, and those of them that this caller leads."""
        followed: dict[Key, Flight] = {}
        led: dict[Key, Flight] = {}
        for key in keys:
            flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
            followed[key] = flight
            if leads:
                led[key] = flight
            else:
                self._place.core.stats.flights_joined += 1
        return followed, led

    def _lead_many(self, led: Mapping[Key, Flight], order: ManyOrder, looks: Mapping[Key, Look]) -> None:
        """Load in bulk, and end every flight whatever happens."""
        flights = self._place.node.process.flights
        try:
            copies = self._bulk_filler.fill_many(list(led), order, looks)
        except BaseException as error:
            for key, flight in led.items():
                self._setbacks.note(key, self._now())
                flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            for key, flight in led.items():
                self._setbacks.forget(key)
                flights.land(flight, copies[key])

    def _now(self) -> float:
        return self._place.node.process.clock.monotonic()

    def _excuses(self, error: Exception) -> bool:
        """Say whether *error* is one that a stale copy may be served for."""
        excuse = self._place.core.options.stale_if
        return excuse is None or bool(excuse(error))
