"""
Shops of the service's tests: one with sign-in, one without.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.shop import SECRET, Shop, add_users, opened_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop where people sign in, here or at a proxy."""
    users = add_users(tmp_path)
    async with opened_shop(tmp_path, users=users, proxy_user_header="X-User", proxy_secret=SECRET) as opened:
        yield opened


@pytest.fixture
async def open_shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop without sign-in, as on a developer's machine."""
    async with opened_shop(tmp_path) as opened:
        yield opened
