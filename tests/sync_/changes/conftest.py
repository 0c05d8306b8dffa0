# Generated from tests/async_/changes/conftest.py by tools/unasync.py. Do not edit.
"""A watch beside an application node, on one Redis."""

from __future__ import annotations

from collections.abc import Iterator, Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RedisServer
from tiercel._sync.cache import Cache
from tiercel._sync.changes.watch import Watch
from tiercel._sync.region import Region
from tiercel._core.clock import SystemClock
from tiercel._paired import Poll
from tiercel._process import Process
from tiercel.matrix import Matrix
from tiercel.typing import MISS

LIMIT_S = 20.0


@dataclass
class Shop:
    """An application node that holds copies, and what the watch beside it said."""

    cache: Cache
    watch: Watch
    said: list[tuple[str, Mapping[str, Any]]]

    @property
    def products(self) -> Region:
        return self.cache.tenant("acme").region("product")

    @property
    def searches(self) -> Region:
        return self.cache.tenant("acme").region("search")

    def hold(self) -> None:
        """Keep a copy of ten products and of a search in each of three categories."""
        self.products.set_many({f"p{n}": n for n in range(10)})
        for category in "abc":
            self.searches.set(category, category, tags=[f"category:{category}"])

    def fallen(self) -> set[str]:
        """Say what of `hold` has fallen."""
        products = {f"p{n}" for n in range(10) if self.products.get(f"p{n}") is MISS}
        return products | {each for each in "abc" if self.searches.get(each) is MISS}

    def fall(self, expected: set[str]) -> set[str]:
        """Wait until *expected* has fallen; return what has."""
        poll = Poll(LIMIT_S)
        while not expected <= self.fallen() and poll.again():
            pass
        return self.fallen()

    def wait_for(self, event: str, count: int = 1) -> Mapping[str, Any]:
        """Wait until the watch said *event* for the count-th time; return what it said."""
        poll = Poll(LIMIT_S)
        while len([name for name, _ in self.said if name == event]) < count and poll.again():
            pass
        return [fields for name, fields in self.said if name == event][count - 1]


@pytest.fixture
def matrix_of(clean_redis: RedisServer, tmp_path: Path) -> Callable[[str], Matrix]:
    """Give the matrix of a TOML text, with the test's Redis."""

    def make(text: str) -> Matrix:
        shared = f'[cache]\nredis = "{clean_redis.url}"\nstate_dir = "{tmp_path}"\n'
        return Matrix.from_text(shared + text)

    return make


@contextmanager
def shopping(matrix: Matrix) -> Iterator[Shop]:
    """Open a node, and a watch in what stands for another process."""
    said: list[tuple[str, Mapping[str, Any]]] = []
    watch = Watch(matrix, clock=SystemClock(), events=lambda name, fields: said.append((name, dict(fields))))
    with Cache(matrix, process=Process.shared("node")) as cache:
        watch.start()
        try:
            yield Shop(cache, watch, said)
        finally:
            watch.close()
