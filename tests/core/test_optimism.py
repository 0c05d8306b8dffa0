"""Optimism: tried while it succeeds, ever more rarely while it fails."""

from __future__ import annotations

from tiercel._core.optimism import Optimism


def rounds_until_due(optimism: Optimism) -> int:
    rounds = 0
    while not optimism.is_due():
        rounds += 1
    return rounds


def test_it_is_tried_as_long_as_it_succeeds() -> None:
    optimism = Optimism()
    for _ in range(5):
        assert optimism.is_due()
        optimism.succeeded()


def test_each_failure_in_a_row_doubles_the_rounds_between_tries_up_to_a_limit() -> None:
    optimism = Optimism()
    pauses = []
    for _ in range(9):
        optimism.failed()
        pauses.append(rounds_until_due(optimism))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_a_success_forgets_the_failures() -> None:
    optimism = Optimism()
    for _ in range(4):
        optimism.failed()
    optimism.succeeded()
    optimism.failed()
    assert rounds_until_due(optimism) == 1
