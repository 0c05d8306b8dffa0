"""
Who pays when a table is full: the division of one bound among the tenants that hold entries.

Each tenant is sure of a *floor*, an equal part of an eighth of the bound. The rest is lent out: a ghost hit, which says that
a little more room would have made a hit, moves one entry's worth of it to the tenant that had it, from the others in turn.
A scan has no ghost hits and so ends with its floor, however fast it is; a tenant with a large useful working set grows.
Room that nobody claims may be used by anyone; when the table is full, whoever is furthest above its quota pays. A tenant
that holds no more than its quota does not pay for others.

``tenant_share`` is a hard limit on top: no tenant ever holds more than that part.

Source: Cidon, Eisenman, Alizadeh, Katti, *Cliffhanger: scaling performance cliffs in web memory caches*, NSDI 2016.
All steps are O(1). Not thread-safe: the table's lock protects it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Quotas"]

FLOOR_PART = 8
TRIES = 16

T = TypeVar("T", bound=Hashable)


class Quotas(Generic[T]):
    """
    What each tenant holds and may hold, in the unit of the bound.

    Args:
        bound: Most that all may hold together.
        tenant_share: Largest part that one may hold.
    """

    __slots__ = ("_claimed", "_claims", "_held", "_holders", "_places", "_turn", "bound", "share", "used")

    def __init__(self, bound: int, tenant_share: float) -> None:
        self.rebound(bound, tenant_share)
        self.used = 0
        self._held: dict[T, int] = {}
        self._claims: dict[T, int] = {}
        self._claimed = 0
        self._holders: list[T] = []
        self._places: dict[T, int] = {}
        self._turn = 0

    def rebound(self, bound: int, tenant_share: float) -> None:
        """Take other bounds; what is held stays."""
        self.bound = bound
        self.share = max(1, int(bound * tenant_share))

    def note(self, tenant: T, cost: int) -> None:
        """Note that *tenant* holds *cost* more, or less where it is negative."""
        self.used += cost
        held = self._held.get(tenant, 0) + cost
        self._held[tenant] = held
        if held > 0 and tenant not in self._places:
            self._places[tenant] = len(self._holders)
            self._holders.append(tenant)
        elif held <= 0 and tenant in self._places:
            self._leave(tenant)

    def _leave(self, tenant: T) -> None:
        place = self._places.pop(tenant)
        last = self._holders.pop()
        if last is not tenant:
            self._holders[place] = last
            self._places[last] = place
        self._claimed -= self._claims.pop(tenant, 0)

    def quota(self, tenant: T) -> int:
        """Return what *tenant* holds undisturbed by others."""
        return self.bound // (FLOOR_PART * max(len(self._holders), 1)) + self._claims.get(tenant, 0)

    def capacity(self, tenant: T) -> int:
        """Return what the tenant's policy plans with."""
        if len(self._holders) <= 1:
            return self.share
        return min(max(self._held.get(tenant, 0), self.quota(tenant), 1), self.share)

    def is_crowded(self, tenant: T) -> bool:
        """Whether *tenant* cannot keep all that it holds unless another one pays."""
        return self.used > self.bound or self._held.get(tenant, 0) > self.share

    def payer(self, tenant: T) -> T:
        """Return who makes room for *tenant*: one in turn that is further above its quota, or itself."""
        if len(self._holders) <= 1 or self.used <= self.bound or self._held.get(tenant, 0) > self.share:
            return tenant
        excess = max(self._excess(tenant), 0)
        for _ in range(min(TRIES, len(self._holders))):
            other = self._next()
            if self._excess(other) > excess:
                return other
        return tenant

    def _excess(self, tenant: T) -> int:
        return self._held.get(tenant, 0) - self.quota(tenant)

    def claim(self, tenant: T, cost: int) -> None:
        """Move *cost* of what is lent out to *tenant*, which had a ghost hit."""
        if len(self._holders) <= 1 or tenant not in self._places:
            return
        limit = self.bound - self.bound // FLOOR_PART
        self._claims[tenant] = self._claims.get(tenant, 0) + cost
        self._claimed += cost
        tries = min(TRIES, len(self._holders))
        while self._claimed > limit and tries > 0:
            tries -= 1
            other = self._next()
            if other is not tenant:
                self._take_back(other, self._claimed - limit)
        if self._claimed > limit:
            self._take_back(tenant, self._claimed - limit)

    def _next(self) -> T:
        self._turn = self._turn + 1 if self._turn + 1 < len(self._holders) else 0
        return self._holders[self._turn]

    def _take_back(self, tenant: T, cost: int) -> None:
        taken = min(self._claims.get(tenant, 0), cost)
        self._claims[tenant] = self._claims.get(tenant, 0) - taken
        self._claimed -= taken
