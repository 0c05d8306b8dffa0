# Generated from src/tiercel/_async/reader.py by tools/unasync.py. Do not edit.
"""
The reader: finds a value, or has it loaded once however many ask, and serves stale ones where that is allowed.

A read goes: local hit; else a look through the tiers; else one flight per key in this process, inside it one lease
per key among all nodes. A caller that is cancelled leaves the flight; the load always ends and fills.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiercel import _dependencies
from tiercel._sync.express import Express, express_of
from tiercel._sync.loads import Loads
from tiercel._sync.looker import Looker
from tiercel._sync.node import Place
from tiercel._sync.orders import ManyOrder, Order
from tiercel._core.copy import NEGATIVE, Copy, Fetched, Look, values_of
from tiercel._core.frame import TagToken
from tiercel._core.windows import Freshness, is_due_early, is_past_part
from tiercel._flights import may_wait
from tiercel.typing import Key

STALE_LEFT_S = 1.0
"""What is left of a copy that is stale already: so long may be shared what was made from it."""


class Reader:
    """
    Args:
        place: The region and tenant that it reads.
    """

    __slots__ = ("_place", "express", "loads", "looker")

    def __init__(self, place: Place) -> None:
        self._place = place
        self.looker = Looker(place)
        self.loads = Loads(place, self.looker)
        self.express = express_of(place, self)

    def find(
        self, key: Key, *, strong: bool = False, least_version: int = 0, fetched: Fetched | None = None
    ) -> Copy | None:
        """Return the fresh copy that some tier holds, the far one having told *fetched* already; never loads."""
        may_wait()
        dependency = self._place.dependency(key)
        look = self._looked(key, strong, least_version, fetched)
        if look.copy is None or not look.copy.is_fresh:
            self._count((), 1)
            # What found nothing depends on it all the same: it falls when the thing appears.
            self._place.note_read(dependency, (), math.inf)
            return None
        self._count((look.copy,), 0)
        self._note(dependency, look.copy)
        return look.copy

    def find_values(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Return the fresh values that the tiers hold, by key; never loads."""
        may_wait()
        values, told = self._plain_values(keys)
        left = [key for key in keys if key not in values] if len(values) < len(keys) else ()
        if left:
            values.update(values_of(self._found_many(left, told)))
        return values

    def _plain_values(self, keys: Sequence[Key]) -> tuple[dict[Key, Any], Mapping[Key, Fetched]]:
        """Return the ordinary hits among *keys*, and what the far tier told of the others, if it was asked."""
        express = self._open_express()
        return ({}, {}) if express is None or not keys else express.fetch_many(keys)

    def _open_express(self) -> Express | None:
        """Return the express way where ordinary hits may take it: nobody collects what is read."""
        express = self.express
        return express if express is not None and express.is_open and not _dependencies.open_collectors else None

    def _found_many(self, keys: Sequence[Key], told: Mapping[Key, Fetched]) -> dict[Key, Copy]:
        dependencies = {key: self._place.dependency(key) for key in keys}
        looks = self.looker.look_many(keys, told)
        found = {key: look.copy for key, look in looks.items() if look.copy is not None and look.copy.is_fresh}
        self._count(found.values(), len(keys) - len(found))
        for key, dependency in dependencies.items():
            if key in found:
                self._note(dependency, found[key])
            else:
                self._place.note_read(dependency, (), math.inf)
        return found

    def load(self, key: Key, order: Order) -> Copy:
        """
        Return a copy of *key*, loaded where no tier has a usable one.

        Raises:
            Exception: the loader's own, where nothing stale may be served.
            LoadTimeout: the load takes longer than ``load_timeout_s``, and nothing stale may be served.
        """
        may_wait()
        fetched: Fetched | None = None
        express = None if order.is_strong or order.least_version else self._open_express()
        if express is not None:
            found = express.fetch(key, express.beta)
            if type(found) is not Fetched:
                return Copy(found, Freshness.FRESH, "redis")
            fetched = found
        dependency = self._place.dependency(key)
        look = self._looked(key, order.is_strong, order.least_version, fetched)
        copy = look.copy
        if order.least_version and copy is None:
            order = replace(order, is_strong=True)
        if copy is not None and copy.is_fresh:
            self._renew_early(key, order, look)
        elif copy is not None and self.loads.may_serve(copy) and not self.loads.is_due(key):
            self.loads.served_stale(key, "backing off")
        elif copy is not None and self.loads.may_serve(copy) and copy.freshness is Freshness.STALE:
            self.loads.refresh(key, order, look)
            self.loads.served_stale(key, "refreshing")
        else:
            self._count((), 1)
            copy = self.loads.load(key, order, look)
            self._note(dependency, copy)
            return copy
        self._count((copy,), 0)
        self._note(dependency, copy)
        return copy

    def _looked(self, key: Key, strong: bool, least_version: int, fetched: Fetched | None = None) -> Look:
        """Look for a copy of *least_version* or later, in the far tier where the nearest one is older."""
        look = self.looker.look(key, strong=strong, fetched=fetched, least_version=least_version)
        if look.copy is None or look.copy.version >= least_version:
            return look
        if not strong:
            look = self.looker.look(key, strong=True)
        if look.copy is not None and look.copy.version < least_version:
            return Look(None, look.copy.fingerprint, look.far_failed)
        return look

    def load_values(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, Any]:
        """Return values of *keys*: what no tier has is loaded in one call, apart from what is being loaded already."""
        may_wait()
        keys = list(dict.fromkeys(keys))
        values, told = self._plain_values(keys)
        left = [key for key in keys if key not in values] if len(values) < len(keys) else ()
        if left:
            values.update(values_of(self._loaded_many(left, order, told)))
        return values

    def _loaded_many(self, keys: Sequence[Key], order: ManyOrder, told: Mapping[Key, Fetched]) -> dict[Key, Copy]:
        dependencies = {key: self._place.dependency(key) for key in keys}
        looks = self.looker.look_many(keys, told)
        copies = {key: look.copy for key, look in looks.items() if look.copy is not None and look.copy.is_fresh}
        self._refresh_many(copies, order, looks)
        missing = [key for key in keys if key not in copies]
        self._count(copies.values(), len(missing))
        if missing:
            copies.update(self.loads.load_many(missing, order, looks))
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

    def _note(self, dependency: tuple[TagToken, ...] | None, copy: Copy) -> None:
        self._place.note_read(dependency, copy.stamps, copy.fresh_for_s if copy.is_fresh else STALE_LEFT_S)

    def _renew_early(self, key: Key, order: Order, look: Look) -> None:
        if look.copy is not None and self._is_due(look.copy):
            self.loads.refresh(key, order, look)

    def _is_due(self, copy: Copy) -> bool:
        """Say whether a fresh copy of the far tier should be renewed: by the part of its ttl, or by the draw."""
        options = self._place.core.options
        beta = options.early_refresh_beta
        if copy.tier == "local" or not (beta or options.refresh_at):
            return False
        if is_past_part(copy.fresh_for_s, copy.ttl_s, options.refresh_at):
            return True
        return is_due_early(copy.fresh_for_s, copy.load_cost_s, beta, 0.0, 1.0 - random.random())

    def _refresh_many(self, copies: dict[Key, Copy], order: ManyOrder, looks: Mapping[Key, Look]) -> None:
        """Begin to renew those of *copies* that are due, and add the stale ones of *looks* that may be served."""
        for key, look in looks.items():
            copy = look.copy
            if copy is None or (copy.is_fresh and not self._is_due(copy)):
                continue
            if not copy.is_fresh:
                backs_off = not self.loads.is_due(key)
                if not self.loads.may_serve(copy) or not (backs_off or copy.freshness is Freshness.STALE):
                    continue
                copies[key] = copy
                self.loads.served_stale(key, "backing off" if backs_off else "refreshing")
            if self.loads.is_due(key):
                self.loads.refresh_in_bulk(key, order, look)


def negative(copy: Copy | None) -> bool:
    """Say whether *copy* is the cached answer "no such record"."""
    return copy is not None and copy.value is NEGATIVE
