"""
Schedules: every interleaving of a few actors, forced through the real code.

An actor is a function that runs the library's own calls. The library's gates (`tiercel._gates`) park whichever actor
comes to one; the stage lets one parked actor go at a time. `explore` runs a race once for each order of releases,
depth first, by replay: the choices of the last run, the last of them advanced. Nothing sleeps to win a race.

A gate in `WAITS` says that its actor is about to wait for another; it is not parked, it counts as waiting.
"""

from __future__ import annotations

from tests.schedules.choices import Choices, Explored
from tests.schedules.stage import AsyncStage, Stage, async_explore, explore

__all__ = ["AsyncStage", "Choices", "Explored", "Stage", "async_explore", "explore"]
