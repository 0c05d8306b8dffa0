"""The local tier in each implementation, on a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from tiercel._core.clock import ManualClock
from tiercel.errors import ConfigurationError
from tiercel.local import LocalTable, LocalTier, LocalView
from tiercel.options import LocalOptions

Implementation = Literal["native", "reference"]
MakeTable = Callable[..., LocalTable]


@pytest.fixture(params=["native", "reference"])
def implementation(request: pytest.FixtureRequest) -> Implementation:
    name: Implementation = request.param
    try:
        LocalTier(implementation=name)
    except ConfigurationError:
        pytest.skip("the accelerator tiercel.local._native was not built")
    return name


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tier(implementation: Implementation, clock: ManualClock) -> LocalTier:
    return LocalTier(clock=clock, implementation=implementation)


@pytest.fixture
def make_table(tier: LocalTier) -> MakeTable:
    """Make the table ``items`` with the given options; entries of 100 where none are given."""

    def make(decode: Callable[[bytes], Any] | None = None, **options: Any) -> LocalTable:
        options.setdefault("max_entries", None if "max_bytes" in options else 100)
        return tier.table("items", LocalOptions(**options), decode)

    return make


@pytest.fixture
def table(make_table: MakeTable) -> LocalTable:
    return make_table()


@pytest.fixture
def view(table: LocalTable) -> LocalView:
    return table.view("acme")
