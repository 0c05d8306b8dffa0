"""
The test kit, for users' tests and for Tiercel's own: a clock that stands still, and faults on cue.

- `ManualClock`: time that moves only when told.
- `FaultProxy`: a TCP proxy in front of a real server: ``start stop deaf slow reset heal``.
- `Chaos` with a `FaultPlan`: any store, tier or link, failing before or after the call.

Nothing here needs an extra.
"""

from __future__ import annotations

from tiercel._chaos import Chaos, FaultPlan, FaultProxy, InjectedFault
from tiercel._core.clock import ManualClock

__all__ = ["Chaos", "FaultPlan", "FaultProxy", "InjectedFault", "ManualClock"]
