"""
A stopwatch for operations of tens of nanoseconds on a machine that others use too.

Candidates are timed in turn, round after round, in CPU time of the thread, so that a neighbour's burst meets all of
them; the figure of a candidate is the median of its rounds, and the ratio of two is the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median

__all__ = ["Rounds", "collector_off", "run_rounds"]

ROUNDS = 21


class Rounds:
    """What was measured: nanoseconds an operation, for each candidate, round by round."""

    def __init__(self) -> None:
        self.ns: dict[str, list[float]] = {}

    def median_ns(self, name: str) -> float:
        """Return the candidate's median, nanoseconds an operation."""
        return median(self.ns[name])

    def ratio(self, name: str, base: str) -> float:
        """Return the median of *name*'s rounds as multiples of *base*'s."""
        return median(mine / theirs for mine, theirs in zip(self.ns[name], self.ns[base], strict=True))


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep the garbage collector from running inside a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_rounds(
    candidates: Mapping[str, Callable[[], object]], operations: int | Mapping[str, int], rounds: int = ROUNDS
) -> Rounds:
    """
    Time every candidate in turn, *rounds* times.

    Args:
        candidates: Functions that do *operations* operations each.
        operations: How many, the same for all or by name.
        rounds: How often; the first round warms up and does not count.
    """
    measured = Rounds()
    with collector_off():
        for number in range(rounds + 1):
            for name, work in candidates.items():
                started = time.thread_time_ns()
                work()
                spent = time.thread_time_ns() - started
                count = operations if isinstance(operations, int) else operations[name]
                if number:
                    measured.ns.setdefault(name, []).append(spent / count)
    return measured
