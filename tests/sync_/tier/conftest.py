# Generated from tests/async_/tier/conftest.py by tools/unasync.py. Do not edit.
"""
Far tiers of every kind, and names that no other test uses.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Callable

import pytest

from tests.sync_.engine.conftest import far_url
from tiercel._sync.link import open_link
from tiercel._sync.memory_tier import MemoryTier
from tiercel._sync.redis import RedisTier
from tiercel._sync.tier import FarTier
from tiercel._core.clock import SystemClock
from tiercel._memory_records import MemoryRecords

__all__ = ["far_url"]


@pytest.fixture
def far(far_url: str | None) -> Iterator[FarTier]:
    """A far tier of each kind."""
    if far_url is None:
        yield MemoryTier(MemoryRecords(SystemClock()))
        return
    tier = RedisTier(open_link(far_url), SystemClock(), lambda _name: None)
    tier.ping()
    yield tier
    tier.close()


@pytest.fixture
def name() -> Callable[[], bytes]:
    """Make names of entries."""
    return lambda: b"c:" + secrets.token_hex(8).encode()
