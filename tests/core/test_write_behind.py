"""
The pure parts of write-behind: versions, back-off, batch size, bounds, shares, slots.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.backoff import Backoff
from tiercel._core.batching import AdaptiveBatch
from tiercel._core.coalesce import Identity, Slot, coalesce
from tiercel._core.hlc import MAX_VERSION, HybridClock
from tiercel._core.journal import FlushCounters, JournalEntry, JournalSize, JournalStats, partition_of
from tiercel._core.pressure import Bounds
from tiercel._core.shares import share_of
from tiercel.typing import Change

SECOND_US = 1_000_000


def entry(position: int, key: str, value: object, version: int) -> JournalEntry:
    return JournalEntry(position, Change("acme", key, value, version), 0.0, 10)


@given(st.lists(st.tuples(st.integers(0, 10**16), st.integers(0, 10**16), st.booleans())))
def test_versions_grow_whatever_the_clock_does(steps: list[tuple[int, int, bool]]) -> None:
    clock, last = HybridClock(), 0
    for now_us, other, seen in steps:
        if seen:
            clock.observe(other)
            last = max(last, other)
        version = clock.next(now_us, floor=other)
        assert version > last
        assert version > other
        assert version >= now_us
        last = version


def test_versions_follow_the_wall_clock_where_it_leads() -> None:
    clock = HybridClock()
    assert clock.next(5 * SECOND_US) == 5 * SECOND_US
    assert clock.next(4 * SECOND_US) == 5 * SECOND_US + 1
    assert clock.next(6 * SECOND_US) == 6 * SECOND_US
    assert clock.last == 6 * SECOND_US


def test_versions_stop_at_63_bits() -> None:
    with pytest.raises(OverflowError, match="63 bits"):
        HybridClock(MAX_VERSION).next(0)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_stay_inside_their_bounds(tries: int, chance: float) -> None:
    pause_s = Backoff(0.1, 30.0).pause_s(tries, chance)
    ceiling_s = min(30.0, 0.1 * 2 ** (min(tries, 100) - 1))
    assert ceiling_s / 2 <= pause_s <= ceiling_s


def test_batches_shrink_fast_and_grow_back() -> None:
    batch = AdaptiveBatch(500)
    for expected in (250, 125, 62):
        batch.shrink()
        assert batch.size == expected
    for _ in range(20):
        batch.shrink()
    assert batch.size == 1
    for _ in range(40):
        batch.grow()
    assert batch.size == 500


@pytest.mark.parametrize(
    ("bounds", "size", "more_rows", "more_bytes", "named"),
    [
        (Bounds(rows=10), JournalSize(10, 0, 0.0), 1, 0, "max_pending=10"),
        (Bounds(rows=10), JournalSize(9, 0, 0.0), 1, 0, None),
        (Bounds(size_bytes=100), JournalSize(1, 90, 0.0), 1, 11, "max_pending_bytes=100"),
        (Bounds(size_bytes=100), JournalSize(0, 0, None), 1, 1_000, None),
        (Bounds(age_s=5.0), JournalSize(1, 1, 94.0), 1, 1, "max_age_s=5.0"),
        (Bounds(age_s=5.0), JournalSize(1, 1, 95.0), 1, 1, None),
        (Bounds(), JournalSize(10**9, 10**12, 0.0), 1, 1, None),
    ],
)
def test_bounds_name_what_is_reached(
    bounds: Bounds, size: JournalSize, more_rows: int, more_bytes: int, named: str | None
) -> None:
    reason = bounds.reached(size, more_rows=more_rows, more_bytes=more_bytes, now_s=100.0)
    assert (reason is None) if named is None else (reason is not None and reason.startswith(named))


@given(st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=8), st.integers(1, 64))
def test_shares_cover_every_partition_once(workers: set[str], partitions: int) -> None:
    shares = [share_of(worker, workers, partitions) for worker in workers]
    assert sorted(partition for share in shares for partition in share) == list(range(partitions))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_worker_that_is_not_on_the_roll_counts_itself() -> None:
    assert share_of("b", ["a"], 4) == {1, 3}


def test_partitions_are_the_same_in_every_process() -> None:
    assert [partition_of(identity, 8) for identity in (b"", b"a", b"tenant:key")] == [0, 3, 4]


def test_a_slot_gives_writes_back_newest_first() -> None:
    slots: dict[Identity, Slot] = {}
    coalesce([entry(1, "a", 1, 10), entry(3, "a", 3, 30), entry(2, "a", 2, 20), entry(4, "b", 9, 40)], slots)
    slot = slots["acme", "a"]
    assert (len(slots), len(slot), slot.change.value) == (2, 3, 3)
    assert [one.position for one in slot.entries] == [1, 2, 3]
    refused = []
    more = True
    while more:
        write, more = slot.refuse()
        refused.append(write.change.value)
    assert refused == [3, 2, 1]


def test_a_newer_write_is_due_at_once_an_older_one_changes_nothing() -> None:
    slot = Slot(("acme", "a"), entry(1, "a", 1, 10))
    slot.tries, slot.due_s = 2, 99.0
    slot.add(entry(2, "a", 0, 5))
    assert (slot.change.value, slot.tries, slot.due_s) == (1, 2, 99.0)
    slot.add(entry(3, "a", 2, 11))
    assert (slot.change.value, slot.tries, slot.due_s) == (2, 0, 0.0)


def test_stats_give_the_age_of_the_oldest_row() -> None:
    counters = FlushCounters(flushed=3, last_error="x")
    stats = JournalStats.of(JournalSize(2, 20, 90.0, 1), counters, 100.0)
    assert (stats.depth, stats.oldest_age_s, stats.flushed, stats.dead, stats.last_error) == (2, 10.0, 3, 1, "x")
    assert JournalStats.of(JournalSize(), counters, 100.0).oldest_age_s == 0.0
    assert JournalStats.of(JournalSize(1, 1, 101.0), counters, 100.0).oldest_age_s == 0.0
