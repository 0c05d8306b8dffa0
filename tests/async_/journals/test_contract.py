"""
The journal contract, run on every kind: durable queue, versions, leases with fencing, dead letters.
"""

from __future__ import annotations

from typing import Any

import pytest

from tiercel._async.journals import AsyncJournal
from tiercel._async.journals.payload import encode_draft
from tiercel._core.journal import Draft, Fate, JournalEntry, Lease
from tiercel._paired import AsyncFunction, async_gather
from tiercel.errors import ConfigurationError, LeaseLost
from tiercel.testing import ManualClock
from tiercel.typing import DELETED, Key, Record

TTL_S = 60.0


def draft(key: Key, value: Any, version: int = 1, tenant: str = "acme", accepted_s: float = 100.0) -> Draft:
    return encode_draft(tenant, key, value, version, accepted_s)


async def hold(journal: AsyncJournal, partition: int, owner: str = "one") -> Lease:
    lease = await journal.lease(partition, owner, TTL_S)
    assert lease is not None
    return lease


async def take_all(journal: AsyncJournal, owner: str = "one") -> list[tuple[Lease, JournalEntry]]:
    taken = []
    for partition in range(journal.partitions):
        lease = await hold(journal, partition, owner)
        taken += [(lease, entry) for entry in await journal.take(lease, 0, 1000, TTL_S)]
    return taken


async def test_gives_back_what_was_appended(journal: AsyncJournal) -> None:
    values: dict[Key, Any] = {
        "text": {"a": [1, 2.5, None, True]},
        b"bytes": b"\x00\xff",
        "": "",
        "ключ": "значение",
        "gone": DELETED,
    }
    await journal.append([draft(key, value) for key, value in values.items()])
    taken = {entry.change.key: entry.change.value for _, entry in await take_all(journal)}
    assert taken == values


async def test_order_and_versions_grow_inside_a_partition(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    first = await journal.append([draft("a", 1, 50), draft("a", 2, 10), draft("b", 3, 10)])
    second = await journal.append([draft("a", 4, 5)])
    assert [*first.versions, *second.versions] == [50, 51, 52, 53]
    entries = await journal.take(await hold(journal, 0), 0, 10, TTL_S)
    assert [entry.change.value for entry in entries] == [1, 2, 3, 4]
    assert [entry.position for entry in entries] == sorted(entry.position for entry in entries)


async def test_versions_of_63_bits_are_exact(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    large = (1 << 62) + 12_345_678_901
    accepted = await journal.append([draft("a", 1, large), draft("a", 2, large), draft("a", 3, large - 7)])
    assert accepted.versions == [large, large + 1, large + 2]
    assert (await journal.newest("acme", ["a"]))["a"] == Record(3, large + 2)


async def test_two_nodes_never_give_the_same_version(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    one, two = await make_journal(1), await make_journal(1)
    nodes = [one, two] * 20
    answers = await async_gather(*[node.append([draft("a", n), draft("b", n)]) for n, node in enumerate(nodes)])
    versions = [version for answer in answers for version in answer.versions]
    assert len(set(versions)) == len(versions) == 80


async def test_take_is_repeatable_and_moves_with_the_cursor(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    await journal.append([draft(f"k{n}", n) for n in range(10)])
    lease = await hold(journal, 0)
    first = await journal.take(lease, 0, 4, TTL_S)
    assert first == await journal.take(lease, 0, 4, TTL_S)
    rest = await journal.take(lease, first[-1].position, 100, TTL_S)
    assert [entry.change.value for entry in [*first, *rest]] == list(range(10))


async def test_settle_removes_only_what_it_names(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    accepted = await journal.append([draft(f"k{n}", "x" * n, accepted_s=100.0 + n) for n in range(4)])
    assert (accepted.size.rows, accepted.size.oldest_s) == (4, 100.0)
    lease = await hold(journal, 0)
    entries = await journal.take(lease, 0, 10, TTL_S)
    size = await journal.settle(lease, [entries[0], entries[2]], [])
    assert (size.rows, size.oldest_s) == (2, 101.0)
    assert size.size_bytes == entries[1].size_bytes + entries[3].size_bytes
    assert size == await journal.size()
    assert await journal.take(lease, 0, 10, TTL_S) == [entries[1], entries[3]]
    assert (await journal.settle(lease, entries, [])).rows == 0
    assert (await journal.size()).oldest_s is None


async def test_overlay_shows_the_newest_waiting_write(journal: AsyncJournal) -> None:
    await journal.append([draft("a", 1), draft("b", 1), draft("a", 2), draft("a", DELETED), draft("a", 9, tenant="b")])
    found = await journal.newest("acme", ["a", "b", "c"])
    assert {key: record.value for key, record in found.items()} == {"a": DELETED, "b": 1}
    assert (await journal.newest("b", ["a"]))["a"].value == 9
    for lease, entry in await take_all(journal):
        await journal.settle(lease, [entry], [])
    assert await journal.newest("acme", ["a", "b"]) == {}


async def test_lease_is_exclusive_until_released(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(2)
    lease = await hold(journal, 0, "one")
    assert await journal.lease(0, "two", TTL_S) is None
    assert await journal.lease(0, "one", TTL_S) == lease
    assert await journal.lease(1, "two", TTL_S) is not None
    await journal.release(lease)
    await journal.release(lease)
    other = await journal.lease(0, "two", TTL_S)
    assert other is not None
    assert other.fence > lease.fence


async def test_a_worker_that_lost_its_lease_changes_nothing(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    await journal.append([draft("a", 1)])
    stale = await hold(journal, 0, "one")
    entries = await journal.take(stale, 0, 10, TTL_S)
    await journal.release(stale)
    fresh = await hold(journal, 0, "two")
    with pytest.raises(LeaseLost):
        await journal.settle(stale, entries, [])
    with pytest.raises(LeaseLost):
        await journal.settle(stale, [], [(entries[0], "no")])
    with pytest.raises(LeaseLost):
        await journal.take(stale, 0, 10, TTL_S)
    await journal.release(stale)
    assert await journal.take(fresh, 0, 10, TTL_S) == entries


async def test_workers_see_each_other(journal: AsyncJournal) -> None:
    assert await journal.enlist("one", TTL_S) == ["one"]
    assert await journal.enlist("two", TTL_S) == ["one", "two"]
    await journal.resign("one")
    assert await journal.enlist("two", TTL_S) == ["two"]


async def test_parked_writes_are_listed_retried_and_dropped(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    versions = (await journal.append([draft(f"k{n}", n) for n in range(3)])).versions
    lease = await hold(journal, 0)
    entries = await journal.take(lease, 0, 10, TTL_S)
    size = await journal.settle(lease, [entries[0]], [(entries[2], "later one"), (entries[1], "nul \0 and ünïcode")])
    assert (size.rows, size.dead) == (0, 2)
    letters = await journal.dead_letters()
    assert {letter.entry.change.value for letter in letters} == {1, 2}
    assert any("later one" in letter.reason for letter in letters)
    assert await journal.dead_letters(after=letters[0].id) == letters[1:]
    assert await journal.dead_letters(limit=1) == letters[:1]

    again = next(letter for letter in letters if letter.entry.change.value == 2)
    assert await journal.retry([again.id, "nonsense"]) == 1
    (entry,) = await journal.take(lease, entries[-1].position, 10, TTL_S)
    assert (entry.change.version, entry.change.value) == (versions[2], 2)
    assert (await journal.size()).rows == 1
    assert await journal.drop([letter.id for letter in letters]) == 1
    assert await journal.dead_letters() == []


async def test_fate_of_a_write(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    one, two, three = (await journal.append([draft("a", 1), draft("a", 2), draft("b", 3)])).versions
    lease = await hold(journal, 0)
    entries = await journal.take(lease, 0, 10, TTL_S)
    assert await journal.fate("acme", "a", one) == (Fate.PENDING, "")
    await journal.settle(lease, [entries[0]], [(entries[1], "bad row")])
    assert await journal.fate("acme", "a", one) == (Fate.SETTLED, "")
    assert await journal.fate("acme", "a", two) == (Fate.PARKED, "bad row")
    assert await journal.fate("acme", "b", three) == (Fate.PENDING, "")
    await journal.settle(lease, [entries[2]], [])
    assert await journal.fate("acme", "b", three) == (Fate.SETTLED, "")


async def test_forget_up_to_a_version_and_altogether(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(1)
    versions = (await journal.append([draft("a", 1), draft("a", 2), draft("b", 3), draft("a", 4)])).versions
    assert await journal.forget("acme", "a", versions[1]) == 2
    assert (await journal.newest("acme", ["a"]))["a"].value == 4
    lease = await hold(journal, 0)
    entries = await journal.take(lease, 0, 10, TTL_S)
    assert [entry.change.value for entry in entries] == [3, 4]
    await journal.append([draft("a", 5)])
    await journal.settle(lease, [], [(entries[1], "bad")])
    assert await journal.forget("acme", "a") == 2
    size = await journal.size()
    assert (size.rows, size.dead, size.size_bytes) == (1, 0, entries[0].size_bytes)


async def test_empty_partitions_may_be_renumbered_full_ones_not(make_journal: AsyncFunction[..., AsyncJournal]) -> None:
    journal = await make_journal(2)
    (version,) = (await journal.append([draft("a", 1, 1_000_000)])).versions
    with pytest.raises(ConfigurationError, match="drain it"):
        await make_journal(3)
    for lease, entry in await take_all(journal):
        await journal.settle(lease, [entry], [])
    wider = await make_journal(3)
    assert (await wider.append([draft("a", 2, version + 1)])).versions[0] > version


async def test_lease_runs_out(make_journal: AsyncFunction[..., AsyncJournal], clock: ManualClock) -> None:
    journal = await make_journal(1)
    if type(journal).__name__.endswith(("MemoryJournal", "FileJournal")):
        stale = await hold(journal, 0, "one")
        clock.advance(TTL_S)
    else:
        lease = await journal.lease(0, "one", 0.0)  # the server's clock counts: a lease that is over at once
        assert lease is not None
        stale = lease
    fresh = await hold(journal, 0, "two")
    assert fresh.fence == stale.fence + 1
    with pytest.raises(LeaseLost):
        await journal.take(stale, 0, 1, TTL_S)
