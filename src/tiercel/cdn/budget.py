"""
What purging may cost and how fast it may go: a token bucket, a monthly forecast, and the states that they lead to.

States: ``ok``; ``warn``, the month will end above the budget at this pace, so windows widen and floods fold sooner;
``limit``, the budget is spent, so almost everything folds, or is left to its ttl where that is the setting. Pure:
``now`` is an argument.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from tiercel.cdn.capabilities import Capabilities
from tiercel.errors import ConfigurationError

BudgetState: TypeAlias = Literal["ok", "warn", "limit"]
WINDOW_FACTOR: dict[BudgetState, float] = {"ok": 1.0, "warn": 4.0, "limit": 16.0}
"""How much longer purges are gathered before they are sent, by state."""


class TokenBucket:
    """
    Pace of requests: *rate_per_s* sustained, *burst* at once; it may be told to rest. Not thread-safe.

    Args:
        rate_per_s: Tokens that come back each second.
        burst: Most tokens held.
        now: Any monotonic second; the bucket begins full.
    """

    __slots__ = ("_burst", "_filled", "_rate", "_rest_until", "_tokens")

    def __init__(self, rate_per_s: float, burst: int, now: float) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ConfigurationError(f"rate={rate_per_s} and burst={burst}: both must be greater than 0")
        self._rate, self._burst, self._tokens = rate_per_s, float(burst), float(burst)
        self._filled, self._rest_until = now, now

    def wait_s(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0 for at once."""
        self._fill(now)
        lacking = max(0.0, 1.0 - self._tokens)
        return max(self._rest_until - now, lacking / self._rate)

    def take(self, now: float) -> None:
        """Count one request."""
        self._fill(now)
        self._tokens -= 1.0

    def rest(self, until: float) -> None:
        """Send nothing before *until*: the CDN said that it is too much."""
        self._rest_until = max(self._rest_until, until)

    def left(self, now: float) -> tuple[float, float]:
        """Return the tokens held and the seconds left to rest, for who sends next at the same distribution."""
        self._fill(now)
        return self._tokens, max(0.0, self._rest_until - now)

    def resume(self, tokens: float, age_s: float, rest_s: float, now: float) -> None:
        """Go on from what another sender had left *age_s* ago, with *rest_s* still to rest."""
        self._tokens, self._filled = min(self._burst, tokens + age_s * self._rate), now
        self._rest_until = max(self._rest_until, now + rest_s)

    def _fill(self, now: float) -> None:
        elapsed_s = max(0.0, now - self._filled)
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate)
        self._filled = max(self._filled, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """
    Most US dollars that an account's purges may cost in a calendar month (UTC); None for no limit.

    Args:
        usd_month: The limit.
        price_per_item: Dollars for one item beyond the free ones.
        free_items_month: Items that cost nothing.
        on_limit: Once spent: ``coarse`` folds floods as far as it can and goes on, ``ttl`` sends no more and lets
            copies end
            by themselves.
    """

    usd_month: float | None = None
    price_per_item: float = 0.0
    free_items_month: int = 0
    on_limit: Literal["coarse", "ttl"] = "coarse"

    @classmethod
    def of(
        cls, capabilities: Capabilities, usd_month: float | None = None, on_limit: Literal["coarse", "ttl"] = "coarse"
    ) -> Budget:
        """Return the budget with the prices of *capabilities*."""
        return cls(
            usd_month=usd_month,
            price_per_item=capabilities.price_per_item,
            free_items_month=capabilities.free_items_month,
            on_limit=on_limit,
        )

    def cost_usd(self, items: int) -> float:
        """Return what *items* in one month cost."""
        return max(0, items - self.free_items_month) * self.price_per_item

    def forecast_usd(self, items: int, now: float) -> float:
        """Return what the month will cost if it goes on like this; *now* is seconds since the epoch."""
        begun_s, length_s = month_bounds(now)
        # An hour at least: the first purge of a month must not be taken for a month of them.
        elapsed_s = max(3600.0, now - begun_s)
        return self.cost_usd(round(items * max(1.0, length_s / elapsed_s)))

    def state(self, items: int, now: float) -> BudgetState:
        """Return the state after *items* sent this month."""
        if self.usd_month is None:
            return "ok"
        if self.cost_usd(items) >= self.usd_month:
            return "limit"
        return "warn" if self.forecast_usd(items, now) > self.usd_month else "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """
    What an edge's purges cost, as exporters show it.

    Args:
        items: Items sent this month.
        cost_usd: What they cost.
        forecast_usd: What the month will cost if it goes on like this.
        budget_used: Cost as a part of the budget, 1 where it is spent; 0 where there is none.
        state: The budget's state.
    """

    items: int
    cost_usd: float
    forecast_usd: float
    budget_used: float
    state: BudgetState


def spending(budget: Budget, items: int, now: float) -> Spending:
    """Return the figures of *items* sent this month under *budget* at *now*, seconds since the epoch."""
    cost_usd = budget.cost_usd(items)
    limit = budget.usd_month
    used = 0.0 if limit is None else min(1.0, cost_usd / limit) if limit > 0 else 1.0
    return Spending(
        items=items,
        cost_usd=cost_usd,
        forecast_usd=budget.forecast_usd(items, now),
        budget_used=used,
        state=budget.state(items, now),
    )


def month_of(now: float) -> str:
    """Return the calendar month of *now*, UTC: ``2026-11``."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


def month_bounds(now: float) -> tuple[float, float]:
    """Return when the month of *now* began and how long it is, in seconds."""
    moment = datetime.fromtimestamp(now, UTC)
    begun = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begun.timestamp(), calendar.monthrange(moment.year, moment.month)[1] * 86_400.0
