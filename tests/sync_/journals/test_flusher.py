# Generated from tests/async_/journals/test_flusher.py by tools/unasync.py. Do not edit.
"""
The flusher, round by round: coalescing, poison, bisection, outages, lost leases and lost answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.sync_.journals.doubles import FaultyStore
from tiercel._sync.flusher import Flusher, Settled
from tiercel._sync.journals import MemoryJournal
from tiercel._sync.journals.payload import encode_draft
from tiercel._core.journal import FlushCounters
from tiercel._paired import Event, spawn
from tiercel.errors import StoreError, StoreTimeout
from tiercel.options import JournalOptions
from tiercel.testing import ManualClock
from tiercel.typing import DELETED, Change, Key

OPTIONS = JournalOptions(kind="memory", durability="memory", partitions=1, batch_size=100, retry_s=0.1, retry_max_s=1.0)


class Bench:
    """One partition, its store, and flushers for it."""

    def __init__(self, options: JournalOptions = OPTIONS) -> None:
        self.clock = ManualClock()
        self.options = options
        self.journal = MemoryJournal(1, clock=self.clock)
        self.store = FaultyStore()
        self.counters = FlushCounters()
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.settled: list[Settled] = []
        self.flusher = self.hire("one")

    def hire(self, owner: str) -> Flusher:
        """Return another worker for the partition."""
        return Flusher(
            self.journal,
            self.store,
            0,
            owner,
            self.options,
            clock=self.clock,
            counters=self.counters,
            events=lambda name, fields: self.events.append((name, fields)),
            settled=self._settled,
        )

    def _settled(self, settled: Settled) -> None:
        self.settled.append(settled)

    def write(self, *rows: tuple[Key, Any]) -> list[int]:
        """Journal writes of one tenant, in order."""
        drafts = [encode_draft("acme", key, value, 1, self.clock.wall()) for key, value in rows]
        return (self.journal.append(drafts)).versions

    def flush(self, rounds: int = 1) -> None:
        """Run rounds, with time enough between them for every pause to end."""
        for _ in range(rounds):
            self.flusher.flush_once()
            self.clock.advance(2.0)

    def left(self) -> int:
        """Rows that wait."""
        return (self.journal.size()).rows

    def dead(self) -> dict[Key, Any]:
        """Parked values by key."""
        return {letter.entry.change.key: letter.entry.change.value for letter in self.journal.dead_letters()}

    def told(self, name: str) -> int:
        """How often an event was told."""
        return sum(event == name for event, _ in self.events)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_writes_of_a_key_become_one_row(bench: Bench) -> None:
    bench.write(*[("hot", n) for n in range(50)], ("cold", 1))
    bench.flush()
    assert [len(call) for call in bench.store.calls] == [2]
    assert (bench.store.value("hot"), bench.store.value("cold"), bench.left()) == (49, 1, 0)
    assert (bench.counters.flushed, bench.counters.coalesced) == (2, 49)


def test_the_last_writer_wins_across_a_delete(bench: Bench) -> None:
    bench.write(("a", 1), ("a", DELETED), ("a", 3), ("b", 1), ("b", DELETED))
    bench.flush()
    assert (bench.store.value("a"), bench.store.value("b")) == (3, None)
    bench.write(("b", 2))
    bench.flush()
    assert bench.store.value("b") == 2


def test_a_poison_row_is_parked_alone_with_its_reason(bench: Bench) -> None:
    bench.store.refuses = lambda change: change.key == "k7"
    bench.write(*[(f"k{n}", n) for n in range(20)])
    bench.flush()
    assert len(bench.store.rows) == 19
    assert bench.left() == 1
    bench.flush(OPTIONS.poison_after - 1)
    assert (bench.dead(), bench.left()) == ({"k7": 7}, 0)
    assert (bench.journal.dead_letters())[0].reason == "StoreError: refused by a constraint"
    assert (bench.told("row_refused"), bench.told("row_parked")) == (OPTIONS.poison_after - 1, 1)


def test_a_poison_row_brings_the_write_before_it_back(bench: Bench) -> None:
    bench.store.refuses = lambda change: change.value == "bad"
    bench.write(("a", "good"), ("a", "bad"), ("b", 1), ("b", "bad"), ("b", "bad"))
    bench.flush(OPTIONS.poison_after * 2 + 1)
    assert (bench.store.value("a"), bench.store.value("b")) == ("good", 1)
    assert len(bench.journal.dead_letters()) == 3
    assert bench.left() == 0


def test_a_newer_write_takes_the_place_of_a_poison_row(bench: Bench) -> None:
    bench.store.refuses = lambda change: change.value == "bad"
    bench.write(("a", "bad"))
    bench.flush()
    bench.write(("a", "good"))
    bench.flush()
    assert (bench.store.value("a"), bench.left(), bench.dead()) == ("good", 0, {})


def test_a_retried_dead_letter_does_not_overtake(bench: Bench) -> None:
    bench.store.refuses = lambda change: change.value == "bad"
    bench.write(("a", "bad"))
    bench.flush(OPTIONS.poison_after)
    bench.write(("a", "newer"))
    bench.flush()
    bench.store.refuses = lambda change: False
    assert bench.journal.retry([letter.id for letter in bench.journal.dead_letters()]) == 1
    bench.flush()
    assert (bench.store.value("a"), bench.left(), bench.dead()) == ("newer", 0, {})


def test_a_batch_refused_as_a_whole_is_bisected(bench: Bench) -> None:
    def choke(changes: list[Change]) -> Exception | None:
        return ValueError("cannot write this") if any(change.value == "bad" for change in changes) else None

    bench.store.raises = choke  # type: ignore[assignment]  # a list is what the flusher passes
    bench.write(*[(f"k{n}", "bad" if n in (0, 1, 63) else n) for n in range(100)])
    bench.flush(OPTIONS.poison_after)
    assert sorted(bench.dead()) == ["k0", "k1", "k63"]
    assert len(bench.store.rows) == 97
    assert bench.told("flush_failed") == 0


def test_an_outage_blames_no_row_and_loses_none(bench: Bench) -> None:
    bench.store.is_down = True
    bench.write(*[(f"k{n}", n) for n in range(100)])
    bench.flush(50)
    assert (bench.left(), bench.dead()) == (100, {})
    assert len(bench.store.calls[-1]) == 1, "the batch shrinks while the store is out"
    bench.store.is_down = False
    bench.flush(30)
    assert (bench.left(), len(bench.store.rows)) == (0, 100)


def test_a_store_error_with_a_living_ping_blames_no_row(bench: Bench) -> None:
    bench.store.raises = lambda changes: StoreError("read only")
    bench.write(*[(f"k{n}", n) for n in range(100)])
    bench.flush(50)
    assert (bench.left(), bench.dead()) == (100, {})
    assert len(bench.store.calls) < 100, "a store that takes nothing is not asked row by row"


def test_a_timeout_is_no_refusal(bench: Bench) -> None:
    bench.store.raises = lambda changes: StoreTimeout("slow")
    bench.write(*[(f"k{n}", n) for n in range(10)])
    bench.flush(50)
    assert (bench.left(), bench.dead()) == (10, {})


def test_a_row_that_always_times_out_is_parked_once_others_go_through(bench: Bench) -> None:
    def slow(changes: Any) -> Exception | None:
        return StoreTimeout("slow") if any(change.key == "k3" for change in changes) else None

    bench.store.raises = slow
    bench.write(*[(f"k{n}", n) for n in range(10)])
    bench.flush(80)
    assert (bench.dead(), len(bench.store.rows)) == ({"k3": 3}, 9)


@pytest.mark.parametrize("k", range(12))
def test_a_lost_answer_after_the_kth_row_converges(bench: Bench, k: int) -> None:
    """The store applies the first k rows, then the connection breaks."""
    failures = 3

    def cut(changes: Any) -> Exception | None:
        nonlocal failures
        if failures == 0:
            return None
        failures -= 1
        for change in changes[:k]:
            bench.store._apply(change)
        return ConnectionResetError("cut")

    bench.store.raises = cut
    bench.write(*[(f"k{n}", n) for n in range(12)])
    bench.flush(12)
    assert {key: record.value for (_, key), record in bench.store.rows.items()} == {f"k{n}": n for n in range(12)}
    assert len(bench.store.applied) == 12, "every row took effect exactly once"
    assert (bench.left(), bench.dead()) == (0, {})


def test_a_crash_between_store_and_journal_has_no_second_effect(bench: Bench) -> None:
    bench.write(("a", 1), ("b", 2))
    bench.store.raises_after = lambda changes: ConnectionResetError("the answer was lost")
    bench.flush()
    bench.store.raises_after = lambda changes: None
    bench.write(("a", 3))
    successor = bench.hire("two")
    bench.clock.advance(OPTIONS.lease_s)
    successor.flush_once()
    assert (bench.store.value("a"), bench.store.value("b"), bench.left()) == (3, 2, 0)
    assert [change.value for change in bench.store.applied] == [1, 2, 3]


def test_a_frozen_worker_that_wakes_late_changes_nothing(bench: Bench) -> None:
    """
    1. worker one takes v1 and freezes before the store has it;
    2. its lease runs out, worker two writes v1, then v2;
    3. worker one wakes and writes v1: the guard refuses it, the journal refuses its settlement.
    """
    bench.write(("a", "v1"))
    bench.store.gate = Event()
    frozen = spawn("frozen", bench.flusher.flush_once)
    assert bench.store.entered.wait_for(5.0)
    gate, bench.store.gate = bench.store.gate, None

    bench.clock.advance(OPTIONS.lease_s)
    other = bench.hire("two")
    other.flush_once()
    bench.write(("a", "v2"))
    gate.set()
    assert frozen.join(5.0)
    assert bench.told("lease_lost") == 1
    other.flush_once()
    assert (bench.store.value("a"), bench.left()) == ("v2", 0)
    versions = [change.version for change in bench.store.applied]
    assert versions == sorted(versions)


def test_a_lease_held_elsewhere_leaves_the_partition_alone(bench: Bench) -> None:
    assert bench.journal.lease(0, "somebody", 60.0) is not None
    bench.write(("a", 1))
    assert bench.flusher.flush_once() == 0
    assert bench.store.calls == []
