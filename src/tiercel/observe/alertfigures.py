"""
The figures that alert rules watch, computed from snapshots exactly as the exported Prometheus rules compute them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from tiercel._core.alertrules import METRICS, AlertRule
from tiercel._core.histogram import Histogram
from tiercel.observe.families import BOUND_EXPONENTS, backplane_gaps
from tiercel.observe.snapshot import RegionFigures, Snapshot

__all__ = ["figures_of", "interpolated_quantile"]

SHARED_TIER: Final = "redis"


def figures_of(rule: AlertRule, now: Snapshot, window: Snapshot) -> dict[str, float | None]:
    """
    Return the rule's figure by region; the key is empty for the whole cache.

    Args:
        rule: Says which figure, and for which regions.
        now: The figures of this moment.
        window: The difference to the snapshot that is ``rule.window_s`` older.
    """
    source = window if METRICS[rule.metric].is_windowed else now
    if not METRICS[rule.metric].has_regions:
        return {"": _CACHE_FIGURES[rule.metric](source)}
    figure = _REGION_FIGURES[rule.metric]
    known = source.journals if rule.metric in _OF_JOURNALS else source.regions
    if rule.region == "*":
        return {name: figure(rule, source, [name]) for name in known}
    names = [name for name in known if rule.region in {"", name}]
    return {rule.region: figure(rule, source, names)}


def interpolated_quantile(share: float, bounds: Iterable[tuple[float, int]], count: int) -> float | None:
    """
    Return a quantile from cumulative buckets, as PromQL's ``histogram_quantile`` does.

    Inside a bucket the observations are taken as evenly spread; beyond the last bound its value is returned.

    Args:
        share: Which quantile, 0 to 1.
        bounds: Upper bound and number of observations up to it, ascending.
        count: All observations.
    """
    if count == 0:
        return None
    rank, low, below, bound = share * count, 0.0, 0, 0.0
    for bound, up_to in bounds:
        if up_to >= rank:
            return low + (bound - low) * (rank - below) / (up_to - below) if up_to > below else bound
        low, below = bound, up_to
    return bound


RegionFigure: TypeAlias = Callable[[AlertRule, Snapshot, Sequence[str]], float | None]


def _per_read(count: Callable[[RegionFigures], int]) -> RegionFigure:
    def share(rule: AlertRule, source: Snapshot, names: Sequence[str]) -> float | None:
        regions = [source.regions[name] for name in names]
        requests = sum(region.requests for region in regions)
        if not requests or requests < rule.min_requests:
            return None
        return sum(map(count, regions)) / requests

    return share


def _latency_p99(rule: AlertRule, source: Snapshot, names: Sequence[str]) -> float | None:
    total = Histogram()
    for name in names:
        tiers = source.regions[name].tiers
        if SHARED_TIER in tiers:
            total.merge(tiers[SHARED_TIER].latency)
    count = total.count
    if count < rule.min_requests:
        return None
    return interpolated_quantile(0.99, total.cumulative(BOUND_EXPONENTS), count)


def _memory_used(_: AlertRule, source: Snapshot, names: Sequence[str]) -> float | None:
    tiers = [source.regions[name].tiers for name in names]
    return max((region["local"].bound_share for region in tiers if "local" in region), default=None)


def _of_journals(field: str, combine: Callable[[list[float]], float]) -> RegionFigure:
    def combined(_: AlertRule, source: Snapshot, names: Sequence[str]) -> float | None:
        values = [getattr(source.journals[name], field) for name in names]
        return combine(values) if values else None

    return combined


def _breakers(source: Snapshot) -> float | None:
    nodes = [node for link in source.links.values() for node in link.nodes.values()]
    return sum(node.breaker != "closed" for node in nodes) if nodes else None


def _gauge(name: str) -> Callable[[Snapshot], float | None]:
    return lambda source: source.gauges.get(name)


_REGION_FIGURES: Final[dict[str, RegionFigure]] = {
    "hit_rate": _per_read(lambda region: region.hits),
    "error_rate": _per_read(lambda region: region.errors),
    "latency_p99": _latency_p99,
    "memory_used": _memory_used,
    "journal_lag": _of_journals("oldest_age_s", max),
    "journal_depth": _of_journals("depth", sum),
    "dead_letters": _of_journals("dead", sum),
}
_OF_JOURNALS: Final = frozenset({"journal_lag", "journal_depth", "dead_letters"})
_CACHE_FIGURES: Final[dict[str, Callable[[Snapshot], float | None]]] = {
    "backplane_lag": _gauge("backplane_lag"),
    "backplane_gaps": backplane_gaps,
    "breaker_open": _breakers,
    "purge_budget_used": _gauge("purge_budget_used"),
    "inconsistency": _gauge("inconsistency"),
    "changes_lag": _gauge("changes_lag"),
    "changes_retained": _gauge("changes_retained"),
}
