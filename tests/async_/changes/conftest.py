"""A watch beside an application node, on one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RedisServer
from tiercel._async.cache import AsyncCache
from tiercel._async.changes.watch import AsyncWatch
from tiercel._async.region import AsyncRegion
from tiercel._core.clock import SystemClock
from tiercel._paired import AsyncPoll
from tiercel._process import Process
from tiercel.matrix import Matrix
from tiercel.typing import MISS

LIMIT_S = 20.0


@dataclass
class AsyncShop:
    """An application node that holds copies, and what the watch beside it said."""

    cache: AsyncCache
    watch: AsyncWatch
    said: list[tuple[str, Mapping[str, Any]]]

    @property
    def products(self) -> AsyncRegion:
        return self.cache.tenant("acme").region("product")

    @property
    def searches(self) -> AsyncRegion:
        return self.cache.tenant("acme").region("search")

    async def hold(self) -> None:
        """Keep a copy of ten products and of a search in each of three categories."""
        await self.products.set_many({f"p{n}": n for n in range(10)})
        for category in "abc":
            await self.searches.set(category, category, tags=[f"category:{category}"])

    async def fallen(self) -> set[str]:
        """Say what of `hold` has fallen."""
        products = {f"p{n}" for n in range(10) if await self.products.get(f"p{n}") is MISS}
        return products | {each for each in "abc" if await self.searches.get(each) is MISS}

    async def fall(self, expected: set[str]) -> set[str]:
        """Wait until *expected* has fallen; return what has."""
        poll = AsyncPoll(LIMIT_S)
        while not expected <= await self.fallen() and await poll.again():
            pass
        return await self.fallen()

    async def wait_for(self, event: str, count: int = 1) -> Mapping[str, Any]:
        """Wait until the watch said *event* for the count-th time; return what it said."""
        poll = AsyncPoll(LIMIT_S)
        while len([name for name, _ in self.said if name == event]) < count and await poll.again():
            pass
        return [fields for name, fields in self.said if name == event][count - 1]


@pytest.fixture
def matrix_of(clean_redis: RedisServer, tmp_path: Path) -> Callable[[str], Matrix]:
    """Give the matrix of a TOML text, with the test's Redis."""

    def make(text: str) -> Matrix:
        shared = f'[cache]\nredis = "{clean_redis.url}"\nstate_dir = "{tmp_path}"\n'
        return Matrix.from_text(shared + text)

    return make


@asynccontextmanager
async def async_shopping(matrix: Matrix) -> AsyncIterator[AsyncShop]:
    """Open a node, and a watch in what stands for another process."""
    said: list[tuple[str, Mapping[str, Any]]] = []
    watch = AsyncWatch(matrix, clock=SystemClock(), events=lambda name, fields: said.append((name, dict(fields))))
    async with AsyncCache(matrix, process=Process.shared("node")) as cache:
        await watch.start()
        try:
            yield AsyncShop(cache, watch, said)
        finally:
            await watch.aclose()
