# Generated from src/tiercel/_async/hedge.py by tools/unasync.py. Do not edit.
"""
The hedge: a read that the primary answers late is asked of a replica as well, and the first answer wins.

*Late* is the 95th percentile of the reads seen, so about one read in twenty would be hedged; a budget makes that a
limit. A replica may lag, so what it tells counts only where it is younger than everything that this process knows to
have fallen (`Floors`), and never for a read that asks for more than ``eventual``.
"""

from __future__ import annotations

import time

from tiercel._sync.redis import RedisTier
from tiercel._sync.replicas import Replicas
from tiercel._core.floors import Floors
from tiercel._core.frame import Frame
from tiercel._core.quantile import Quantile
from tiercel._core.retrybudget import RetryBudget
from tiercel._hedging import hedged
from tiercel.observe.recorder import Recorder
from tiercel.typing import Clock, Key

LEAST_S = 0.001
MOST_S = 0.1
PATIENCE_S = 0.5
"""Longest wait for a replica."""


class Hedge:
    """
    Args:
        tier: The far tier.
        replicas: Who else has its records.
        floors: What is known to have fallen.
        share: Most extra reads, as a part of all.
        clock: The clock of the floors.
        recorder: Told how many reads were hedged, and how many of these a replica won.
    """

    def __init__(
        self,
        tier: RedisTier,
        replicas: Replicas,
        floors: Floors[tuple[str, str, Key]],
        share: float,
        clock: Clock,
        recorder: Recorder,
    ) -> None:
        self._tier = tier
        self._replicas = replicas
        self._floors = floors
        self._budget = RetryBudget(share, reserve=1.0)
        self._clock = clock
        self._recorder = recorder
        self._late_s = Quantile(0.95, 0.01, LEAST_S, MOST_S)
        self.asked = 0
        self.won = 0

    def get(self, name: bytes, flight_key: tuple[str, str, Key]) -> Frame | None:
        """Return the record of *name*, from the primary, or from a replica that may be believed; raises `TierError`."""
        started = time.monotonic()
        self._budget.calls += 1
        frame, is_replicas = hedged(
            lambda: self._tier.get(name), lambda: self._from_replica(name, flight_key), self._late_s.value
        )
        self._late_s.observe(time.monotonic() - started)
        if is_replicas:
            self.won += 1
            self._recorder.gauge("hedges_won", self.won)
        return frame

    def _from_replica(self, name: bytes, flight_key: tuple[str, str, Key]) -> Frame | None:
        """Return what a replica has, where the budget allows to ask, and what it has is young enough."""
        if not self._budget.take(time.monotonic()):
            return None
        self.asked += 1
        self._recorder.gauge("hedges", self.asked)
        frame = self._tier.frame(name, self._replicas.get(name, PATIENCE_S))
        if frame is None or not frame.has_body:
            return None
        ahead_ms = self._tier.now_ms() - int(self._clock.wall() * 1000)
        return frame if self._floors.admits(flight_key, frame.created_ms - ahead_ms) else None
