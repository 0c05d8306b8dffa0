# Generated from src/tiercel/_async/loads.py by tools/unasync.py. Do not edit.
"""
The loads of a region: each key is loaded once, however many ask in this process, in the foreground or behind a stale
copy.

One flight per key; inside it one lease per key among all nodes (`tiercel._sync.filler`). A caller that is cancelled
or out of time leaves the flight; the load ends and fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiercel._sync.bulkfiller import BulkFiller
from tiercel._sync.filler import Filler
from tiercel._sync.looker import Looker
from tiercel._sync.node import Place
from tiercel._sync.orders import ManyOrder, Order
from tiercel._core.copy import Copy, Look
from tiercel._core.setbacks import Setbacks
from tiercel._core.windows import Freshness
from tiercel._flights import Flight, detached, follow
from tiercel._gates import gate
from tiercel._paired import spawn
from tiercel.errors import LoadTimeout
from tiercel.typing import Key


class Loads:
    """
    Args:
        place: The region and tenant that it loads for.
        looker: Finds what is there already.
    """

    __slots__ = ("_bulk_filler", "_filler", "_place", "_setbacks")

    def __init__(self, place: Place, looker: Looker) -> None:
        self._place = place
        self._setbacks = Setbacks()
        self._filler = Filler(place, looker)
        self._bulk_filler = BulkFiller(place, looker, self._filler)

    def is_due(self, key: Key) -> bool:
        """Say whether *key* may be tried again after its last failure."""
        return self._setbacks.is_due(key, self._now())

    def may_serve(self, copy: Copy) -> bool:
        return not self._place.core.options.never_stale and copy.freshness is not Freshness.EXPIRED

    def served_stale(self, key: Key, why: str) -> None:
        self._place.core.stats.stale_served += 1
        if why != "refreshing":
            self._place.node.recorder.event(
                "stale_served", region=self._place.core.options.name, tenant=self._place.tenant, key=key, why=why
            )

    def refresh(self, key: Key, order: Order, look: Look) -> None:
        """Load in the background unless a load is under way."""
        flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
        if leads:
            spawn("tiercel-refresh", self._lead, flight, key, order, look)

    def load(self, key: Key, order: Order, look: Look) -> Copy:
        """Lead or follow the load of *key*."""
        place, options = self._place, self._place.core.options
        flight_key: Any = (*place.flight_key(key), object()) if order.is_strong else place.flight_key(key)
        flight, leads = place.node.process.flights.enter(flight_key)
        if leads:
            detached(self._lead, flight, key, order, look)
        else:
            place.core.stats.flights_joined += 1
            gate("read.follow")
        fallback = look.copy if look.copy is not None and self.may_serve(look.copy) else None
        soft = options.soft_timeout_s if fallback is not None else None
        try:
            copy: Copy = follow(flight, soft or options.load_timeout_s)
        except LoadTimeout:
            if fallback is None:
                raise
            self.served_stale(key, "timeout")
            return fallback
        except Exception as error:
            if fallback is None or not self._excuses(error):
                raise
            self.served_stale(key, type(error).__name__)
            return fallback
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
        flights, led = self._place.node.process.flights, {}
        followed: dict[Key, Flight] = {}
        for key in keys:
            flight, leads = flights.enter(self._place.flight_key(key))
            followed[key] = flight
            if leads:
                led[key] = flight
            else:
                self._place.core.stats.flights_joined += 1
        if led:
            detached(self._lead_many, led, order)
        return {key: self._followed(key, flight, looks[key]) for key, flight in followed.items()}

    def _followed(self, key: Key, flight: Flight, look: Look) -> Copy:
        try:
            copy: Copy = follow(flight, self._place.core.options.load_timeout_s)
        except Exception as error:
            if look.copy is None or not self.may_serve(look.copy) or not self._excuses(error):
                raise
            self.served_stale(key, type(error).__name__)
            return look.copy
        return copy

    def _lead_many(self, led: Mapping[Key, Flight], order: ManyOrder) -> None:
        """Load in bulk, and end every flight whatever happens."""
        flights = self._place.node.process.flights
        try:
            copies = self._bulk_filler.fill_many(list(led), order)
        except BaseException as error:
            for flight in led.values():
                flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            for key, flight in led.items():
                flights.land(flight, copies[key])

    def _now(self) -> float:
        return self._place.node.process.clock.monotonic()

    def _excuses(self, error: Exception) -> bool:
        """Say whether *error* is one that a stale copy may be served for."""
        excuse = self._place.core.options.stale_if
        return excuse is None or bool(excuse(error))
