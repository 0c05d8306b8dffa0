"""
Alert rules: which figure of the cache, on which side of which threshold, for how long, is worth waking somebody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tiercel.options import require

__all__ = ["METRICS", "AlertMetric", "AlertRule", "Metric", "Severity"]

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
]

_RULE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class AlertMetric:
    """A figure that rules may watch: its unit, whether it is taken over a window, and what it is."""

    unit: str
    is_windowed: bool
    meaning: str


METRICS: Final[dict[str, AlertMetric]] = {
    "hit_rate": AlertMetric("ratio", True, "reads answered from any tier, of all reads"),
    "error_rate": AlertMetric("ratio", True, "reads at which a tier or a load failed, of all reads"),
    "latency_p99": AlertMetric("seconds", True, "99th percentile of a round trip to the shared tier"),
    "memory_used": AlertMetric("ratio", False, "local memory held, of its bound"),
    "journal_lag": AlertMetric("seconds", False, "age of the oldest acknowledged write that is not in its store"),
    "journal_depth": AlertMetric("rows", False, "acknowledged writes that are not in their store"),
    "dead_letters": AlertMetric("rows", False, "writes that their store refused for good"),
    "backplane_lag": AlertMetric("seconds", False, "age of the last backplane message when it was handled"),
    "backplane_gaps": AlertMetric("count", True, "times that messages were missed and local copies became suspect"),
    "breaker_open": AlertMetric("count", False, "circuit breakers that are open"),
    "purge_budget_used": AlertMetric("ratio", False, "CDN purge budget used, of what the plan allows"),
    "inconsistency": AlertMetric("ratio", False, "sampled copies that differ from their store"),
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
        min_requests: Fewer reads in the window than this say nothing about a rate.
        severity: ``info``, ``warning`` or ``critical``.
        summary: What to do, in one line.
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
