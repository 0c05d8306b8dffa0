"""
How many schedules a test run has played; printed in its closing lines.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Totals:
    """Counts over the run."""

    schedules: int = 0


totals = Totals()
