"""
Alert rules as a Prometheus rule file: the same names, thresholds, durations and hysteresis, in PromQL.

Hysteresis is written with the series ``ALERTS``, which Prometheus keeps for every alert: past the threshold, *or* past
the clearing value while the alert is firing. ``promtool test rules`` shows that both sides agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from tiercel._core.alertrules import METRICS, AlertRule
from tiercel._core.durations import format_duration

__all__ = ["prometheus_rules"]


def prometheus_rules(rules: Iterable[AlertRule], *, interval_s: float = 15.0) -> str:
    """Return a rule file, as YAML, for the *rules* that are enabled; *interval_s* is how often they are evaluated."""
    lines = ["groups:", "  - name: tiercel", f"    interval: {format_duration(interval_s)}", "    rules:"]
    for rule in rules:
        if rule.enabled:
            lines += _rule(rule)
    return "\n".join(lines) + "\n"


def _rule(rule: AlertRule) -> Iterator[str]:
    yield f"      - alert: {rule.name}"
    yield f"        expr: {json.dumps(expression(rule))}"
    yield f"        for: {_prometheus_duration(rule.for_s)}"
    yield "        labels:"
    yield f"          severity: {rule.severity}"
    if rule.region not in {"", "*"}:
        yield f"          region: {json.dumps(rule.region)}"
    yield "        annotations:"
    yield f"          summary: {json.dumps(_escaped(rule.summary or METRICS[rule.metric].meaning))}"
    yield f'          description: "{rule.metric} is {{{{ $value }}}} ({METRICS[rule.metric].unit})"'


def expression(rule: AlertRule) -> str:
    """Return the PromQL expression that is non-empty where the alert holds."""
    figure, enough = _figure(rule), _enough(rule)
    side = ">" if rule.above is not None else "<"

    def past(value: float) -> str:
        return f"({figure}) {side} {value!r}" + (f" and {enough}" if enough else "")

    if rule.clear is None or rule.clear == rule.threshold:
        return past(rule.threshold)
    by = "region" if rule.region == "*" else ""
    firing = f'ALERTS{{alertname="{rule.name}", alertstate="firing"}}'
    return f"({past(rule.threshold)}) or ({past(rule.clear)} and on({by}) {firing})"


def _figure(rule: AlertRule) -> str:
    """Return the PromQL of the watched figure; see `tiercel.observe.alertfigures` for its twin."""
    by = " by (region)" if rule.region == "*" else ""
    window = _prometheus_duration(rule.window_s)
    reads = _increase("tiercel_reads_total", rule, window)
    match rule.metric:
        case "hit_rate":
            hits = _increase("tiercel_reads_total", rule, window, 'outcome="hit"')
            return f"sum{by} ({hits}) / sum{by} ({reads})"
        case "error_rate":
            return f"sum{by} ({_increase('tiercel_errors_total', rule, window)}) / sum{by} ({reads})"
        case "latency_p99":
            buckets = _increase("tiercel_tier_response_seconds_bucket", rule, window, 'tier="redis"')
            grouping = "le, region" if by else "le"
            return f"histogram_quantile(0.99, sum by ({grouping}) ({buckets}))"
        case "backplane_gaps":
            return f"sum (increase(tiercel_backplane_gaps_total[{window}]))"
        case metric:
            combine, series = _STATES[metric]
            return f"{combine}{by} ({series}{_selector(rule)})"


_STATES: Final = {
    "memory_used": ("max", "tiercel_local_used_ratio"),
    "journal_lag": ("max", "tiercel_journal_lag_seconds"),
    "journal_depth": ("sum", "tiercel_journal_pending"),
    "dead_letters": ("sum", "tiercel_journal_dead_letters"),
    "backplane_lag": ("max", "tiercel_backplane_lag_seconds"),
    "breaker_open": ("sum", "tiercel_breaker_open"),
    "purge_budget_used": ("max", "tiercel_purge_budget_used_ratio"),
    "inconsistency": ("max", "tiercel_inconsistency_ratio"),
    "changes_lag": ("max", "tiercel_changes_lag_seconds"),
    "changes_retained": ("max", "tiercel_changes_retained_bytes"),
}


def _enough(rule: AlertRule) -> str:
    """Return the condition that the window has enough reads to say anything, empty where none is needed."""
    by = " by (region)" if rule.region == "*" else ""
    window = _prometheus_duration(rule.window_s)
    if rule.metric in {"hit_rate", "error_rate"}:
        return f"sum{by} ({_increase('tiercel_reads_total', rule, window)}) >= {rule.min_requests}"
    if rule.metric == "latency_p99":
        count = _increase("tiercel_tier_response_seconds_count", rule, window, 'tier="redis"')
        return f"sum{by} ({count}) >= {rule.min_requests}"
    return ""


def _increase(series: str, rule: AlertRule, window: str, matcher: str = "") -> str:
    return f"increase({series}{_selector(rule, matcher)}[{window}])"


def _selector(rule: AlertRule, matcher: str = "") -> str:
    region = f"region={json.dumps(rule.region)}" if rule.region not in {"", "*"} else ""
    matchers = ", ".join(part for part in (matcher, region) if part)
    return f"{{{matchers}}}" if matchers else ""


def _prometheus_duration(seconds: float) -> str:
    """Return a duration as Prometheus reads it, whole milliseconds."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _escaped(text: str) -> str:
    """Return *text* so that Prometheus's templates take it literally."""
    return text.replace("{{", '{{ "{{" }}')
