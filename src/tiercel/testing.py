"""
The test kit, for users' tests and for Tiercel's own: a clock that stands still, and faults on cue.

- `ManualClock`: time that moves only when told.
- `FaultProxy`: a TCP proxy in front of a real server: ``start stop deaf slow reset heal``.
- `Chaos` with a `FaultPlan`: any store, tier or link, failing before or after the call.
- For pytest, with ``pytest_plugins = ["tiercel.testing"]`` in a conftest: the fixtures ``manual_clock`` and
  ``fault_proxy``.

Nothing here needs an extra; without pytest the fixtures are not there.
"""

from __future__ import annotations

import contextlib

from tiercel._chaos import Chaos, FaultPlan, FaultProxy, InjectedFault
from tiercel._core.clock import ManualClock

with contextlib.suppress(ImportError):  # pytest is not installed
    from tiercel._chaos.fixtures import fault_proxy, manual_clock

__all__ = ["Chaos", "FaultPlan", "FaultProxy", "InjectedFault", "ManualClock", "fault_proxy", "manual_clock"]
