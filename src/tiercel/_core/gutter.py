"""
Gutter: which parts of the far tier are away, since when another tier serves in their place, and what of that counts.

A *part* is what fails as one: a slot of a cluster, or the whole of a single server. While a part is away its entries
live in the gutter, and only what was made there since then counts: what another stay has left there may have been
invalidated meanwhile. So nothing has to be emptied, neither at the beginning nor at the end.

Pure: ``now`` is seconds on a monotonic clock, ``*_ms`` is the gutter's own clock. Races between threads are harmless:
entering twice moves the beginning later, and one probe more is one call more.
"""

from __future__ import annotations

from tiercel._core.frame import Frame
from tiercel._core.record import Windows

__all__ = ["PROBE_S", "GutterFrame", "GutterParts", "capped"]

PROBE_S = 0.25
"""Pause between two tries of a part that is away."""


class GutterFrame(Frame):
    """A record that the gutter gave, not the far tier: what the far tier has not been told yet does not concern it."""

    __slots__ = ()


class GutterParts:
    """The parts that are away."""

    __slots__ = ("_probe_at", "_since_ms")

    def __init__(self) -> None:
        self._since_ms: dict[int, int] = {}
        self._probe_at: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._since_ms)

    def is_away(self, part: int) -> bool:
        """Say whether the gutter serves *part*."""
        return part in self._since_ms

    def enter(self, part: int, gutter_ms: int, now: float) -> bool:
        """Have the gutter serve *part* from now on; return whether it did not before."""
        self._probe_at[part] = now + PROBE_S
        if part in self._since_ms:
            return False
        self._since_ms[part] = gutter_ms
        return True

    def may_probe(self, part: int, now: float) -> bool:
        """Say whether a call for *part* should ask the far tier again; a yes uses up the turn."""
        if now < self._probe_at.get(part, 0.0):
            return False
        self._probe_at[part] = now + PROBE_S
        return True

    def leave(self, part: int) -> bool:
        """Have the far tier serve *part* again; return whether it did not before."""
        self._probe_at.pop(part, None)
        return self._since_ms.pop(part, None) is not None

    def counts(self, part: int, frame: Frame) -> bool:
        """Say whether a record of the gutter was made in this stay; one without a body has nothing to be served."""
        since_ms = self._since_ms.get(part)
        return since_ms is not None and (not frame.has_body or frame.created_ms >= since_ms)


def capped(windows: Windows, longest_ms: int) -> Windows:
    """Return *windows* cut to *longest_ms* in all, from the end: keep goes first, then grace, then ttl."""
    ttl_ms = min(windows.ttl_ms, longest_ms)
    grace_ms = min(windows.grace_ms, longest_ms - ttl_ms)
    return Windows(ttl_ms, grace_ms, min(windows.keep_ms, longest_ms - ttl_ms - grace_ms))
