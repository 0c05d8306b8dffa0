"""
The choices of one run, and how they become those of the next.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


class Choices:
    """
    A path through the tree of schedules.

    Args:
        prefix: What to choose at the first decisions; after it the first option each time.
    """

    def __init__(self, prefix: list[int]) -> None:
        self._prefix = prefix
        self._taken: list[tuple[int, int]] = []

    def choose(self, options: int) -> int:
        """Return which of *options* to take at this decision."""
        at = len(self._taken)
        taken = min(self._prefix[at], options - 1) if at < len(self._prefix) else 0
        self._taken.append((taken, options))
        return taken

    def following(self) -> list[int] | None:
        """Return the prefix of the next path, depth first; None after the last."""
        path = list(self._taken)
        while path:
            taken, options = path.pop()
            if taken + 1 < options:
                return [choice for choice, _ in path] + [taken + 1]
        return None


@dataclass(slots=True)
class Explored:
    """
    What an exploration found.

    Attributes:
        schedules: Orders that were run.
        violations: What the check said, and how often.
        is_exhaustive: Whether no order is left.
        gates: How often each gate was passed: a race that never comes to its gate proves nothing.
        losing: The order of one violation, for the reader.
    """

    schedules: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    is_exhaustive: bool = False
    gates: Counter[str] = field(default_factory=Counter)
    losing: list[str] = field(default_factory=list)

    def note(self, verdict: str | None, trace: list[str]) -> None:
        """Count one run."""
        self.schedules += 1
        self.gates.update(step.partition("@")[2] for step in trace)
        if verdict is not None:
            self.violations[verdict] += 1
            self.losing = self.losing or trace
