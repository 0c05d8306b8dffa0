"""
A retry budget: retries may add at most a fixed share to the calls that were made, however many of them fail.

Every call earns ``share`` of a token, a retry costs one. So an outage multiplies the load by 1.1, never by the number
of tries. A small reserve lets a quiet client retry at all, and refills with time.

Pure: ``now`` is seconds on a monotonic clock. Threads may share a budget without a lock: a race can miscount a few
    tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tiercel.options import require

__all__ = ["RetryBudget"]


@dataclass(slots=True)
class RetryBudget:
    """
    Tokens that retries are paid with.

    Args:
        share: Tokens that one call earns; 0.1 allows one retry in ten calls.
        reserve: Tokens that a quiet client has, refilled at ``reserve`` a second.
        most: Tokens that can be saved up.
    """

    share: float = 0.1
    reserve: float = 5.0
    most: float = 100.0
    calls: int = 0
    """First tries since the last `take`; whoever makes one counts it here."""
    tokens: float = field(default=0.0, init=False)
    _taken_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, f"share={self.share}: must lie in [0, 1]")
        require(self.reserve >= 0, f"reserve={self.reserve}: must not be negative")
        require(self.most >= self.reserve, f"most={self.most} is below reserve={self.reserve}")
        self.tokens = self.reserve

    def take(self, now: float) -> bool:
        """Pay for one retry; False where the budget is spent."""
        self.tokens = min(self.most, self.tokens + self.share * self.calls)
        self.calls = 0
        if self.tokens < self.reserve:
            self.tokens = min(self.reserve, self.tokens + (now - self._taken_at) * self.reserve)
        self._taken_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
