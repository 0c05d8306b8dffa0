"""
Workers: they share the partitions of a journal, hand them over when they go, and tell what they did by region.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.async_.journals.doubles import AsyncFaultyStore
from tiercel._async.crew import AsyncFlushCrew
from tiercel._async.flusher import Settled
from tiercel._async.journals import AsyncFileJournal, AsyncJournal, AsyncMemoryJournal
from tiercel._async.journals.payload import encode_draft
from tiercel._async.worker import AsyncPost, AsyncWorker
from tiercel._core.clock import SystemClock
from tiercel.options import JournalOptions
from tiercel.testing import ManualClock

OPTIONS = JournalOptions(kind="memory", durability="memory", partitions=4, interval_s=0.02, retry_s=0.01, lease_s=5.0)
LONG_S = 30.0


async def ignore(settled: Settled) -> None:
    """Take no notice."""


def crew_of(journal: AsyncJournal, owner: str, clock: ManualClock) -> AsyncFlushCrew:
    store = AsyncFaultyStore()
    return AsyncFlushCrew(journal, store, owner, OPTIONS, clock=clock, events=lambda name, fields: None, settled=ignore)


async def test_workers_share_partitions_and_take_over_from_the_dead() -> None:
    clock = ManualClock()
    journal = AsyncMemoryJournal(4, clock=clock)
    one, two = crew_of(journal, "one", clock), crew_of(journal, "two", clock)
    assert await one.call_roll() == {0, 1, 2, 3}
    assert await two.call_roll() == {1, 3}
    assert await one.call_roll() == {0, 2}
    clock.advance(OPTIONS.lease_s)  # the second says nothing any more
    assert await one.call_roll() == {0, 1, 2, 3}


async def test_a_flusher_gives_back_what_is_no_longer_its_share() -> None:
    clock = ManualClock()
    journal = AsyncMemoryJournal(4, clock=clock)
    one = crew_of(journal, "one", clock)
    flusher = one.flushers[1]
    await one.call_roll()
    await flusher.flush_once()
    assert await journal.lease(1, "two", LONG_S) is None
    await crew_of(journal, "two", clock).call_roll()
    assert await one.call_roll() == {0, 2}
    await flusher._round()
    assert await journal.lease(1, "two", LONG_S) is not None


def posts(tmp_path: Path) -> dict[str, AsyncPost]:
    return {
        region: AsyncPost(
            region,
            OPTIONS,
            AsyncFileJournal(tmp_path / f"{region}.journal", 4, clock=SystemClock()),
            AsyncFaultyStore(),
        )
        for region in ("profile", "price")
    }


async def fill(journal: AsyncJournal, count: int) -> None:
    await journal.open()
    await journal.append([encode_draft("acme", f"k{n}", n, 1, 0.0) for n in range(count)])


async def test_a_worker_drains_every_region_and_hands_over(tmp_path: Path) -> None:
    jobs = posts(tmp_path)
    for post in jobs.values():
        await fill(post.journal, 30)
    told: list[tuple[str, Mapping[str, Any]]] = []
    worker = AsyncWorker(
        list(jobs.values()), clock=SystemClock(), events=lambda name, fields: told.append((name, fields))
    )
    await worker.start()
    assert await worker.drain(LONG_S) == 0
    await worker.aclose()
    assert {fields["region"] for name, fields in told if name == "flush"} == {"profile", "price"}
    for post in jobs.values():
        store: Any = post.store
        assert len(store.rows) == 30
        again = AsyncFileJournal(tmp_path / f"{post.region}.journal", 4, clock=SystemClock())
        await again.open()
        assert await again.lease(0, "another", LONG_S) is not None, "handed over at once"
        assert await again.enlist("another", LONG_S) == ["another"]
        await again.aclose()


async def test_a_worker_whose_store_is_out_says_what_is_left(tmp_path: Path) -> None:
    jobs = posts(tmp_path)
    await fill(jobs["profile"].journal, 5)
    store: Any = jobs["profile"].store
    store.is_down = True
    worker = AsyncWorker(list(jobs.values()), clock=SystemClock())
    await worker.start()
    assert await worker.drain(0.05) == 5
    assert worker.stats()["profile"].depth == 5
    assert worker.stats()["price"].depth == 0
    await worker.aclose()
