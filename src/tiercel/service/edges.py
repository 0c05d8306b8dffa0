"""
The edge of a matrix, as an operator sees it: what waits to be purged, what it costs, and what the CDN refused.

The purge log is opened where the application keeps it, for the length of one question; nothing is sent from here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from tiercel._async.edge import open_edge
from tiercel._async.purger import AsyncPurger
from tiercel._paired import async_run_blocking
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix

__all__ = ["EdgeView", "Edges", "RefusedPurge"]


class RefusedPurge(msgspec.Struct, frozen=True, kw_only=True):
    """One purge that the CDN refused for good."""

    item: int
    kind: str
    value: str
    reason: str


class EdgeView(msgspec.Struct, frozen=True, kw_only=True):
    """
    The edge; money is US dollars, of this calendar month (UTC).

    Attributes:
        name: Empty where the matrix has no edge.
        has_cdn: Whether purges are sent to somebody; else they are done at once and cost nothing.
        counts: Items by state, and the totals asked for and sent.
        budget_state: ``ok``, ``warn`` or ``limit``.
    """

    name: str = ""
    has_cdn: bool = False
    counts: dict[str, int] = {}
    items_this_month: int = 0
    cost_usd: float = 0.0
    forecast_usd: float = 0.0
    budget_usd: float | None = None
    budget_state: str = "ok"
    refused: list[RefusedPurge] = []


class Edges:
    """
    The edge of one matrix, if it has one.

    Args:
        matrix: As the application has it.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._settings = matrix.cache

    async def view(self) -> EdgeView:
        """Return how the edge stands; raises TierUnavailable where its log cannot be opened."""
        if self._settings.cdn is None:
            return EdgeView()
        async with self._opened(self._settings.cdn) as (name, purger):
            if purger is None:
                return EdgeView(name=name)
            return await async_run_blocking(_view, name, purger)

    async def replay(self) -> int:
        """Ask again for every refused purge and return how many there were; the application's purger sends them."""
        if self._settings.cdn is None:
            raise ConfigurationError("the matrix names no cdn")
        async with self._opened(self._settings.cdn) as (name, purger):
            if purger is None:
                raise ConfigurationError(f"edge {name!r} has no CDN: its purges are done at once")
            return await async_run_blocking(purger.log.replay, time.time())

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[tuple[str, AsyncPurger | None]]:
        edge = await open_edge(url, state_dir=Path(self._settings.state_dir), start=False)
        try:
            yield edge.name, edge.purger
        finally:
            await edge.aclose()


def _view(name: str, purger: AsyncPurger) -> EdgeView:
    now, budget = time.time(), purger.options.budget
    items = purger.log.spent(now)
    return EdgeView(
        name=name,
        has_cdn=True,
        counts=purger.log.counts(),
        items_this_month=items,
        cost_usd=budget.cost_usd(items),
        forecast_usd=budget.forecast_usd(items, now),
        budget_usd=budget.usd_month,
        budget_state=budget.state(items, now),
        refused=[
            RefusedPurge(item=number, kind=item.kind, value=item.value, reason=why)
            for number, item, why in purger.log.dead()
        ],
    )
