"""The hit ratios as an SVG: one panel a trace, cache sizes to the right on a logarithmic scale, one line a policy."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["draw"]

WIDTH, HEIGHT, MARGIN = 360, 240, 44
COLUMNS = 2
COLOURS = {
    "clairvoyant": "#9aa0a6",
    "tiercel": "#d93025",
    "LRU": "#1a73e8",
    "FIFO": "#7baaf7",
    "ARC": "#188038",
    "S3-FIFO": "#e37400",
    "SIEVE": "#fbbc04",
    "W-TinyLFU 1 %": "#a142f4",
    "W-TinyLFU 10 %": "#6a1b9a",
    "theine": "#007b83",
    "moka-py": "#80868b",
    "cachebox": "#5f6368",
}


def draw(cells: list[dict[str, Any]]) -> str:
    """Return the chart of *cells*."""
    traces = list(dict.fromkeys(row["trace"] for row in cells))
    rows = -(-len(traces) // COLUMNS)
    names = [name for name in COLOURS if name in cells[0]["hit_ratio"]]
    height = rows * HEIGHT + 30 + 18 * (-(-len(names) // 6))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH} {height}" font-family="sans-serif" '
        'font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, trace in enumerate(traces):
        panel = [row for row in cells if row["trace"] == trace]
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(trace, panel, names)}</g>')
    parts.append(_legend(names, rows * HEIGHT + 24))
    return "\n".join([*parts, "</svg>", ""])


def _panel(trace: str, panel: list[dict[str, Any]], names: list[str]) -> str:
    every: list[float] = [row["hit_ratio"][name] for row in panel for name in names]
    low, high = math.floor(min(every) / 10) * 10, math.ceil(max(every) / 10) * 10
    sizes: list[float] = [math.log(row["percent"]) for row in panel]
    left, right = min(sizes), max(*sizes, min(sizes) + 1e-9)

    def x_of(size: float) -> float:
        return MARGIN + (math.log(size) - left) / (right - left) * (WIDTH - 1.5 * MARGIN)

    def y_of(ratio: float) -> float:
        return HEIGHT - MARGIN - (ratio - low) / max(high - low, 1) * (HEIGHT - 1.75 * MARGIN)

    parts = [f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-weight="bold">{trace}, hit ratio %</text>']
    for ratio in range(low, high + 1, 10):
        y = y_of(ratio)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN / 2}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e8eaed"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{ratio}</text>')
    for row in panel:
        x = x_of(row["percent"])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 16}" text-anchor="middle">{row["percent"]:g} %</text>')
    for name in reversed(names):
        points = " ".join(f"{x_of(row['percent']):.1f},{y_of(row['hit_ratio'][name]):.1f}" for row in panel)
        width = 2.6 if name == "tiercel" else 1.1
        dashes = ' stroke-dasharray="4 3"' if name == "clairvoyant" else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="{width}"{dashes}/>'
        )
    return "".join(parts)


def _legend(names: list[str], top: int) -> str:
    parts = []
    for number, name in enumerate(names):
        x, y = 20 + number % 6 * 116, top + number // 6 * 18
        parts.append(f'<rect x="{x}" y="{y - 8}" width="14" height="4" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 18}" y="{y}">{name}</text>')
    return "".join(parts)
