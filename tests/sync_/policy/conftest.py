# Generated from tests/async_/policy/conftest.py by tools/unasync.py. Do not edit.
"""
Nodes for the live policy: caches with names of their own over one far tier of each kind, on clocks that tests move.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync_.engine.conftest import far_url
from tiercel import Cache, CacheOptions, Matrix, RegionOptions
from tiercel._sync.memory_tier import MemoryTier
from tiercel._sync.stores import MemoryStore
from tiercel._paired import Function
from tiercel._process import Process

__all__ = ["Node", "far_url"]

Node = Function[..., Cache]


@pytest.fixture
def node(far_url: str | None, tmp_path: Path) -> Iterator[Node]:
    """Make a node by its name; all of one test share the far tier and the store of products."""
    opened: list[Cache] = []
    records, namespace, rows = Process().records, f"t{secrets.token_hex(6)}", MemoryStore()

    def make(name: str, *others: RegionOptions, process: Process | None = None) -> Cache:
        process = process or Process()
        process.records = records
        options = CacheOptions(namespace=namespace, redis=far_url, node=name, state_dir=str(tmp_path / name))
        matrix = Matrix.of(RegionOptions(name="product", ttl_s=60.0), RegionOptions(name="plain", ttl_s=60.0), options)
        cache = Cache(
            matrix.overlay(*others),
            process=process,
            stores={"product": rows},
            far=MemoryTier(records) if far_url is None else None,
        )
        opened.append(cache)
        return cache.start()

    yield make
    for cache in opened:
        cache.close()
