"""
Far tiers of every kind, and names that no other test uses.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

import pytest

from tests.async_.engine.conftest import far_url
from tiercel._async.link import open_link
from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._async.redis import AsyncRedisTier
from tiercel._async.tier import AsyncFarTier
from tiercel._core.clock import SystemClock
from tiercel._memory_records import MemoryRecords

__all__ = ["far_url"]


@pytest.fixture
async def far(far_url: str | None) -> AsyncIterator[AsyncFarTier]:
    """A far tier of each kind."""
    if far_url is None:
        yield AsyncMemoryTier(MemoryRecords(SystemClock()))
        return
    tier = AsyncRedisTier(await open_link(far_url), SystemClock(), lambda _name: None)
    await tier.ping()
    yield tier
    await tier.aclose()


@pytest.fixture
def name() -> Callable[[], bytes]:
    """Make names of entries."""
    return lambda: b"c:" + secrets.token_hex(8).encode()
