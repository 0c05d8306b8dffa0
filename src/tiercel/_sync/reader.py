# Generated from src/tiercel/_async/reader.py by tools/unasync.py. Do not edit.
"""
The reader: finds a value, or has it loaded once however many ask, and serves stale ones where that is allowed.

A read goes: local hit; else a look through the tiers; else one flight per key in this process, inside it one lease
per key among all nodes. A caller that is cancelled leaves the flight; the load always ends and fills.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiercel._sync.filler import Filler, ManyOrder, Order
from tiercel._sync.looker import Looker
from tiercel._sync.node import Place
from tiercel._core.copy import NEGATIVE, Copy, Look
from tiercel._core.setbacks import Setbacks
from tiercel._core.windows import Freshness, is_due_early
from tiercel._dependencies import is_collecting, note
from tiercel._flights import Flight, detached, follow, may_wait
from tiercel._gates import gate
from tiercel._paired import spawn
from tiercel.errors import LoadTimeout, TierError
from tiercel.typing import Key

STALE_LEFT_S = 1.0
"""What is left of a copy that is stale already: so long may be shared what was made from it."""


class Reader:
    """
    Args:
        place: The region and tenant that it reads.
    """

    __slots__ = ("_place", "_setbacks", "filler", "looker")

    def __init__(self, place: Place) -> None:
        self._place = place
        self._setbacks = Setbacks()
        self.looker = Looker(place)
        self.filler = Filler(place, self.looker)

    def find(self, key: Key, *, strong: bool = False, least_version: int = 0) -> Copy | None:
        """Return the fresh copy that some tier holds; never loads."""
        may_wait()
        dependency = self._dependency(key)
        look = self._looked(key, strong, least_version)
        if look.copy is None or not look.copy.is_fresh:
            self._count((), 1)
            return None
        self._count((look.copy,), 0)
        self._note(dependency, look.copy)
        return look.copy

    def find_many(self, keys: Sequence[Key]) -> dict[Key, Copy]:
        """Return the fresh copies that the tiers hold, by key."""
        may_wait()
        dependencies = {key: self._dependency(key) for key in keys}
        looks = self.looker.look_many(keys)
        found = {key: look.copy for key, look in looks.items() if look.copy is not None and look.copy.is_fresh}
        self._count(found.values(), len(keys) - len(found))
        for key, copy in found.items():
            self._note(dependencies[key], copy)
        return found

    def load(self, key: Key, order: Order) -> Copy:
        """
        Return a copy of *key*, loaded where no tier has a usable one.

        Raises:
            Exception: the loader's own, where nothing stale may be served.
            LoadTimeout: the load takes longer than ``load_timeout_s``, and nothing stale may be served.
        """
        may_wait()
        dependency = self._dependency(key)
        look = self._looked(key, order.is_strong, order.least_version)
        copy = look.copy
        if order.least_version and copy is None:
            order = replace(order, is_strong=True)
        if copy is not None and copy.is_fresh:
            self._renew_early(key, order, look)
        elif copy is not None and self._may_serve(copy) and not self._setbacks.is_due(key, self._now()):
            self._served_stale(key, "backing off")
        elif copy is not None and self._may_serve(copy) and copy.freshness is Freshness.STALE:
            self._refresh(key, order, look)
            self._served_stale(key, "refreshing")
        else:
            self._count((), 1)
            copy = self._flown(key, order, look)
            self._note(dependency, copy)
            return copy
        self._count((copy,), 0)
        self._note(dependency, copy)
        return copy

    def _looked(self, key: Key, strong: bool, least_version: int) -> Look:
        """Look for a copy of *least_version* or later, in the far tier where the nearest one is older."""
        look = self.looker.look(key, strong=strong)
        if look.copy is None or look.copy.version >= least_version:
            return look
        if not strong:
            look = self.looker.look(key, strong=True)
        if look.copy is not None and look.copy.version < least_version:
            return Look(None, look.copy.fingerprint, look.far_failed)
        return look

    def load_many(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, Copy]:
        """Return copies of *keys*: what no tier has is loaded in one call, apart from what is being loaded already."""
        may_wait()
        dependencies = {key: self._dependency(key) for key in keys}
        looks = self.looker.look_many(keys)
        copies = {key: look.copy for key, look in looks.items() if look.copy is not None and look.copy.is_fresh}
        missing = [key for key in dict.fromkeys(keys) if key not in copies]
        self._count(copies.values(), len(missing))
        if missing:
            copies.update(self._flown_many(missing, order, looks))
        for key, copy in copies.items():
            self._note(dependencies[key], copy)
        return copies

    def _count(self, found: Collection[Copy], missing: int) -> None:
        """Count reads that the plain local hit did not serve: what some tier held, and how many none did."""
        place = self._place
        place.core.stats.slow_reads += len(found) + missing
        place.core.stats.slow_hits += len(found)
        far = sum(copy.tier != "local" for copy in found)
        place.node.recorder.tenant_read(place.core.options.name, place.tenant, far, missing)

    def _dependency(self, key: Key) -> Any:
        """Return what a computation around this read depends on, taken before the value; None where nobody collects."""
        if not is_collecting() or not self._place.core.options.track_dependencies:
            return None
        try:
            return self._place.dependency(key)
        except TierError:
            return ((0, 0),)  # unknown: whatever is being computed must not be kept

    def _note(self, dependency: Any, copy: Copy) -> None:
        if dependency is None:
            return
        options = self._place.core.options
        tokens = (*dependency, *(stamp for stamp in copy.stamps if stamp[0]))
        left_s = copy.fresh_for_s if copy.is_fresh else STALE_LEFT_S
        note(tokens, options.tags, private=options.private, left_s=left_s)

    def _now(self) -> float:
        return self._place.node.process.clock.monotonic()

    def _excuses(self, error: Exception) -> bool:
        """Say whether *error* is one that a stale copy may be served for."""
        excuse = self._place.core.options.stale_if
        return excuse is None or bool(excuse(error))

    def _may_serve(self, copy: Copy) -> bool:
        return not self._place.core.options.never_stale and copy.freshness is not Freshness.EXPIRED

    def _served_stale(self, key: Key, why: str) -> None:
        self._place.core.stats.stale_served += 1
        if why != "refreshing":
            self._place.node.recorder.event(
                "stale_served", region=self._place.core.options.name, tenant=self._place.tenant, key=key, why=why
            )

    def _renew_early(self, key: Key, order: Order, look: Look) -> None:
        copy, beta = look.copy, self._place.core.options.early_refresh_beta
        if copy is None or not beta or copy.tier == "local":
            return
        if is_due_early(copy.fresh_for_s, copy.load_cost_s, beta, 0.0, 1.0 - random.random()):
            self._refresh(key, order, look)

    def _refresh(self, key: Key, order: Order, look: Look) -> None:
        """Load in the background unless a load is under way."""
        flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
        if leads:
            spawn("tiercel-refresh", self._lead, flight, key, order, look)

    def _flown(self, key: Key, order: Order, look: Look) -> Copy:
        """Lead or follow the load of *key*."""
        place, options = self._place, self._place.core.options
        flight_key: Any = (*place.flight_key(key), object()) if order.is_strong else place.flight_key(key)
        flight, leads = place.node.process.flights.enter(flight_key)
        if leads:
            detached(self._lead, flight, key, order, look)
        else:
            place.core.stats.flights_joined += 1
            gate("read.follow")
        fallback = look.copy if look.copy is not None and self._may_serve(look.copy) else None
        soft = options.soft_timeout_s if fallback is not None else None
        try:
            copy: Copy = follow(flight, soft or options.load_timeout_s)
        except LoadTimeout:
            if fallback is None:
                raise
            self._served_stale(key, "timeout")
            return fallback
        except Exception as error:
            if fallback is None or not self._excuses(error):
                raise
            self._served_stale(key, type(error).__name__)
            return fallback
        return copy

    def _lead(self, flight: Flight, key: Key, order: Order, look: Look) -> None:
        """Load, and end the flight whatever happens."""
        flights = self._place.node.process.flights
        try:
            copy = self.filler.fill(key, order, look)
        except BaseException as error:
            self._setbacks.note(key, self._now())
            flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            self._setbacks.forget(key)
            flights.land(flight, copy)

    def _flown_many(self, keys: Sequence[Key], order: ManyOrder, looks: Mapping[Key, Look]) -> dict[Key, Copy]:
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
            if look.copy is None or not self._may_serve(look.copy) or not self._excuses(error):
                raise
            self._served_stale(key, type(error).__name__)
            return look.copy
        return copy

    def _lead_many(self, led: Mapping[Key, Flight], order: ManyOrder) -> None:
        """Load in bulk, and end every flight whatever happens."""
        flights = self._place.node.process.flights
        try:
            copies = self.filler.fill_many(list(led), order)
        except BaseException as error:
            for flight in led.values():
                flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            for key, flight in led.items():
                flights.land(flight, copies[key])


def negative(copy: Copy | None) -> bool:
    """Say whether *copy* is the cached answer "no such record"."""
    return copy is not None and copy.value is NEGATIVE
