"""The recorder: events are kept, bounded and told; keys never leave it."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel.observe import Event, Recorder
from tiercel.observe.recorder import key_hash


class Listener:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.heard.append(event)


class Broken:
    """An observer that fails."""

    def on_event(self, event: Event) -> None:
        raise RuntimeError("no")


def test_counters_are_the_same_object_each_time() -> None:
    recorder = Recorder()
    recorder.region("product").tier("redis").hits += 1
    assert recorder.region("product").tier("redis").hits == 1
    assert recorder.regions()["product"] is recorder.region("product")


def test_events_of_a_key_are_found_newest_first() -> None:
    recorder = Recorder(wall=iter(range(100)).__next__)
    recorder.event("loaded", region="product", tenant="acme", key="sku-42")
    recorder.event("loaded", region="product", tenant="other", key="sku-42")
    recorder.event("fill_refused", region="product", tenant="acme", key="sku-42", tier="redis", why="tombstone")
    names = [(event.name, dict(event.fields)) for event in recorder.events_for("product", "acme", "sku-42")]
    assert names == [("fill_refused", {"why": "tombstone"}), ("loaded", {})]
    assert recorder.events_for("product", "acme", b"sku-42") == []


def test_the_ring_is_bounded_and_the_counts_are_not() -> None:
    recorder = Recorder(ring_size=3)
    for number in range(10):
        recorder.event("x", region="r", key=str(number))
    assert [event.key_hint for event in recorder.events()] == ["9", "8", "7"]
    assert recorder.events(1)[0].key_hint == "9"
    assert recorder.events(0) == []
    assert recorder.event_counts() == {("x", "r"): 10}


def test_no_key_is_kept() -> None:
    recorder = Recorder()
    listener = Listener()
    recorder.observers.append(listener)
    recorder.event("loaded", region="session", tenant="acme", key="user:jane.doe@example.com")
    assert listener.heard == recorder.events()
    assert "jane" not in repr(listener.heard)
    assert listener.heard[0].key_hint == "user…(25)"


def test_an_observer_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    listener = Listener()
    recorder.observers += [Broken(), listener]
    with caplog.at_level(logging.ERROR):
        recorder.event("x")
    assert len(listener.heard) == 1
    assert recorder.observer_errors == 1
    assert "failed on event x" in caplog.text


def test_tenants_are_bounded() -> None:
    recorder = Recorder(tenants_per_region=2)
    for number in range(1000):
        recorder.tenant_seen("product", f"tenant-{number}", "hit")
    recorder.tenant_seen("product", "big", "hit", 5000)
    tenants = recorder.tenants()["product"]
    assert next(iter(tenants)) == "big"
    assert len(tenants) == 3
    assert sum(outcomes["hit"] for outcomes in tenants.values()) == 6000


def test_local_hits_are_absorbed_once() -> None:
    recorder = Recorder(tenants_per_region=2)
    recorder.tenant_read("product", "acme", 3, 1)
    recorder.absorb_local_hits("product", {"acme": 10, "globex": 4})
    recorder.absorb_local_hits("product", {"acme": 15, "globex": 4})
    assert recorder.tenants()["product"] == {"acme": {"hit": 18, "miss": 1}, "globex": {"hit": 4}}
    recorder.absorb_local_hits("product", {"acme": 2})  # its table was made anew
    assert recorder.tenants()["product"]["acme"]["hit"] == 20


parts = st.text(max_size=6)


@given(
    st.tuples(parts, parts, st.text(max_size=6) | st.binary(max_size=6)),
    st.tuples(parts, parts, st.text(max_size=6) | st.binary(max_size=6)),
)
def test_different_keys_have_different_hashes(
    left: tuple[str, str, str | bytes], right: tuple[str, str, str | bytes]
) -> None:
    assert (key_hash(*left) == key_hash(*right)) == (left == right)
