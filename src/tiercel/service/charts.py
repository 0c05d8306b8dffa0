"""
Charts of the last hour: lines over time as paths of an inline SVG, which needs no script and no style of its own.

Each chart also carries its newest and largest figures as text, for who cannot see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tiercel.observe.timeline import Point, RegionPoint

__all__ = ["Chart", "Line", "charts_of"]

WIDTH: Final = 600
HEIGHT: Final = 120
SPAN_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Line:
    """
    One line of a chart.

    Args:
        name: In the legend.
        path: SVG path data; empty where there are no points.
        last: The newest figure.
        most: The largest figure.
    """

    name: str
    path: str
    last: float
    most: float


@dataclass(frozen=True, slots=True)
class Chart:
    """
    One chart.

    Args:
        id: Unique on its page.
        title: What it shows.
        unit: The template's filter for its figures: ``percent``, ``seconds``, ``size`` or ``rate``.
        top: The figure at the upper edge.
        lines: What is drawn.
    """

    id: str
    title: str
    unit: str
    top: float
    lines: list[Line]


_Figure = Callable[[RegionPoint], float]
_CHARTS: Final[list[tuple[str, str, str, list[tuple[str, _Figure]]]]] = [
    ("hits", "Hit rate", "percent", [("hits", lambda point: point.hit_rate)]),
    (
        "response",
        "Response time of the shared tier",
        "seconds",
        [("median", lambda point: point.redis_p50_s), ("99th percentile", lambda point: point.redis_p99_s)],
    ),
    (
        "traffic",
        "Reads and loads a second",
        "rate",
        [("reads", lambda point: point.requests_per_s), ("loads", lambda point: point.loads_per_s)],
    ),
    ("memory", "Local memory", "size", [("held", lambda point: float(point.memory_bytes))]),
]


def charts_of(points: Sequence[Point], now: float) -> list[Chart]:
    """Return the charts of the hour before *now*, seconds since the epoch."""
    times = [(point.at_s - now + SPAN_S) / SPAN_S * WIDTH for point in points]
    charts = []
    for id_, title, unit, figures in _CHARTS:
        series = {name: [figure(point.total) for point in points] for name, figure in figures}
        top = 1.0 if unit == "percent" else _ceiling(max(max(each, default=0.0) for each in series.values()))
        lines = [
            Line(name, _path(times, values, top), values[-1] if values else 0.0, max(values, default=0.0))
            for name, values in series.items()
        ]
        charts.append(Chart(id_, title, unit, top, lines))
    return charts


def _path(times: Sequence[float], values: Sequence[float], top: float) -> str:
    places = [f"{x:.1f} {HEIGHT - min(y / top, 1.0) * HEIGHT:.1f}" for x, y in zip(times, values, strict=True)]
    return "M" + " L".join(places) if places else ""


def _ceiling(value: float) -> float:
    """Return a figure a little above *value*, so that the line does not touch the edge; 1 for nothing at all."""
    return value * 1.1 or 1.0
