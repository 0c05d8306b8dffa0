# Generated from tests/async_/journals/test_contract.py by tools/unasync.py. Do not edit.
"""
The journal contract, run on every kind: durable queue, versions, leases with fencing, dead letters.
"""

from __future__ import annotations

from typing import Any

import pytest

from tiercel._sync.journals import Journal
from tiercel._sync.journals.payload import encode_draft
from tiercel._core.journal import Draft, Fate, JournalEntry, Lease
from tiercel._paired import Function, gather
from tiercel.errors import ConfigurationError, LeaseLost
from tiercel.testing import ManualClock
from tiercel.typing import DELETED, Key, Record

TTL_S = 60.0


def draft(key: Key, value: Any, version: int = 1, tenant: str = "acme", accepted_s: float = 100.0) -> Draft:
    return encode_draft(tenant, key, value, version, accepted_s)


def hold(journal: Journal, partition: int, owner: str = "one") -> Lease:
    lease = journal.lease(partition, owner, TTL_S)
    assert lease is not None
    return lease


def take_all(journal: Journal, owner: str = "one") -> list[tuple[Lease, JournalEntry]]:
    taken = []
    for partition in range(journal.partitions):
        lease = hold(journal, partition, owner)
        taken += [(lease, entry) for entry in journal.take(lease, 0, 1000, TTL_S)]
    return taken


def test_gives_back_what_was_appended(journal: Journal) -> None:
    values: dict[Key, Any] = {
        "text": {"a": [1, 2.5, None, True]},
        b"bytes": b"\x00\xff",
        "": "",
        "ключ": "значение",
        "gone": DELETED,
    }
    journal.append([draft(key, value) for key, value in values.items()])
    taken = {entry.change.key: entry.change.value for _, entry in take_all(journal)}
    assert taken == values


def test_order_and_versions_grow_inside_a_partition(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    first = journal.append([draft("a", 1, 50), draft("a", 2, 10), draft("b", 3, 10)])
    second = journal.append([draft("a", 4, 5)])
    assert [*first.versions, *second.versions] == [50, 51, 52, 53]
    entries = journal.take(hold(journal, 0), 0, 10, TTL_S)
    assert [entry.change.value for entry in entries] == [1, 2, 3, 4]
    assert [entry.position for entry in entries] == sorted(entry.position for entry in entries)


def test_versions_of_63_bits_are_exact(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    large = (1 << 62) + 12_345_678_901
    accepted = journal.append([draft("a", 1, large), draft("a", 2, large), draft("a", 3, large - 7)])
    assert accepted.versions == [large, large + 1, large + 2]
    assert (journal.newest("acme", ["a"]))["a"] == Record(3, large + 2)


def test_two_nodes_never_give_the_same_version(make_journal: Function[..., Journal]) -> None:
    one, two = make_journal(1), make_journal(1)
    nodes = [one, two] * 20
    answers = gather(*[node.append([draft("a", n), draft("b", n)]) for n, node in enumerate(nodes)])
    versions = [version for answer in answers for version in answer.versions]
    assert len(set(versions)) == len(versions) == 80


def test_take_is_repeatable_and_moves_with_the_cursor(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    journal.append([draft(f"k{n}", n) for n in range(10)])
    lease = hold(journal, 0)
    first = journal.take(lease, 0, 4, TTL_S)
    assert first == journal.take(lease, 0, 4, TTL_S)
    rest = journal.take(lease, first[-1].position, 100, TTL_S)
    assert [entry.change.value for entry in [*first, *rest]] == list(range(10))


def test_settle_removes_only_what_it_names(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    accepted = journal.append([draft(f"k{n}", "x" * n, accepted_s=100.0 + n) for n in range(4)])
    assert (accepted.size.rows, accepted.size.oldest_s) == (4, 100.0)
    lease = hold(journal, 0)
    entries = journal.take(lease, 0, 10, TTL_S)
    size = journal.settle(lease, [entries[0], entries[2]], [])
    assert (size.rows, size.oldest_s) == (2, 101.0)
    assert size.size_bytes == entries[1].size_bytes + entries[3].size_bytes
    assert size == journal.size()
    assert journal.take(lease, 0, 10, TTL_S) == [entries[1], entries[3]]
    assert (journal.settle(lease, entries, [])).rows == 0
    assert (journal.size()).oldest_s is None


def test_overlay_shows_the_newest_waiting_write(journal: Journal) -> None:
    journal.append([draft("a", 1), draft("b", 1), draft("a", 2), draft("a", DELETED), draft("a", 9, tenant="b")])
    found = journal.newest("acme", ["a", "b", "c"])
    assert {key: record.value for key, record in found.items()} == {"a": DELETED, "b": 1}
    assert (journal.newest("b", ["a"]))["a"].value == 9
    for lease, entry in take_all(journal):
        journal.settle(lease, [entry], [])
    assert journal.newest("acme", ["a", "b"]) == {}


def test_lease_is_exclusive_until_released(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(2)
    lease = hold(journal, 0, "one")
    assert journal.lease(0, "two", TTL_S) is None
    assert journal.lease(0, "one", TTL_S) == lease
    assert journal.lease(1, "two", TTL_S) is not None
    journal.release(lease)
    journal.release(lease)
    other = journal.lease(0, "two", TTL_S)
    assert other is not None
    assert other.fence > lease.fence


def test_a_worker_that_lost_its_lease_changes_nothing(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    journal.append([draft("a", 1)])
    stale = hold(journal, 0, "one")
    entries = journal.take(stale, 0, 10, TTL_S)
    journal.release(stale)
    fresh = hold(journal, 0, "two")
    with pytest.raises(LeaseLost):
        journal.settle(stale, entries, [])
    with pytest.raises(LeaseLost):
        journal.settle(stale, [], [(entries[0], "no")])
    with pytest.raises(LeaseLost):
        journal.take(stale, 0, 10, TTL_S)
    journal.release(stale)
    assert journal.take(fresh, 0, 10, TTL_S) == entries


def test_workers_see_each_other(journal: Journal) -> None:
    assert journal.enlist("one", TTL_S) == ["one"]
    assert journal.enlist("two", TTL_S) == ["one", "two"]
    journal.resign("one")
    assert journal.enlist("two", TTL_S) == ["two"]


def test_parked_writes_are_listed_retried_and_dropped(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    versions = (journal.append([draft(f"k{n}", n) for n in range(3)])).versions
    lease = hold(journal, 0)
    entries = journal.take(lease, 0, 10, TTL_S)
    size = journal.settle(lease, [entries[0]], [(entries[2], "later one"), (entries[1], "nul \0 and ünïcode")])
    assert (size.rows, size.dead) == (0, 2)
    letters = journal.dead_letters()
    assert {letter.entry.change.value for letter in letters} == {1, 2}
    assert any("later one" in letter.reason for letter in letters)
    assert journal.dead_letters(after=letters[0].id) == letters[1:]
    assert journal.dead_letters(limit=1) == letters[:1]

    again = next(letter for letter in letters if letter.entry.change.value == 2)
    assert journal.retry([again.id, "nonsense"]) == 1
    (entry,) = journal.take(lease, entries[-1].position, 10, TTL_S)
    assert (entry.change.version, entry.change.value) == (versions[2], 2)
    assert (journal.size()).rows == 1
    assert journal.drop([letter.id for letter in letters]) == 1
    assert journal.dead_letters() == []


def test_fate_of_a_write(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    one, two, three = (journal.append([draft("a", 1), draft("a", 2), draft("b", 3)])).versions
    lease = hold(journal, 0)
    entries = journal.take(lease, 0, 10, TTL_S)
    assert journal.fate("acme", "a", one) == (Fate.PENDING, "")
    journal.settle(lease, [entries[0]], [(entries[1], "bad row")])
    assert journal.fate("acme", "a", one) == (Fate.SETTLED, "")
    assert journal.fate("acme", "a", two) == (Fate.PARKED, "bad row")
    assert journal.fate("acme", "b", three) == (Fate.PENDING, "")
    journal.settle(lease, [entries[2]], [])
    assert journal.fate("acme", "b", three) == (Fate.SETTLED, "")


def test_forget_up_to_a_version_and_altogether(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(1)
    versions = (journal.append([draft("a", 1), draft("a", 2), draft("b", 3), draft("a", 4)])).versions
    assert journal.forget("acme", "a", versions[1]) == 2
    assert (journal.newest("acme", ["a"]))["a"].value == 4
    lease = hold(journal, 0)
    entries = journal.take(lease, 0, 10, TTL_S)
    assert [entry.change.value for entry in entries] == [3, 4]
    journal.append([draft("a", 5)])
    journal.settle(lease, [], [(entries[1], "bad")])
    assert journal.forget("acme", "a") == 2
    size = journal.size()
    assert (size.rows, size.dead, size.size_bytes) == (1, 0, entries[0].size_bytes)


def test_empty_partitions_may_be_renumbered_full_ones_not(make_journal: Function[..., Journal]) -> None:
    journal = make_journal(2)
    (version,) = (journal.append([draft("a", 1, 1_000_000)])).versions
    with pytest.raises(ConfigurationError, match="drain it"):
        make_journal(3)
    for lease, entry in take_all(journal):
        journal.settle(lease, [entry], [])
    wider = make_journal(3)
    assert (wider.append([draft("a", 2, version + 1)])).versions[0] > version


def test_lease_runs_out(make_journal: Function[..., Journal], clock: ManualClock) -> None:
    journal = make_journal(1)
    if type(journal).__name__.endswith(("MemoryJournal", "FileJournal")):
        stale = hold(journal, 0, "one")
        clock.advance(TTL_S)
    else:
        lease = journal.lease(0, "one", 0.0)  # the server's clock counts: a lease that is over at once
        assert lease is not None
        stale = lease
    fresh = hold(journal, 0, "two")
    assert fresh.fence == stale.fence + 1
    with pytest.raises(LeaseLost):
        journal.take(stale, 0, 1, TTL_S)
