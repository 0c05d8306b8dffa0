# Generated from tests/async_/engine/test_origin.py by tools/unasync.py. Do not edit.
"""
The gate before a store: a cold cache cannot take the database down.
"""

from __future__ import annotations

import pytest

from tiercel import LoadTimeout
from tiercel._sync.guardedstore import GuardedStore
from tiercel._sync.origingate import OriginGate
from tiercel._sync.stores import MemoryStore
from tiercel._core.limiter import LimiterOptions
from tiercel._paired import Event, gather, spawn
from tiercel.typing import Change, Key, Record


class SlowStore(MemoryStore):
    """A store that holds its readers until it is told, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.go = Event()
        self.inside = 0
        self.most = 0
        self.served = 0

    def read(self, tenant: str, key: Key) -> Record | None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.go.wait_for(10.0)
        self.inside -= 1
        self.served += 1
        return super().read(tenant, key)


def test_never_more_loads_at_once_than_the_limit_and_all_are_served() -> None:
    slow = SlowStore()
    slow.write_many([Change("acme", str(number), number, 1) for number in range(40)])
    guarded = GuardedStore(slow, OriginGate("shop", LimiterOptions(start=4, most=4)), 10.0)
    readers = [spawn("reader", guarded.read, "acme", str(number)) for number in range(40)]
    while slow.inside < 4:
        Event().wait_for(0.002)
    slow.go.set()
    joined = gather(*[reader.join(10.0) for reader in readers])
    assert all(joined)
    assert slow.served == 40
    assert slow.most <= 4


def test_who_would_wait_too_long_is_refused_at_once() -> None:
    slow = SlowStore()
    guarded = GuardedStore(slow, OriginGate("shop", LimiterOptions(start=1, most=1, queue=0)), 10.0)
    first = spawn("first", guarded.read, "acme", "a")
    while slow.inside < 1:
        Event().wait_for(0.002)
    with pytest.raises(LoadTimeout, match="shop"):
        guarded.read("acme", "b")
    slow.go.set()
    assert first.join(10.0)


def test_a_failing_store_gives_its_place_back() -> None:
    class FailingStore(MemoryStore):
        def read(self, tenant: str, key: Key) -> Record | None:
            raise ConnectionError("down")

    guarded = GuardedStore(FailingStore(), OriginGate("shop", LimiterOptions(start=1, most=1)), 1.0)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            guarded.read("acme", "a")
