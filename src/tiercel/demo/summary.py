"""
The summary: what came of a drive, as one object for ``--json`` and as tables for people.
"""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiercel.demo.drive import Drive
from tiercel.demo.servers import Ground
from tiercel.observe.report import Latency, RegionReport, Report

DATA_TYPES = ("session", "profile", "product", "search", "static", "api", "query", "analytics")
TIERS = ("local", "redis", "memory", "cdn")


def summarize(report: Report, drive: Drive, found: Ground, check: dict[str, int]) -> dict[str, Any]:
    """Return the figures, ready for JSON; ``data_types`` names every data type of the matrix."""
    pages = sum(drive.pages.values())
    return {
        "seconds": round(drive.seconds, 2),
        "pages": pages,
        "pages_per_second": round(pages / drive.seconds, 1) if drive.seconds else 0.0,
        "failed_pages": sum(drive.failed.values()),
        "failures": dict(drive.failed.most_common(5)),
        "served_by": found.parts,
        "hit_rate": round(report.overall.hit_rate, 4),
        "database_load_saved": round(report.overall.database_load_saved, 4),
        "invalidations": report.overall.invalidations,
        "prices_edited": drive.edited,
        "products_fed": drive.fed,
        "journal_pending": report.overall.journal_pending,
        "journal_lag_s": round(report.overall.journal_lag_s, 3),
        "dead_letters": report.overall.dead_letters,
        "consistency": check,
        "page_latency_ms": {kind: _latency(Latency.of(each)) for kind, each in sorted(drive.latency.items())},
        "response_ms": {tier: _latency(each) for tier, each in report.overall.response.items() if each.count},
        "data_types": {name: _data_type(report.regions[name]) for name in DATA_TYPES if name in report.regions},
    }


def _latency(latency: Latency) -> dict[str, float]:
    return {
        "count": latency.count,
        "p50": round(latency.p50_s * 1000, 4),
        "p99": round(latency.p99_s * 1000, 4),
    }


def _data_type(region: RegionReport) -> dict[str, Any]:
    return {
        "requests": region.requests,
        "hits": region.hits,
        "misses": region.misses,
        "hit_rate": round(region.hit_rate, 4),
        "tiers": {name: {"hits": t.hits, "hit_rate": round(t.hit_rate, 4)} for name, t in region.tiers.items()},
        "loads": region.loads,
        "store_reads": region.store_reads,
        "store_writes": region.store_writes,
        "database_load_saved": round(region.database_load_saved, 4),
        "invalidations": region.invalidations,
        "memory_bytes": region.memory_bytes,
        "write_ms": _latency(region.write),
        "journal": None
        if region.journal is None
        else {"pending": region.journal.pending, "lag_s": region.journal.lag_s},
    }


def render(figures: dict[str, Any]) -> RenderableType:
    """Return the figures as tables."""
    return Group(_headline(figures), _data_types(figures), _pages(figures), _verdict(figures))


def _headline(figures: dict[str, Any]) -> RenderableType:
    served = ", ".join(f"{part} on {place}" for part, place in figures["served_by"].items())
    return Text(
        f"{figures['pages']:,} pages in {figures['seconds']:.1f} s ({figures['pages_per_second']:,.0f} a second), "
        f"hit rate {_percent(figures['hit_rate'])}, database load saved {_percent(figures['database_load_saved'])}\n"
        f"{served}",
        style="bold",
    )


def _data_types(figures: dict[str, Any]) -> RenderableType:
    table = Table(title="data types", title_justify="left")
    for heading in ("data type", "requests", "hit rate", "local", "redis", "cdn", "loads", "rows written", "memory"):
        table.add_column(heading, justify="left" if heading == "data type" else "right")
    for name, row in figures["data_types"].items():
        tiers = row["tiers"]
        shared = tiers.get("redis") or tiers.get("memory")
        table.add_row(
            name,
            f"{row['requests']:,}",
            _percent(row["hit_rate"]),
            _hits(tiers.get("local")),
            _hits(shared),
            _hits(tiers.get("cdn")),
            f"{row['loads']:,}",
            f"{row['write_ms']['count']:,}",
            f"{row['memory_bytes'] / 1024:,.0f} KiB",
        )
    return table


def _hits(tier: dict[str, Any] | None) -> str:
    return "–" if tier is None else f"{tier['hits']:,}"


def _pages(figures: dict[str, Any]) -> RenderableType:
    table = Table(title="response times, milliseconds", title_justify="left")
    for heading in ("page or tier", "count", "p50", "p99"):
        table.add_column(heading, justify="left" if heading == "page or tier" else "right")
    for name, row in {**figures["page_latency_ms"], **figures["response_ms"]}.items():
        table.add_row(name, f"{row['count']:,}", f"{row['p50']:.3f}", f"{row['p99']:.3f}")
    return table


def _verdict(figures: dict[str, Any]) -> RenderableType:
    check = figures["consistency"]
    lines = [
        f"invalidations {figures['invalidations']:,}; prices edited {figures['prices_edited']:,}; "
        f"products fed {figures['products_fed']:,}",
        f"journal: {figures['journal_pending']:,} rows wait, lag {figures['journal_lag_s']:.2f} s, "
        f"{figures['dead_letters']} dead letters",
        f"cache against stores: {check['compared']:,} compared, {check['wrong']} wrong",
    ]
    lines += [f"failed {count} ×: {error}" for error, count in figures["failures"].items()]
    return Text("\n".join(lines), style="red" if check["wrong"] or figures["failed_pages"] else "green")


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
