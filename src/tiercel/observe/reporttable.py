"""
The report as text: one table of data types, one of tiers, and the lines that matter overall.
"""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiercel._core.durations import format_duration, format_size
from tiercel.observe.report import Latency, RegionReport, Report

__all__ = ["render_report", "report_text"]


def render_report(report: Report) -> RenderableType:
    """Return the report for a rich console."""
    parts: list[RenderableType] = [_overall(report), _regions(report), _tiers(report)]
    if report.connections:
        parts.append(_connections(report))
    if any(region.journal for region in report.regions.values()):
        parts.append(_journals(report))
    if report.hot_keys:
        parts.append(_hot_keys(report))
    return Group(*parts)


def report_text(report: Report, *, width: int = 120) -> str:
    """Return the report as plain text of at most *width* columns."""
    console = Console(width=width, no_color=True, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(render_report(report))
    return capture.get()


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{share * 100:.1f} %"


def milliseconds(seconds: float) -> str:
    """Return a response time in the unit that suits it; a dash where nothing was measured."""
    if seconds == 0:
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} µs"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _overall(report: Report) -> Text:
    overall = report.overall
    reads = (
        f"{overall.requests:,} reads in {format_duration(round(report.span_s, 1))} ({overall.requests_per_s:,.0f}/s), "
        f"hit rate {percent(overall.hit_rate)}, database load saved {percent(overall.database_load_saved)}, "
        f"errors {percent(overall.error_rate)}"
    )
    state = (
        f"{overall.loads:,} loads, {overall.invalidations:,} invalidations, local memory "
        f"{format_size(overall.memory_bytes)}, {overall.connections} connections, journal "
        f"{overall.journal_pending:,} waiting ({format_duration(round(overall.journal_lag_s, 3))}), "
        f"{overall.dead_letters:,} dead letters"
    )
    return Text(f"{reads}\n{state}")


def _regions(report: Report) -> Table:
    table = Table(title="Data types", title_justify="left")
    table.add_column("data type")
    for heading in (
        "reads",
        "hit rate",
        "by tier",
        "loads",
        "saved",
        "stale",
        "joined",
        "invalid.",
        "errors",
        "memory",
    ):
        table.add_column(heading, justify="right")
    for name, region in report.regions.items():
        table.add_row(
            name,
            f"{region.requests:,}",
            percent(region.hit_rate),
            _by_tier(region),
            f"{region.loads:,}",
            percent(region.database_load_saved),
            f"{region.stale_served:,}",
            f"{region.flights_joined:,}",
            f"{region.invalidations:,}",
            percent(region.error_rate),
            format_size(region.memory_bytes),
        )
    return table


def _by_tier(region: RegionReport) -> str:
    """Return each tier's part of all reads, so that the parts add up to the hit rate."""
    if not region.requests:
        return ""
    shares = ((name, (tier.hits + tier.stale_hits) / region.requests) for name, tier in region.tiers.items())
    return " ".join(f"{name} {share * 100:.0f}" for name, share in shares if share)


def _tiers(report: Report) -> Table:
    table = Table(title="Response time", title_justify="left")
    table.add_column("tier")
    for heading in ("calls", "mean", "p50", "p99", "max"):
        table.add_column(heading, justify="right")
    for name, latency in report.overall.response.items():
        if latency.count:
            table.add_row(name, *_latency_cells(latency))
    return table


def _latency_cells(latency: Latency) -> tuple[str, ...]:
    times = (latency.mean_s, latency.p50_s, latency.p99_s, latency.max_s)
    return (f"{latency.count:,}", *(milliseconds(seconds) for seconds in times))


def _connections(report: Report) -> Table:
    table = Table(title="Connections", title_justify="left")
    for heading in ("link", "node", "role", "state", "breaker"):
        table.add_column(heading)
    for heading in ("open", "in flight", "reconnects", "errors", "reply"):
        table.add_column(heading, justify="right")
    for link, nodes in report.connections.items():
        for name, node in nodes.items():
            state = "connected" if node.is_connected else f"down: {node.last_error}"
            figures = (node.connections, node.in_flight, node.reconnects, node.errors)
            cells = [f"{figure:,}" for figure in figures]
            table.add_row(link, name, node.role, state, node.breaker, *cells, milliseconds(node.latency_s))
    return table


def _hot_keys(report: Report) -> Table:
    table = Table(title="Hot keys", title_justify="left")
    for heading in ("data type", "tenant and key"):
        table.add_column(heading)
    table.add_column("reads in 10 s beyond the process", justify="right")
    for region, keys in report.hot_keys.items():
        for name, reads in keys.items():
            table.add_row(region, name, f"{reads:,}")
    return table


def _journals(report: Report) -> Table:
    table = Table(title="Journals", title_justify="left")
    table.add_column("data type")
    for heading in ("waiting", "bytes", "lag", "flushed", "coalesced", "retried", "dead"):
        table.add_column(heading, justify="right")
    table.add_column("last error")
    for name, region in report.regions.items():
        journal = region.journal
        if journal is not None:
            counts = (journal.flushed, journal.coalesced, journal.retried, journal.dead_letters)
            table.add_row(
                name,
                f"{journal.pending:,}",
                format_size(journal.pending_bytes),
                format_duration(round(journal.lag_s, 3)),
                *(f"{count:,}" for count in counts),
                journal.last_error or "",
            )
    return table
