"""
Freshness: which of its windows an entry is in, and when a fresh one should be renewed early.

``ttl`` + ``grace`` + ``keep`` are additive: fresh, then stale while one refresh runs, then kept for the case that the
load fails.
"""

from __future__ import annotations

import enum
import math


class Freshness(enum.Enum):
    """Where an entry stands in its life."""

    FRESH = "fresh"
    STALE = "stale"
    KEPT = "kept"
    EXPIRED = "expired"


def freshness(fresh_until: float, stale_until: float, kept_until: float, now: float) -> Freshness:
    """
    Say which window *now* falls in; all four on one clock, in one unit.

    Equality counts as over: an entry with ``ttl_s == 0`` is never fresh.
    """
    if now < fresh_until:
        return Freshness.FRESH
    if now < stale_until:
        return Freshness.STALE
    return Freshness.KEPT if now < kept_until else Freshness.EXPIRED


def is_due_early(fresh_until: float, load_cost: float, beta: float, now: float, chance: float) -> bool:
    """
    Say whether a fresh entry should be renewed now, before it ends.

    XFetch: the nearer the end and the dearer the load, the likelier. Vattani, Chierichetti, Lowenstein: "Optimal
    Probabilistic Cache Stampede Prevention", VLDB 2015.

    Args:
        fresh_until: End of the fresh window.
        load_cost: How long the last load took, same unit.
        beta: 1 is optimal for one caller; 0 never renews early.
        now: Current time, same clock.
        chance: A random number in (0, 1].
    """
    return beta > 0 and now - load_cost * beta * math.log(chance) >= fresh_until


def is_past_part(fresh_for: float, ttl: float, part: float) -> bool:
    """Say whether *part* of an entry's *ttl* is over, with *fresh_for* of it left; never for a part of 0."""
    return part > 0 and fresh_for <= ttl * (1.0 - part)


def jittered(ttl: float, jitter: float, chance: float) -> float:
    """Return *ttl* shortened by up to ``jitter * ttl``; *chance* is a random number in [0, 1)."""
    return ttl * (1.0 - jitter * chance)
