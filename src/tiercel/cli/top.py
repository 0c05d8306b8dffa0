"""
``tiercel top``: the figures of the last moments, live, per data type.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tiercel._core.durations import format_size
from tiercel.cli._output import json_option
from tiercel.cli._reports import DEFAULT_SERVICE, read_report
from tiercel.observe.report import RegionReport, Report
from tiercel.observe.reporttable import milliseconds, percent

__all__ = ["command"]


@click.command("top")
@click.argument("service", default=DEFAULT_SERVICE)
@click.option("--interval", "interval_s", default=2.0, show_default=True, help="Seconds between looks.")
@click.option("--count", type=click.IntRange(min=1), help="End after this many looks.")
@json_option
def command(service: str, interval_s: float, count: int | None, as_json: bool) -> None:
    """Show what the SERVICE at this URL does, until interrupted; --json prints one object a look."""
    changes = _changes(service, interval_s, count)
    if as_json:
        for earlier, now in changes:
            click.echo(json.dumps(_as_json(earlier, now)))
        return
    with Live(console=Console(file=sys.stdout), auto_refresh=False) as live:
        for earlier, now in changes:
            live.update(_table(earlier, now), refresh=True)


def _changes(service: str, interval_s: float, count: int | None) -> Iterator[tuple[Report, Report]]:
    """Yield the report before and the report now, every *interval_s*."""
    earlier, looks = read_report(service), 0
    while count is None or looks < count:
        time.sleep(interval_s)
        now = read_report(service)
        yield earlier, now
        earlier, looks = now, looks + 1


def _rates(earlier: RegionReport | None, now: RegionReport, span_s: float) -> dict[str, float]:
    """Return what happened between two reports of a region; a restart between them counts from zero."""
    if earlier is None or earlier.requests > now.requests:
        requests, hits, loads = now.requests, now.hits, now.loads
    else:
        requests, hits, loads = now.requests - earlier.requests, now.hits - earlier.hits, now.loads - earlier.loads
    return {
        "requests_per_s": requests / span_s,
        "hit_rate": hits / requests if requests else 0.0,
        "loads_per_s": loads / span_s,
    }


def _as_json(earlier: Report, now: Report) -> dict[str, object]:
    span_s = max(now.at_s - earlier.at_s, 1e-9)
    regions = {name: _rates(earlier.regions.get(name), region, span_s) for name, region in now.regions.items()}
    return {"at_s": now.at_s, "span_s": span_s, "regions": regions}


def _table(earlier: Report, now: Report) -> Table:
    span_s = max(now.at_s - earlier.at_s, 1e-9)
    overall = now.overall
    state = f"{overall.connections} connections, journal {overall.journal_pending:,}"
    table = Table(title=f"{state}, memory {format_size(overall.memory_bytes)}", title_justify="left")
    table.add_column("data type")
    for heading in ("reads/s", "hit rate", "loads/s", "redis p99", "load p99", "memory", "journal"):
        table.add_column(heading, justify="right")
    for name, region in now.regions.items():
        rates = _rates(earlier.regions.get(name), region, span_s)
        redis = region.tiers.get("redis")
        table.add_row(
            name,
            f"{rates['requests_per_s']:,.0f}",
            percent(rates["hit_rate"]),
            f"{rates['loads_per_s']:,.1f}",
            milliseconds(redis.response.p99_s) if redis else "-",
            milliseconds(region.load.p99_s),
            format_size(region.memory_bytes),
            f"{region.journal.pending:,}" if region.journal else "-",
        )
    return table
