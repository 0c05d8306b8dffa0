"""
The checker accepts what one register can explain, and nothing else.
"""

from __future__ import annotations

import random
import time

import pytest

from tests.models.linearizability import UNKNOWN, Operation, is_linearizable, unexplained


def op(called: float, returned: float, kind: str, value: object) -> Operation:
    return Operation(called, returned, "write" if kind == "w" else "read", value)


EXPLAINED = [
    [op(0, 1, "w", 1), op(2, 3, "r", 1)],
    [op(0, 5, "w", 1), op(1, 2, "r", None), op(3, 4, "r", 1)],
    [op(0, 9, "w", 1), op(0, 9, "w", 2), op(1, 2, "r", 2), op(3, 4, "r", 1)],
    [op(0, 1, "w", 1), op(2, UNKNOWN, "w", 2), op(3, 4, "r", 1), op(9, 10, "r", 2)],
    [op(0, 1, "w", 1), op(2, UNKNOWN, "w", 2), op(3, 4, "r", 1)],
    [op(0, UNKNOWN, "r", 7), op(0, 1, "w", 1)],
]
UNEXPLAINED = [
    [op(0, 1, "w", 1), op(2, 3, "r", None)],
    [op(0, 1, "w", 1), op(2, 9, "w", 2), op(3, 4, "r", 2), op(5, 6, "r", 1)],
    [op(0, 1, "w", 1), op(2, 3, "w", 2), op(4, 5, "r", 1)],
    [op(0, 1, "r", 3)],
    [op(0, 1, "w", 1), op(2, UNKNOWN, "w", 2), op(3, 4, "r", 2), op(5, 6, "r", 1)],
]


@pytest.mark.parametrize("history", EXPLAINED)
def test_what_one_register_explains(history: list[Operation]) -> None:
    assert is_linearizable(history)


@pytest.mark.parametrize("history", UNEXPLAINED)
def test_what_no_register_explains(history: list[Operation]) -> None:
    assert not is_linearizable(history)


def test_a_corrupted_read_is_found_in_a_long_history() -> None:
    chance, histories = random.Random(1), dict[str, list[Operation]]()
    for key in range(20):
        moment, value, history = 0.0, 0, list[Operation]()
        for number in range(300):
            moment += chance.random()
            is_write = chance.random() < 0.3 or number == 0
            value = number if is_write else value
            around = (moment - chance.random() * 3, moment + chance.random() * 3)
            history.append(Operation(*around, "write" if is_write else "read", value))
        histories[f"k{key}"] = history
    began = time.monotonic()
    assert unexplained(histories) == []
    for history in histories.values():
        at = max(number for number, each in enumerate(history) if each.kind == "read" and each.value != 0)
        history[at] = history[at]._replace(value=0)
    assert unexplained(histories) == list(histories)
    assert time.monotonic() - began < 30


def test_an_undecided_history_is_no_verdict() -> None:
    with pytest.raises(RuntimeError, match="undecided"):
        is_linearizable([op(0, 9, "w", number) for number in range(12)] + [op(10, 11, "r", -1)], most_steps=100)
