"""
Faults on purpose: a TCP proxy that fails as networks do, and wrappers that make any tier, store or link fail on cue.

Public through `tiercel.testing`.
"""

from __future__ import annotations

from tiercel._chaos.proxy import FaultProxy
from tiercel._chaos.wrapper import Chaos, FaultPlan, InjectedFault

__all__ = ["Chaos", "FaultPlan", "FaultProxy", "InjectedFault"]
