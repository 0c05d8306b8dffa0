# Generated from tests/async_/journals/test_worker.py by tools/unasync.py. Do not edit.
"""
Workers: they share the partitions of a journal, hand them over when they go, and tell what they did by region.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.sync_.journals.doubles import FaultyStore
from tiercel._sync.crew import FlushCrew
from tiercel._sync.flusher import Settled
from tiercel._sync.journals import FileJournal, Journal, MemoryJournal
from tiercel._sync.journals.payload import encode_draft
from tiercel._sync.worker import Post, Worker
from tiercel._core.clock import SystemClock
from tiercel.options import JournalOptions
from tiercel.testing import ManualClock

OPTIONS = JournalOptions(kind="memory", durability="memory", partitions=4, interval_s=0.02, retry_s=0.01, lease_s=5.0)
LONG_S = 30.0


def ignore(settled: Settled) -> None:
    """Take no notice."""


def crew_of(journal: Journal, owner: str, clock: ManualClock) -> FlushCrew:
    store = FaultyStore()
    return FlushCrew(journal, store, owner, OPTIONS, clock=clock, events=lambda name, fields: None, settled=ignore)


def test_workers_share_partitions_and_take_over_from_the_dead() -> None:
    clock = ManualClock()
    journal = MemoryJournal(4, clock=clock)
    one, two = crew_of(journal, "one", clock), crew_of(journal, "two", clock)
    assert one.call_roll() == {0, 1, 2, 3}
    assert two.call_roll() == {1, 3}
    assert one.call_roll() == {0, 2}
    clock.advance(OPTIONS.lease_s)  # the second says nothing any more
    assert one.call_roll() == {0, 1, 2, 3}


def test_a_flusher_gives_back_what_is_no_longer_its_share() -> None:
    clock = ManualClock()
    journal = MemoryJournal(4, clock=clock)
    one = crew_of(journal, "one", clock)
    flusher = one.flushers[1]
    one.call_roll()
    flusher.flush_once()
    assert journal.lease(1, "two", LONG_S) is None
    crew_of(journal, "two", clock).call_roll()
    assert one.call_roll() == {0, 2}
    flusher._round()
    assert journal.lease(1, "two", LONG_S) is not None


def posts(tmp_path: Path) -> dict[str, Post]:
    return {
        region: Post(
            region,
            OPTIONS,
            FileJournal(tmp_path / f"{region}.journal", 4, clock=SystemClock()),
            FaultyStore(),
        )
        for region in ("profile", "price")
    }


def fill(journal: Journal, count: int) -> None:
    journal.open()
    journal.append([encode_draft("acme", f"k{n}", n, 1, 0.0) for n in range(count)])


def test_a_worker_drains_every_region_and_hands_over(tmp_path: Path) -> None:
    jobs = posts(tmp_path)
    for post in jobs.values():
        fill(post.journal, 30)
    told: list[tuple[str, Mapping[str, Any]]] = []
    worker = Worker(
        list(jobs.values()), clock=SystemClock(), events=lambda name, fields: told.append((name, fields))
    )
    worker.start()
    assert worker.drain(LONG_S) == 0
    worker.close()
    assert {fields["region"] for name, fields in told if name == "flush"} == {"profile", "price"}
    for post in jobs.values():
        store: Any = post.store
        assert len(store.rows) == 30
        again = FileJournal(tmp_path / f"{post.region}.journal", 4, clock=SystemClock())
        again.open()
        assert again.lease(0, "another", LONG_S) is not None, "handed over at once"
        assert again.enlist("another", LONG_S) == ["another"]
        again.close()


def test_a_worker_whose_store_is_out_says_what_is_left(tmp_path: Path) -> None:
    jobs = posts(tmp_path)
    fill(jobs["profile"].journal, 5)
    store: Any = jobs["profile"].store
    store.is_down = True
    worker = Worker(list(jobs.values()), clock=SystemClock())
    worker.start()
    assert worker.drain(0.05) == 5
    assert worker.stats()["profile"].depth == 5
    assert worker.stats()["price"].depth == 0
    worker.close()
