"""
Cautions about a matrix that is valid but probably not what was meant: one small check each, over regions and entities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tiercel._core.alertrules import AlertRule
from tiercel._core.durations import format_duration
from tiercel._core.matrixfile import near_miss, nearest
from tiercel.options import CacheOptions, EntityRule, RegionOptions

__all__ = ["Caution", "lint"]


@dataclass(frozen=True, slots=True)
class Caution:
    """
    Something allowed that deserves a look.

    Args:
        subject: What it is about, as in the file: ``regions.session``.
        message: What happens, and what to do.
    """

    subject: str
    message: str


def lint(
    regions: Mapping[str, RegionOptions],
    entities: Mapping[str, EntityRule],
    cache: CacheOptions,
    alerts: Sequence[AlertRule],
) -> list[Caution]:
    """Return every caution, the shared ones first, then in the order of the matrix."""
    cautions = list(_shared(regions, cache))
    for region in regions.values():
        messages = [*_freshness(region), *_writes(region), *_places(region, cache)]
        cautions += [Caution(f"regions.{region.name}", message) for message in messages]
    for rule in entities.values():
        cautions += [Caution(f"entities.{rule.name}", message) for message in _references(rule, regions, cache)]
    for alert in alerts:
        if alert.region not in {"", "*"} and alert.region not in regions:
            hint = nearest(alert.region, regions)
            cautions.append(
                Caution(f"alerts.{alert.name}", f"watches region {alert.region!r}, not in the matrix{hint}")
            )
    return cautions


def _freshness(region: RegionOptions) -> Iterator[str]:
    if "local" in region.tiers and "redis" in region.tiers and region.max_staleness_s > region.ttl_s:
        yield (
            f"max_staleness={format_duration(region.max_staleness_s)} exceeds ttl={format_duration(region.ttl_s)}: "
            "a copy expires before the bound can matter"
        )
    if region.negative_ttl_s > region.ttl_s:
        yield (
            f"negative_ttl={format_duration(region.negative_ttl_s)} exceeds ttl={format_duration(region.ttl_s)}: "
            '"no such record" is remembered longer than a record'
        )
    if "local" in region.tiers and region.consistency == "strong":
        yield "consistency='strong' with the local tier: each read asks Redis, local copies save only decoding"
    if "local" in region.tiers and region.name.startswith("session"):
        yield "tiers has local: other nodes see a logout only after the backplane's lag; use tiers=['redis']"


def _writes(region: RegionOptions) -> Iterator[str]:
    behind = region.strategy == "write-behind"
    if behind and region.name.startswith("session"):
        yield "strategy='write-behind' for sessions: a logout reaches the store late; use strategy='write-through'"
    if behind and region.store is None and region.journal is not None:
        yield "journal is set but store is not: derived data is written to its far tier without a journal"
    if behind and region.store is not None and region.journal is not None and region.journal.kind == "memory":
        yield "journal kind='memory' in front of a store: acknowledged writes are lost when the process ends"
    if region.early_refresh_beta and not region.grace_s:
        yield "early_refresh_beta is set but grace is 0: a refresh that comes too late leaves readers waiting"
    if region.soft_timeout_s is not None and not (region.grace_s or region.keep_s):
        yield "soft_timeout is set but grace and keep are 0: there is never a stale copy to fall back to"


def _places(region: RegionOptions, cache: CacheOptions) -> Iterator[str]:
    if "cdn" in region.tiers and cache.cdn is None:
        yield "tiers has cdn but [cache] has no cdn url: responses get headers only, nothing is published or purged"
    if region.store is not None and "://" not in region.store:
        name = region.store.partition("#")[0]
        if name not in cache.stores:
            yield f"store={region.store!r} names {name!r}, which [cache.stores] does not have: it must be given in code"


def _shared(regions: Mapping[str, RegionOptions], cache: CacheOptions) -> Iterator[Caution]:
    """A missing Redis concerns most regions alike, so it is said once."""
    if cache.gutter is not None and cache.redis is None:
        yield Caution("cache", "gutter is set but redis is not: there is no shared tier whose place it could take")
    users = [region.name for region in regions.values() if "redis" in region.tiers]
    if users and cache.redis is None:
        message = f'no redis url, but {", ".join(users)} have the tier redis: give it in code, or redis = "redis://…"'
        yield Caution("cache", message)


def _references(rule: EntityRule, regions: Mapping[str, RegionOptions], cache: CacheOptions) -> Iterator[str]:
    for reference in rule.regions:
        region, separator, _ = reference.partition(":")
        if not separator:
            yield f"{reference!r} has no key after a colon: it falls as the tag {reference!r}"
        elif region not in regions:
            hint = near_miss(region, regions, 0.8)
            yield f"{reference!r}: no region {region!r} in the matrix, so it falls as the tag {reference!r}{hint}"
    if rule.paths and cache.cdn is None:
        yield "paths are purged at the CDN, but [cache] has no cdn url"
    if not (rule.regions or rule.tags or rule.paths):
        yield "nothing falls with this entity: name regions, tags or paths"
