"""
Optimism: whether a cheap way, which fails as a whole where it does not fit, is worth a try this time.

It is tried as long as it succeeds. After each failure in a row twice as many rounds pass before the next try, so that
where it never fits it costs little, and where the workload changes it is found again. Used from several threads
without a lock: a lost count moves a try by a round, which harms nothing.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Optimism"]

_MOST_ROUNDS: Final = 64
"""Rounds that pass at most between two tries."""


class Optimism:
    """Says when to try."""

    __slots__ = ("_pause_rounds", "_rounds_left")

    def __init__(self) -> None:
        self._pause_rounds = 0
        self._rounds_left = 0

    def is_due(self) -> bool:
        """Count a round, and say whether the cheap way is to be tried in it."""
        if self._rounds_left == 0:
            return True
        self._rounds_left -= 1
        return False

    def succeeded(self) -> None:
        """The cheap way went through."""
        self._pause_rounds = 0

    def failed(self) -> None:
        """It did not: stay away from it for a while."""
        self._pause_rounds = min(_MOST_ROUNDS, max(1, 2 * self._pause_rounds))
        self._rounds_left = self._pause_rounds
