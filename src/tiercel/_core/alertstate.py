"""
The state machine of one alert: inactive → pending → firing, as Prometheus has it, with hysteresis on the way out.

::

    inactive ──crossed──▶ pending ──crossed for for_s──▶ firing ──past clear, or unknown──▶ inactive
                             └──not crossed──▶ inactive

A figure that is unknown (too few reads, no such region) is never crossed, and ends a firing alert: nobody can act on
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tiercel._core.alertrules import AlertRule

__all__ = ["AlertPhase", "AlertState", "next_state"]

AlertPhase: TypeAlias = Literal["inactive", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class AlertState:
    """
    Where one alert stands.

    Args:
        phase: See the module.
        since_s: When the threshold was first crossed, seconds; 0 while inactive.
        value: The figure at the last look, None where unknown.
    """

    phase: AlertPhase = "inactive"
    since_s: float = 0.0
    value: float | None = None


INACTIVE = AlertState()


def next_state(rule: AlertRule, state: AlertState, value: float | None, now: float) -> AlertState:
    """Return the state after a look at *value* at *now* (seconds)."""
    if value is None:
        return INACTIVE
    is_held = state.phase == "firing" and not rule.is_cleared(value)
    if not (rule.is_crossed(value) or is_held):
        return AlertState(value=value)
    since_s = now if state.phase == "inactive" else state.since_s
    is_firing = state.phase == "firing" or now - since_s >= rule.for_s
    return AlertState("firing" if is_firing else "pending", since_s, value)
