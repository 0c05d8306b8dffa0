"""
Rendering: Jinja templates with everything escaped, a name that is missing an error, and figures in words.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tiercel._core.durations import format_duration, format_size

__all__ = ["render"]


def render(template: str, shown: dict[str, Any]) -> str:
    """Return a page as HTML."""
    return _environment().get_template(template).render(shown)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tiercel.service"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "seconds": _seconds,
        "size": lambda size_bytes: format_size(float(size_bytes)),
        "count": lambda number: f"{number:,}",
        "clock": _clock,
    }
    return environment


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _seconds(duration_s: float) -> str:
    """Return a duration with three significant digits or so."""
    if duration_s < 0.001:
        return f"{duration_s * 1e6:.0f} µs"
    if duration_s < 1:
        return f"{duration_s * 1e3:.3g} ms"
    return format_duration(round(duration_s, 1) if duration_s < 60 else round(duration_s))


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s))
