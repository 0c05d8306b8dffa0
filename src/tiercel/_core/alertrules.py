"""
Alert rules: which figure of the cache, on which side of which threshold, for how long, is worth waking somebody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tiercel.options import require

__all__ = ["DEFAULT_RULES", "METRICS", "AlertMetric", "AlertRule", "Metric", "Severity"]

Severity: TypeAlias = Literal["info", "warning", "critical"]
Metric: TypeAlias = Literal[
    "hit_rate",
    "error_rate",
    "latency_p99",
    "memory_used",
    "journal_lag",
    "journal_depth",
    "dead_letters",
    "backplane_lag",
    "backplane_gaps",
    "breaker_open",
    "purge_budget_used",
    "inconsistency",
    "changes_lag",
    "changes_retained",
]

_RULE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class AlertMetric:
    """
    A figure that rules may watch.

    Args:
        unit: Of the threshold.
        is_windowed: Taken over the rule's window; else the state at the moment.
        has_regions: Known for each region; else only for the whole cache.
        meaning: What it is.
    """

    unit: str
    is_windowed: bool
    has_regions: bool
    meaning: str


METRICS: Final[dict[str, AlertMetric]] = {
    "hit_rate": AlertMetric("ratio", True, True, "reads answered from any tier, of all reads"),
    "error_rate": AlertMetric("ratio", True, True, "failed round trips to a tier and failed loads, per read"),
    "latency_p99": AlertMetric("seconds", True, True, "99th percentile of a round trip to the shared tier"),
    "memory_used": AlertMetric("ratio", False, True, "local memory held, of its bound"),
    "journal_lag": AlertMetric("seconds", False, True, "age of the oldest acknowledged write that is not in its store"),
    "journal_depth": AlertMetric("rows", False, True, "acknowledged writes that are not in their store"),
    "dead_letters": AlertMetric("rows", False, True, "writes that their store refused for good"),
    "backplane_lag": AlertMetric("seconds", False, False, "time since the quietest backplane stream last answered"),
    "backplane_gaps": AlertMetric("count", True, False, "times that messages were missed and local copies suspected"),
    "breaker_open": AlertMetric("count", False, False, "circuit breakers that are open or half-open"),
    "purge_budget_used": AlertMetric("ratio", False, False, "CDN purge budget used, of what the plan allows"),
    "inconsistency": AlertMetric("ratio", False, False, "sampled copies that differ from their store"),
    "changes_lag": AlertMetric("seconds", False, False, "age of the newest change that is known to have fallen"),
    "changes_retained": AlertMetric("bytes", False, False, "log that a database keeps until its changes are read"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """
    One alert.

    Args:
        name: Unique; letters, digits and underscores, so that it is also a Prometheus alert name.
        metric: The figure watched; see `METRICS`.
        above, below: The threshold; exactly one of the two.
        clear: A firing alert ends only past this value (hysteresis); None for the threshold itself.
        for_s: How long the threshold must be crossed before the alert fires.
        window_s: Span over which a windowed figure is taken.
        region: A region's name; ``"*"`` for each region by itself; empty for the whole cache.
        min_requests: Fewer reads in the window than this say nothing about a rate or a percentile.
        severity: ``info``, ``warning`` or ``critical``.
        summary: What to do, in one line.
        enabled: False to keep the rule and not watch it.
    """

    name: str
    metric: Metric
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    for_s: float = 60.0
    window_s: float = 300.0
    region: str = ""
    min_requests: int = 100
    severity: Severity = "warning"
    summary: str = ""
    enabled: bool = True

    def __post_init__(self) -> None:
        where = f"alert {self.name!r}: "
        require(_RULE_NAME.fullmatch(self.name) is not None, f"{where}name must match {_RULE_NAME.pattern}")
        require(self.metric in METRICS, f"{where}metric={self.metric!r}: allowed are {', '.join(METRICS)}")
        require(
            (self.above is None) != (self.below is None),
            f"{where}above={self.above} and below={self.below}: set exactly one of the two",
        )
        require(self.for_s >= 0, f"{where}for={self.for_s}: must not be negative")
        require(self.window_s > 0, f"{where}window={self.window_s}: must be greater than 0")
        require(self.min_requests >= 0, f"{where}min_requests={self.min_requests}: must not be negative")
        require(
            not self.region or METRICS[self.metric].has_regions,
            f"{where}region={self.region!r}: metric={self.metric!r} is known only for the whole cache, drop region",
        )
        require(
            self.above is None or self.clear is None or self.clear <= self.above,
            f"{where}clear={self.clear} must not exceed above={self.above}",
        )
        require(
            self.below is None or self.clear is None or self.clear >= self.below,
            f"{where}clear={self.clear} must not lie under below={self.below}",
        )

    @property
    def threshold(self) -> float:
        """The value that must be crossed."""
        return self.above if self.above is not None else self.below or 0.0

    def is_crossed(self, value: float) -> bool:
        """Say whether *value* is on the bad side of the threshold; equality is good."""
        return value > self.threshold if self.above is not None else value < self.threshold

    def is_cleared(self, value: float) -> bool:
        """Say whether a firing alert may end at *value*; equality with *clear* ends it."""
        clear = self.threshold if self.clear is None else self.clear
        return value <= clear if self.above is not None else value >= clear


DEFAULT_RULES: Final[tuple[AlertRule, ...]] = (
    AlertRule(
        name="LowHitRate",
        metric="hit_rate",
        below=0.5,
        clear=0.6,
        for_s=600,
        summary="More than half of the reads miss: look for short ttls, evictions, or a wave of invalidations",
    ),
    AlertRule(
        name="HighErrorRate",
        metric="error_rate",
        above=0.01,
        clear=0.005,
        for_s=120,
        severity="critical",
        summary="Tiers or loads fail: see which in tiercel report, and whether a breaker is open",
    ),
    AlertRule(
        name="SlowSharedTier",
        metric="latency_p99",
        above=0.05,
        clear=0.03,
        for_s=300,
        summary="Redis answers slowly: look at its slow log, its load, and the network between",
    ),
    AlertRule(
        name="LocalMemoryHigh",
        metric="memory_used",
        above=0.98,
        clear=0.95,
        for_s=3600,
        region="*",
        severity="info",
        summary="The local copies are at their bound: compare hit rate and evictions before raising it",
    ),
    AlertRule(
        name="JournalLag",
        metric="journal_lag",
        above=60,
        clear=10,
        for_s=60,
        region="*",
        severity="critical",
        summary="Acknowledged writes wait for their store: see tiercel journal and the store itself",
    ),
    AlertRule(
        name="DeadLetters",
        metric="dead_letters",
        above=0,
        for_s=0,
        region="*",
        summary="A store refused writes for good: read their reasons, then retry or drop them",
    ),
    AlertRule(
        name="BackplaneGap",
        metric="backplane_gaps",
        above=0,
        for_s=0,
        summary="Messages were missed; local copies are checked anew. If it repeats: look at Redis and the stream",
    ),
    AlertRule(
        name="BackplaneLag",
        metric="backplane_lag",
        above=3,
        clear=2,
        for_s=30,
        summary="The backplane is silent: local copies may be stale up to max_staleness",
    ),
    AlertRule(
        name="BreakerOpen",
        metric="breaker_open",
        above=0,
        for_s=30,
        severity="critical",
        summary="A Redis node is not asked any more: reads go to the store within its fill budget",
    ),
    AlertRule(
        name="PurgeBudget",
        metric="purge_budget_used",
        above=0.8,
        clear=0.7,
        for_s=0,
        summary="Most of the CDN's purge budget is used: purge by tag instead of by path, or raise the plan",
    ),
    AlertRule(
        name="Inconsistency",
        metric="inconsistency",
        above=0.0001,
        for_s=0,
        severity="critical",
        summary="Copies differ from their store: run tiercel audit",
    ),
    AlertRule(
        name="ChangesLag",
        metric="changes_lag",
        above=30,
        clear=5,
        for_s=30,
        severity="critical",
        summary="Changes of a watched database do not fall: see what tiercel worker --cdc says, and the database",
    ),
    AlertRule(
        name="ChangesRetained",
        metric="changes_retained",
        above=2 * 1024**3,
        clear=1024**3,
        for_s=60,
        summary="A replication slot keeps much log: read it or drop it before the database's disk is full",
    ),
)
"""What `Matrix.defaults` watches; a rule of the same name in a file replaces it."""
