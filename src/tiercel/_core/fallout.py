"""
The fallout of a stretch of changes: everything that falls, once, in bounded memory.

Repeated changes of a row count once. Where more entries of one region and tenant fall than ``bulk_above``, the region
falls in that tenant, in one write; where too many tenants are concerned, it falls in all of them. So an update of a
million rows costs a few writes, and what falls is never less than what should.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tiercel._core.rowfall import RowFall

__all__ = ["Fallout", "TenantFallout"]

WIDE = 20
"""A region whose changed entries in all tenants exceed this many times ``bulk_above`` falls everywhere; a tenant with
more tags or paths than that falls whole, and where all tenants together have ten times as many, everything does."""


@dataclass(slots=True)
class TenantFallout:
    """
    What falls in one tenant.

    Attributes:
        keys: Version floor by key, by region.
        regions: Regions that fall whole.
        tags: Tags.
        paths: Paths at the CDN.
        is_whole: Everything of the tenant falls.
    """

    keys: dict[str, dict[str, int]] = field(default_factory=dict)
    regions: set[str] = field(default_factory=set)
    tags: dict[str, None] = field(default_factory=dict)
    paths: dict[str, None] = field(default_factory=dict)
    is_whole: bool = False


class Fallout:
    """
    Args:
        bulk_above: See the module.

    Attributes:
        rows: Images of rows that were added.
        regions: Regions that fall in all tenants.
        is_everything: The whole namespace falls.
        reasons: Why something fell that was not named, each once.
        widenings: Times that single names gave way to something wider.
    """

    def __init__(self, bulk_above: int) -> None:
        self._bulk_above = bulk_above
        self._per_region: dict[str, int] = {}
        self._tenants: dict[str, TenantFallout] = {}
        self._names = 0
        self.rows = 0
        self.regions: set[str] = set()
        self.is_everything = False
        self.reasons: dict[str, None] = {}
        self.widenings = 0

    def __bool__(self) -> bool:
        return bool(self._tenants or self.regions or self.is_everything)

    def add(self, fall: RowFall) -> None:
        """Add what one image of a row names."""
        self.rows += 1
        if self.is_everything:
            return
        for tenant, region, key in fall.keys:
            if region not in self.regions:
                self._add_key(self._tenant(tenant), region, key, fall.floor)
        if fall.tags or fall.paths:
            self._add_names(self._tenant(fall.tenant), fall)

    def _tenant(self, name: str) -> TenantFallout:
        found = self._tenants.get(name)
        if found is None:
            found = self._tenants[name] = TenantFallout()
        return found

    def _add_key(self, tenant: TenantFallout, region: str, key: str, floor: int) -> None:
        if tenant.is_whole or region in tenant.regions:
            return
        keys = tenant.keys.setdefault(region, {})
        known = keys.get(key)
        if known is None:
            self._per_region[region] = self._per_region.get(region, 0) + 1
        keys[key] = floor if known is None else max(known, floor)
        if self._per_region[region] > WIDE * self._bulk_above:
            self._widen(region)
        elif len(keys) > self._bulk_above:
            self._per_region[region] -= len(tenant.keys.pop(region)) - 1
            tenant.regions.add(region)
            self.widenings += 1

    def _widen(self, region: str) -> None:
        self.widenings += region not in self.regions
        self.regions.add(region)
        for tenant in self._tenants.values():
            tenant.keys.pop(region, None)
            tenant.regions.discard(region)

    def _add_names(self, tenant: TenantFallout, fall: RowFall) -> None:
        if tenant.is_whole:
            return
        before = len(tenant.tags) + len(tenant.paths)
        tenant.tags.update(dict.fromkeys(fall.tags))
        tenant.paths.update(dict.fromkeys(fall.paths))
        self._names += len(tenant.tags) + len(tenant.paths) - before
        if self._names > 10 * WIDE * self._bulk_above:
            self.add_unknown((), "more tags fell than can be told one by one", everything=True)
        elif max(len(tenant.tags), len(tenant.paths)) > WIDE * self._bulk_above:
            tenant.is_whole = True
            self.widenings += 1
            for names in (tenant.keys, tenant.tags, tenant.paths):
                names.clear()
            tenant.regions.clear()

    def add_unknown(self, regions: Iterable[str], why: str, *, everything: bool) -> None:
        """
        Note that it cannot be said what fell.

        Args:
            regions: Where it may have been: they fall in all tenants.
            why: For the log.
            everything: Tags may have fallen, which entries of any region can carry.
        """
        self.reasons[why] = None
        for region in regions:
            self._widen(region)
        if everything:
            self.widenings += not self.is_everything
            self.is_everything = True
            self.regions.clear()
            self._tenants.clear()

    def tenants(self) -> Iterator[tuple[str, TenantFallout]]:
        """Yield each tenant with what falls in it, whole tenants last."""
        yield from sorted(self._tenants.items(), key=lambda named: named[1].is_whole)

    def wide_part(self) -> Fallout:
        """
        Return what fell as more than single names, as a fallout of its own.

        A transaction is read after it has committed. So its first thousand rows suffice to make a region fall for all
        of them, long before the last has been read.
        """
        part = Fallout(self._bulk_above)
        part.regions, part.is_everything = set(self.regions), self.is_everything
        for name, tenant in self._tenants.items():
            if tenant.regions or tenant.is_whole:
                part._tenants[name] = TenantFallout(regions=set(tenant.regions), is_whole=tenant.is_whole)
        return part
