"""
Invalidations asked for through the service: what would fall, what fell, and how far each tier is.

Receipts are kept for as long as the service runs, the last hundred of them.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import OrderedDict
from typing import Any, Final, Literal, TypeAlias

import msgspec

from tiercel._async.cache import AsyncCache
from tiercel._async.receipt import AsyncReceipt
from tiercel.errors import ConfigurationError, TierTimeout, TierUnavailable

__all__ = ["DryRun", "Invalidation", "Invalidations", "Kind", "ReceiptView"]

Kind: TypeAlias = Literal["entity", "key", "tags", "region", "tenant"]

MOST_RECEIPTS: Final = 100
POLL_S: Final = 0.05
TIERS: Final = ("redis", "local", "cdn")


class Invalidation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What is to fall.

    Attributes:
        kind: ``entity`` (*name* and *key*), ``key`` (*name* is its region), ``tags``, ``region`` (*name*), or
            ``tenant``: all that the tenant has.
        tenant: Whose data; ``@global`` for data of no tenant.
        name: The entity's or the region's name.
        key: The entity's id, or the key.
        tags: Tags of the tenant.
        dry_run: Only say what would fall; that is the default.
    """

    kind: Kind
    tenant: str
    name: str = ""
    key: str = ""
    tags: list[str] = []
    dry_run: bool = True


class DryRun(msgspec.Struct, frozen=True, kw_only=True, tag="dry_run"):
    """What would fall: live entries by region or tag; empty where the whole tenant would, which nobody counts."""

    would_fall: dict[str, int]
    is_counted: bool = True


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True, tag="receipt"):
    """
    One invalidation, as far as it is.

    Attributes:
        clean_after_s: Seconds from the start until each tier was clean.
        waiting: Tiers that are still at work, or that could not be reached and are asked again.
    """

    id: str
    by: str
    asked: Invalidation
    started_s: float
    keys: list[list[str]]
    tags: list[str]
    paths: list[str]
    clean_after_s: dict[str, float]
    waiting: list[str]
    problem: str = ""


class Invalidations:
    """
    Carries out invalidations of one cache and remembers their receipts.

    Args:
        cache: A started cache.
    """

    def __init__(self, cache: AsyncCache) -> None:
        self._cache = cache
        self._kept: OrderedDict[str, tuple[str, Invalidation, AsyncReceipt]] = OrderedDict()

    async def dry_run(self, asked: Invalidation) -> DryRun:
        """Count what would fall and change nothing; looks at every record of the tenant or region."""
        scope = self._cache.tenant(asked.tenant)
        if asked.kind == "entity":
            return DryRun(would_fall=await scope.would_fall(asked.name, asked.key))
        if asked.kind == "tags":
            return DryRun(would_fall=await scope.would_fall_by_tags(*_tags(asked)))
        if asked.kind == "key":
            return DryRun(would_fall={asked.name: int(await scope.region(asked.name).holds(asked.key))})
        if asked.kind == "region":
            sweep = await scope.region(asked.name).invalidate_matching("*", dry_run=True)
            return DryRun(would_fall={asked.name: await sweep.wait()})
        return DryRun(would_fall={}, is_counted=False)

    async def carry_out(self, asked: Invalidation, by: str) -> ReceiptView:
        """Make it fall and return the receipt so far."""
        receipt = await self._fall(asked)
        name = secrets.token_hex(6)
        self._kept[name] = (by, asked, receipt)
        while len(self._kept) > MOST_RECEIPTS:
            self._kept.popitem(last=False)
        return await self.receipt(name)

    async def receipt(self, name: str) -> ReceiptView:
        """Return how far an invalidation is; asks the CDN where that is what it waits for."""
        if name not in self._kept:
            raise ConfigurationError(f"no receipt {name!r}: the last {MOST_RECEIPTS} of this process are kept")
        by, asked, receipt = self._kept[name]
        problem = ""
        try:
            with contextlib.suppress(TierTimeout, ConfigurationError):  # not yet, or none of the CDN's business
                await receipt.wait("cdn", POLL_S)
        except TierUnavailable as error:
            problem = str(error)
        return _view(name, by, asked, receipt.as_dict(), problem)

    def newest(self) -> list[ReceiptView]:
        """Return what is known of the kept ones, newest first, without asking anybody."""
        return [
            _view(name, by, asked, receipt.as_dict(), "") for name, (by, asked, receipt) in reversed(self._kept.items())
        ]

    async def _fall(self, asked: Invalidation) -> AsyncReceipt:
        scope = self._cache.tenant(asked.tenant)
        if asked.kind == "entity":
            return await scope.invalidate(asked.name, asked.key)
        if asked.kind == "tags":
            return await scope.invalidate_tags(*_tags(asked))
        if asked.kind == "key":
            return await scope.region(asked.name).remove(asked.key)
        if asked.kind == "region":
            return await scope.invalidate_region(asked.name)
        return await scope.invalidate_all()


def _tags(asked: Invalidation) -> list[str]:
    tags = [tag for tag in asked.tags if tag]
    if not tags:
        raise ConfigurationError("tags is empty: name at least one tag")
    return tags


def _view(name: str, by: str, asked: Invalidation, known: dict[str, Any], problem: str) -> ReceiptView:
    clean_s, started_s = known["clean_s"], known["started_s"]
    concerned = {*known["queued"], *(["cdn"] if known["paths"] else [])}
    return ReceiptView(
        id=name,
        by=by,
        asked=asked,
        started_s=started_s,
        keys=known["keys"],
        tags=known["tags"],
        paths=known["paths"],
        clean_after_s={tier: max(0.0, clean_s[tier] - started_s) for tier in TIERS if tier in clean_s},
        waiting=[tier for tier in TIERS if tier in concerned and tier not in clean_s],
        problem=problem,
    )
