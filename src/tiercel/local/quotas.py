"""
Who pays when a table is full: the division of one bound among the tenants that hold entries.

Each tenant is sure of a *floor*, an equal part of a sixteenth of the bound. Above it, the tenant pays whose room is of
the least use: of its entries that the hand looked at lately, the fewest had been used since the look before, and the
fewest misses were for keys that had left only lately. A scan uses nothing twice, so it ends with its floor however fast
it is; hits on one famous key count once a look, so they buy no room for others; a new tenant earns its room inside the
floor. While the table is not full, room is free to all.

``tenant_share`` is a hard limit on top: no tenant ever holds more than that part.

Related: Cidon, Eisenman, Alizadeh, Katti, *Cliffhanger: scaling performance cliffs in web memory caches*, NSDI 2016,
which moves memory by ghost hits; Cidon, Rushton, Rumble, Stutsman, *Memshare*, ATC 2017: reserved and pooled memory.

All steps are O(1): at most `TRIES` tenants are compared. Not thread-safe: the table's lock protects it.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from tiercel._core.eviction import Policy

__all__ = ["Quotas", "Tenant"]

FLOOR_PART = 16
TRIES = 16


class Tenant(Protocol):
    """Who holds entries."""

    policy: Policy[Any]


T = TypeVar("T", bound=Tenant)


class Quotas(Generic[T]):
    """
    What the tenants hold and may hold, in the unit of the bound.

    Args:
        bound: Most that all may hold together.
        tenant_share: Largest part that one may hold.
    """

    __slots__ = ("_holders", "_places", "_turn", "bound", "share", "used")

    def __init__(self, bound: int, tenant_share: float) -> None:
        self.rebound(bound, tenant_share)
        self.used = 0
        self._holders: list[T] = []
        self._places: dict[T, int] = {}
        self._turn = 0

    def rebound(self, bound: int, tenant_share: float) -> None:
        """Take other bounds; what is held stays."""
        self.bound = bound
        self.share = max(1, int(bound * tenant_share))

    def note(self, tenant: T, cost: int) -> None:
        """Note that *tenant* holds *cost* more, or less; its policy has been told already."""
        self.used += cost
        holds = len(tenant.policy) > 0
        if holds and tenant not in self._places:
            self._places[tenant] = len(self._holders)
            self._holders.append(tenant)
        elif not holds and tenant in self._places:
            self._leave(tenant)

    def _leave(self, tenant: T) -> None:
        place = self._places.pop(tenant)
        last = self._holders.pop()
        if last is not tenant:
            self._holders[place] = last
            self._places[last] = place

    def _floor(self) -> int:
        return max(self.bound // (FLOOR_PART * max(len(self._holders), 1)), 1)

    def capacity(self, tenant: T) -> int:
        """Return what the tenant's policy plans with."""
        if len(self._holders) <= 1:
            return self.share
        return min(max(tenant.policy.cost, self._floor()), self.share)

    def is_crowded(self, tenant: T) -> bool:
        """Whether *tenant* cannot keep all that it holds unless another one pays."""
        return self.used > self.bound or tenant.policy.cost > self.share

    def payer(self, tenant: T) -> T:
        """Return who makes room for *tenant*: of it and some others in turn, all above the floor, the least useful."""
        if len(self._holders) <= 1 or self.used <= self.bound or tenant.policy.cost > self.share:
            return tenant
        floor = self._floor()
        chosen, is_open = tenant, tenant.policy.cost <= floor
        for _ in range(min(TRIES, len(self._holders))):
            self._turn = self._turn + 1 if self._turn + 1 < len(self._holders) else 0
            other = self._holders[self._turn]
            if other.policy.cost > floor and (is_open or other.policy.is_worse_than(chosen.policy)):
                chosen, is_open = other, False
        return chosen
