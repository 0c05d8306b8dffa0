# Generated from tests/async_/changes/test_versions.py by tools/unasync.py. Do not edit.
"""A change that the tiers know already, by its version, throws nothing away; an older copy never survives it."""

from __future__ import annotations

import pytest

from tiercel._sync.cache import Cache
from tiercel._sync.stores import MemoryStore
from tiercel._core.graph import Fall
from tiercel._process import Process
from tiercel.matrix import Matrix
from tiercel.options import RegionOptions
from tiercel.typing import MISS

TIERS = [("local", "redis"), ("redis",), ("local",)]


@pytest.mark.parametrize("tiers", TIERS)
def test_a_copy_as_new_as_the_change_stays(tiers: tuple[str, ...]) -> None:
    store = MemoryStore()
    options = RegionOptions(name="product", tiers=tiers, ttl_s=60.0, store="given")  # type: ignore[arg-type]
    matrix = Matrix.of(options)
    process = Process.shared(f"{Cache.__name__}-versions-{'-'.join(tiers)}")
    with Cache(matrix, stores={"product": store}, process=process) as cache:
        tenant = cache.tenant("acme")
        products = tenant.region("product")
        products.write("p1", {"price": 1})
        record = store.read("acme", "p1")
        assert record is not None
        change = Fall(keys=(("product", "p1"),))
        tenant.fall(change, floor=record.version)  # its own write, seen again in the database's log
        if "redis" in tiers:
            assert products.get("p1") == {"price": 1}
        tenant.fall(change, floor=record.version + 1)  # somebody else's
        assert products.get("p1") is MISS
        products.write("p1", {"price": 2})
        tenant.fall(change)  # of unknown version
        assert products.get("p1") is MISS
