"""
The Grafana dashboard: panels over the exported metrics, as the JSON that Grafana imports.

One data source variable, one variable for the region; every expression uses metrics of the catalogue and nothing else,
which a test checks with a real Prometheus.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["dashboard"]

SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
PANEL_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_SPAN: Final = "$__rate_interval"


class Panel(NamedTuple):
    """One graph: its title, the unit of its axis, and expressions with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(series: str, by: str = "region") -> str:
    return f"sum by ({by}) (rate({series}[{_SPAN}]))"


_HITS: Final = _rate('tiercel_reads_total{region=~"$region", outcome="hit"}')
_LOADS: Final = _rate('tiercel_loads_total{region=~"$region"}')
_READS: Final = _rate('tiercel_reads_total{region=~"$region"}')


def _quantile(share: float, series: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(series, f'le, {by}')})"


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Reads",
        (
            Panel("Hit rate", "percentunit", ((f"{_HITS} / {_READS}", "{{region}}"),)),
            Panel("Reads", "reqps", ((_READS, "{{region}}"),)),
            Panel(
                "Database load saved",
                "percentunit",
                ((f"1 - {_LOADS} / {_READS}", "{{region}}"),),
            ),
            Panel("Errors", "ops", ((_rate('tiercel_errors_total{region=~"$region"}'), "{{region}}"),)),
        ),
    ),
    (
        "Response time",
        (
            Panel(
                "Shared tier, p50 and p99",
                "s",
                (
                    (_quantile(0.5, 'tiercel_tier_response_seconds_bucket{region=~"$region"}', "tier"), "p50 {{tier}}"),
                    (
                        _quantile(0.99, 'tiercel_tier_response_seconds_bucket{region=~"$region"}', "tier"),
                        "p99 {{tier}}",
                    ),
                ),
            ),
            Panel(
                "Loads, p99",
                "s",
                ((_quantile(0.99, 'tiercel_load_seconds_bucket{region=~"$region"}', "region"), "{{region}}"),),
            ),
            Panel(
                "Writes, p99",
                "s",
                ((_quantile(0.99, 'tiercel_write_seconds_bucket{region=~"$region"}', "region"), "{{region}}"),),
            ),
        ),
    ),
    (
        "Memory and journal",
        (
            Panel(
                "Local memory", "bytes", (('sum by (region) (tiercel_local_bytes{region=~"$region"})', "{{region}}"),)
            ),
            Panel(
                "Evictions",
                "ops",
                ((_rate('tiercel_tier_operations_total{region=~"$region", operation="eviction"}'), "{{region}}"),),
            ),
            Panel(
                "Journal lag",
                "s",
                (('max by (region) (tiercel_journal_lag_seconds{region=~"$region"})', "{{region}}"),),
            ),
            Panel(
                "Journal waiting and dead letters",
                "short",
                (
                    ('sum by (region) (tiercel_journal_pending{region=~"$region"})', "waiting {{region}}"),
                    ('sum by (region) (tiercel_journal_dead_letters{region=~"$region"})', "dead {{region}}"),
                ),
            ),
        ),
    ),
    (
        "Invalidation",
        (
            Panel("Invalidations", "ops", ((_rate('tiercel_invalidations_total{region=~"$region"}'), "{{region}}"),)),
            Panel("Backplane lag", "s", (("max(tiercel_backplane_lag_seconds)", "lag"),)),
            Panel("Backplane gaps", "short", (("sum(increase(tiercel_backplane_gaps_total[5m]))", "gaps"),)),
            Panel("Purge budget used", "percentunit", (("max(tiercel_purge_budget_used_ratio)", "used"),)),
        ),
    ),
    (
        "Servers and tenants",
        (
            Panel("Breakers open", "short", (("sum by (node) (tiercel_breaker_open)", "{{node}}"),)),
            Panel("Connections", "short", (("sum by (node) (tiercel_connections)", "{{node}}"),)),
            Panel(
                "Heaviest tenants",
                "reqps",
                ((f"topk(10, {_rate('tiercel_tenant_reads_total', 'tenant')})", "{{tenant}}"),),
            ),
            Panel("Rare events", "ops", ((_rate("tiercel_events_total", "event"), "{{event}}"),)),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard as the object that Grafana's import reads."""
    return {
        "title": "Tiercel",
        "uid": "tiercel-overview",
        "tags": ["cache", "tiercel"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "templating": {"list": [_source_variable(), _region_variable()]},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "collapsed": False, "panels": []}
        )
        width = COLUMNS // len(row)
        for number, panel in enumerate(row):
            place = {"x": number * width, "y": top + 1, "w": width, "h": PANEL_HEIGHT}
            panels.append(_graph(len(panels) + 1, panel, place))
        top += 1 + PANEL_HEIGHT
    return panels


def _graph(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + position), "expr": expression, "legendFormat": legend, "datasource": _SOURCE}
        for position, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source", "hide": 0}


def _region_variable() -> dict[str, Any]:
    return {
        "name": "region",
        "type": "query",
        "label": "Data type",
        "datasource": _SOURCE,
        "query": "label_values(tiercel_reads_total, region)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
    }
