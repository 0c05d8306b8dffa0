"""What a cache did and how it is: counters, events, reports, exporters, alerts and health."""

from __future__ import annotations

from tiercel.observe.recorder import Event, Observer, Recorder, RegionStats, TierStats

__all__ = ["Event", "Observer", "Recorder", "RegionStats", "TierStats"]
