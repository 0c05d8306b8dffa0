"""
A checker for histories of one register: is there one order of all operations that explains what every read gave?

Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's memo of what was tried. Keys are
checked one at a time, which is enough (Herlihy and Wing: linearizability is local). Cost grows with how many operations
overlap, not with their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

UNKNOWN = math.inf
"""The return time of an operation that failed: it may have happened at any time since, or never."""


class Operation(NamedTuple):
    """One call on one key; times are seconds on a clock that all callers share; None is "no such record"."""

    called_s: float
    returned_s: float
    kind: Literal["read", "write"]
    value: Any


def is_linearizable(history: Sequence[Operation], initial: Any = None, most_steps: int = 2_000_000) -> bool:
    """
    Say whether *history* can be explained by one register that does one thing at a time.

    Raises:
        RuntimeError: undecided after *most_steps*.
    """
    operations = sorted(op for op in history if op.kind == "write" or op.returned_s != UNKNOWN)
    required = sum(1 << at for at, op in enumerate(operations) if op.returned_s != UNKNOWN)
    tried: set[tuple[int, Any]] = set()
    paths = [(0, initial)]
    while paths:
        done, value = paths.pop()
        if done & required == required:
            return True
        if (done, value) in tried:
            continue
        tried.add((done, value))
        if len(tried) > most_steps:
            raise RuntimeError(f"undecided after {most_steps} steps")
        paths += [
            (done | 1 << at, op.value)
            for at, op in _next_of(operations, done)
            if op.kind == "write" or op.value == value
        ]
    return False


def _next_of(operations: Sequence[Operation], done: int) -> list[tuple[int, Operation]]:
    """Return what may come next: whatever was called before the first of the rest had returned."""
    first_return = UNKNOWN
    open_ones: list[tuple[int, Operation]] = []
    start = (~done & (done + 1)).bit_length() - 1
    for at in range(start, len(operations)):
        if operations[at].called_s > first_return:
            break
        if not done >> at & 1:
            open_ones.append((at, operations[at]))
            first_return = min(first_return, operations[at].returned_s)
    return [(at, op) for at, op in open_ones if op.called_s <= first_return]


def unexplained(histories: dict[str, list[Operation]], initial: Any = None) -> list[str]:
    """Return the keys whose history cannot be explained."""
    return [key for key, history in histories.items() if not is_linearizable(history, initial)]
