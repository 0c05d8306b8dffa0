"""
Nodes for the live policy: caches with names of their own over one far tier of each kind, on clocks that tests move.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.async_.engine.conftest import far_url
from tiercel import AsyncCache, CacheOptions, Matrix, RegionOptions
from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._async.stores import AsyncMemoryStore
from tiercel._paired import AsyncFunction
from tiercel._process import Process

__all__ = ["Node", "far_url"]

Node = AsyncFunction[..., AsyncCache]


@pytest.fixture
async def node(far_url: str | None, tmp_path: Path) -> AsyncIterator[Node]:
    """Make a node by its name; all of one test share the far tier and the store of products."""
    opened: list[AsyncCache] = []
    records, namespace, rows = Process().records, f"t{secrets.token_hex(6)}", AsyncMemoryStore()

    async def make(name: str, *others: RegionOptions, process: Process | None = None) -> AsyncCache:
        process = process or Process()
        process.records = records
        options = CacheOptions(namespace=namespace, redis=far_url, node=name, state_dir=str(tmp_path / name))
        matrix = Matrix.of(RegionOptions(name="product", ttl_s=60.0), RegionOptions(name="plain", ttl_s=60.0), options)
        cache = AsyncCache(
            matrix.overlay(*others),
            process=process,
            stores={"product": rows},
            far=AsyncMemoryTier(records) if far_url is None else None,
        )
        opened.append(cache)
        return await cache.start()

    yield make
    for cache in opened:
        await cache.aclose()
