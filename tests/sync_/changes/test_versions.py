# Generated from tests/async_/changes/test_versions.py by tools/unasync.py. Do not edit.
"""A change that the tiers know already, by its version, throws nothing away; an older copy never survives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiercel._sync.cache import Cache
from tiercel._sync.changes.watch import Watch
from tiercel._sync.stores import MemoryStore
from tiercel._core.clock import SystemClock
from tiercel._core.graph import Fall
from tiercel._paired import Poll
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


def test_a_watch_needs_neither_stores_nor_keys(matrix_of: Callable[[str], Matrix]) -> None:
    text = """
    [regions.product]
    store = "postgres://127.0.0.1:1/nowhere#products"
    strategy = "write-behind"
    encrypt = "vault"
    [keys.vault]
    source = "env:TIERCEL_KEY_THAT_IS_NOT_SET"
    [changes.shop]
    url = "postgres://127.0.0.1:1/nowhere"
    lease = "500ms"
    [changes.shop.tables.products]
    regions = ["product:{sku}"]
    """
    said: list[str] = []
    watch = Watch(matrix_of(text), clock=SystemClock(), events=lambda name, fields: said.append(name))
    watch.start()
    poll = Poll(10.0)
    while "changes_interrupted" not in said and poll.again():
        pass
    assert watch.gauges()["changes_lag"] > 0  # a database that does not answer lets its changes wait
    watch.close()
