"""What happens around the entries: threads, collected cycles, finalizers, forks, clocks, builds without a compiler."""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
import weakref
from typing import Any

import pytest

from tests.local.conftest import Implementation
from tiercel._core.clock import ManualClock, SystemClock
from tiercel.errors import ConfigurationError
from tiercel.local import LocalTier, LocalView
from tiercel.local import tier as tier_module
from tiercel.local.ticker import Ticker, shared_ticker
from tiercel.options import LocalOptions
from tiercel.typing import MISS


class Watched:
    """A value whose death can be seen."""

    def __init__(self, other: Any = None) -> None:
        self.other = other


def test_values_die_with_their_entries(view: LocalView) -> None:
    value = Watched()
    seen = weakref.ref(value)
    view.set("k", value, ttl_s=10)
    del value
    view.set("k", 1, ttl_s=10)
    assert seen() is None


def test_a_cycle_through_the_tier_is_collected(implementation: Implementation) -> None:
    tier = LocalTier(implementation=implementation)
    view = tier.table("items", LocalOptions()).view("acme")
    value = Watched((tier, view, view.wrap(print, str, print)))
    view.set("k", value, ttl_s=10)
    seen = weakref.ref(value)
    del tier, view, value
    gc.collect()
    assert seen() is None


def test_a_finalizer_may_use_the_cache_that_lets_it_go(view: LocalView) -> None:
    ran: list[str] = []

    class Haunting:
        def __del__(self) -> None:
            ran.append("set")
            view.set("from the grave", 1, ttl_s=10)
            view.delete("k2")

    view.set("k", Haunting(), ttl_s=10)
    view.set("k2", 2, ttl_s=10)
    view.set("k", 1, ttl_s=10)
    assert ran == ["set"]
    assert (view.get("k"), view.get("from the grave"), view.get("k2")) == (1, 1, MISS)
    view.set("k", Haunting(), ttl_s=10)
    view.clear()
    assert view.get("from the grave") == 1


def test_threads_read_and_write_together(implementation: Implementation) -> None:
    table = LocalTier(implementation=implementation).table("items", LocalOptions(max_entries=200))
    errors: list[BaseException] = []
    stop = threading.Event()

    def work(seed: int) -> None:
        view = table.view(f"tenant{seed % 2}")
        try:
            for number in range(4000):
                key = f"k{number * (seed + 3) % 400}"
                value = view.get(key)
                assert value is MISS or value == key
                if number % 3 == 0:
                    view.set(key, key, ttl_s=10)
                elif number % 50 == 0:
                    view.delete(key)
                elif number % 501 == 0:
                    view.clear()
        except BaseException as error:
            errors.append(error)
            stop.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    stats = table.stats()
    assert stats.entries <= 200
    assert stats.entries == sum(tenant.entries for tenant in stats.tenants.values())


def test_the_system_clock_ends_a_ttl(implementation: Implementation) -> None:
    view = LocalTier(implementation=implementation, clock=SystemClock()).table("items", LocalOptions()).view("acme")
    view.set("k", 1, ttl_s=0.05)
    assert view.get("k") == 1
    deadline = time.monotonic() + 5
    while view.get("k") is not MISS:
        assert time.monotonic() < deadline
    assert time.monotonic() > deadline - 5 + 0.02


def test_a_clock_that_fails_fails_the_call(implementation: Implementation) -> None:
    class Broken(ManualClock):
        def monotonic(self) -> float:
            raise OSError("no time")

    view = LocalTier(implementation=implementation, clock=Broken()).table("items", LocalOptions()).view("acme")
    for act in (lambda: view.get("k"), lambda: view.set("k", 1, ttl_s=1), lambda: view.delete("k")):
        with pytest.raises(OSError, match="no time"):
            act()


def test_a_parked_ticker_sends_reads_to_the_exact_clock() -> None:
    ticker = Ticker(interval_s=0.001, lease_s=0.02)
    assert ticker.now == math.inf
    before = time.monotonic()
    assert ticker.read() >= before
    _until(lambda: ticker.now < math.inf)
    assert before <= ticker.now <= time.monotonic()
    _until(lambda: ticker.now == math.inf)
    ticker.read()
    _until(lambda: ticker.now < math.inf)


def test_a_ticker_without_threads_is_slow_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ticker = Ticker()
    ticker.read()
    assert ticker.now == math.inf


@pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork is missing")
def test_a_forked_child_reads_the_time_itself() -> None:
    view = LocalTier(implementation="reference").table("items", LocalOptions()).view("acme")
    view.set("k", 1, ttl_s=0.3)
    _until(lambda: shared_ticker().now < math.inf)
    child = os.fork()
    if child == 0:
        is_right = shared_ticker().now == math.inf and view.get("k") == 1
        time.sleep(0.4)
        os._exit(0 if is_right and view.get("k") is MISS else 1)
    assert os.waitpid(child, 0)[1] == 0


def _until(condition: Any, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_without_the_accelerator_the_reference_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_module, "NativeTable", None)
    assert LocalTier().implementation == "reference"
    with pytest.raises(ConfigurationError, match="was not built"):
        LocalTier(implementation="native")


def test_no_thread_runs_for_the_native_tier() -> None:
    if LocalTier().implementation != "native" or not sys.platform.startswith("linux"):
        pytest.skip("the accelerator tiercel.local._native with a coarse clock is missing")
    before = threading.active_count()
    view = LocalTier().table("items", LocalOptions()).view("acme")
    view.set("k", 1, ttl_s=1)
    view.get("k")
    assert threading.active_count() == before
