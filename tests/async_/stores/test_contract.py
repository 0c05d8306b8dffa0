"""
The contract of every store, run against the fake and the real databases alike.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.async_.stores.conftest import StoreCase, product
from tiercel._paired import async_spawn
from tiercel.errors import ClosedError, KeyRefused
from tiercel.typing import DELETED, AsyncStore, Change, Key, Outcome, Record

TENANT = "acme"
WRITERS = 8


def put(key: Key, number: int, version: int, tenant: str = TENANT) -> Change:
    return Change(tenant, key, product(number), version)


def gone(key: Key, version: int) -> Change:
    return Change(TENANT, key, DELETED, version)


async def value_of(case: StoreCase, key: Key) -> Any:
    record = await case.store.read(TENANT, key)
    return None if record is None else record.value


async def test_every_store_is_one(case: StoreCase) -> None:
    assert isinstance(case.store, AsyncStore)
    await case.store.ping()


async def test_a_row_that_is_not_there(case: StoreCase) -> None:
    assert await case.store.read(TENANT, "k") is None
    assert await case.store.read_many(TENANT, ["k", "l"]) == {}
    assert await case.store.read_many(TENANT, []) == {}
    assert await case.store.write_many([]) == []


async def test_a_row_is_read_as_it_was_written(case: StoreCase) -> None:
    assert await case.store.write(put("k", 1, 7)) == Outcome(True, 7)
    assert await case.store.read(TENANT, "k") == Record(case.seen("k", product(1)), 7)


async def test_many_rows_are_read_by_key(case: StoreCase) -> None:
    keys = [f"k{number}" for number in range(50)]
    outcomes = await case.store.write_many([put(key, number, 3) for number, key in enumerate(keys)])
    assert outcomes == [Outcome(True, 3)] * 50
    found = await case.store.read_many(TENANT, [*keys, "missing", keys[0]])
    assert found == {key: Record(case.seen(key, product(number)), 3) for number, key in enumerate(keys)}


async def test_tenants_are_apart_where_the_table_names_them(case: StoreCase) -> None:
    await case.store.write_many([put("k", 1, 1), put("k", 2, 1, tenant="other")])
    other = await case.store.read("other", "k")
    assert other is not None
    assert other.value == case.seen("k", product(2))
    # Without a tenant column all tenants share the rows: the later of the two writes is everybody's.
    assert await value_of(case, "k") == (product(1) if case.has_tenants else other.value)
    await case.store.write(gone("k", 9), guard=True)
    assert await case.store.read("other", "k") == (other if case.has_tenants else None)


VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1.5,
    "",
    "snow ☃ and 'quotes' \"both\" \\ \t\n",
    2**53 + 1,
    [],
    {},
    [1, [2, None], {"a": [{}]}],
    {"$set": 1, "a.b": {"$$x": 2}, "": 3},
    "$literal",
    b"\x00\xff",
    {"inner": b""},
    dt.datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=dt.UTC),
)


@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
async def test_values_are_kept_as_they_are(managed: StoreCase, guard: bool) -> None:
    changes = [Change(TENANT, f"k{place}", value, 1) for place, value in enumerate(VALUES)]
    assert await managed.store.write_many(changes, guard=guard) == [Outcome(True, 1)] * len(VALUES)
    for place, value in enumerate(VALUES):
        record = await managed.store.read(TENANT, f"k{place}")
        assert record == Record(value, 1)
        assert type(record.value) is type(value)


async def test_a_value_that_cannot_be_stored_fails_alone(managed: StoreCase) -> None:
    outcomes = await managed.store.write_many([Change(TENANT, "a", object(), 1), put("b", 1, 1)])
    assert outcomes[0].error is not None
    assert outcomes[1] == Outcome(True, 1)


ODD_KEYS = (
    "it's",
    'say "hi"',
    "back\\slash",
    "\\x61",
    "\\\\x61",
    "tab\tline\nend",
    "a/b%2Fc",
    "ключ-☃-🦅",
    "trailing ",
    "UPPER",
    "upper",
    "$where",
    "k" * 200,
    "100",
    "0100",
)


async def test_odd_keys_are_rows_of_their_own(case: StoreCase) -> None:
    changes = [put(key, number, 1) for number, key in enumerate(ODD_KEYS)]
    assert [outcome.error for outcome in await case.store.write_many(changes, guard=True)] == [None] * len(ODD_KEYS)
    found = await case.store.read_many(TENANT, ODD_KEYS)
    assert {key: found[key].value["price"] for key in ODD_KEYS} == {key: place for place, key in enumerate(ODD_KEYS)}


async def test_bytes_keys_are_not_text_keys(case: StoreCase) -> None:
    raw = [b"a", b"\x00\xff", b"\\x61", b"it's"]
    outcomes = await case.store.write_many([put("a", 99, 1), *[put(key, place, 1) for place, key in enumerate(raw)]])
    found = await case.store.read_many(TENANT, ["a", *raw])
    assert found["a"].value["price"] == 99
    if case.takes_any_key:
        assert [found[key].value["price"] for key in raw] == [0, 1, 2, 3]
    else:
        assert set(found) == {"a"}
        assert all(isinstance(outcome.error, KeyRefused) for outcome in outcomes[1:])


async def test_keys_that_no_database_stores_are_refused(case: StoreCase) -> None:
    bad_keys: list[Any] = ["nul\0inside", "lone \ud800 surrogate", 7, None]
    outcomes = await case.store.write_many([*[put(key, 1, 1) for key in bad_keys], put("good", 2, 1)])
    assert all(isinstance(outcome.error, KeyRefused) and not outcome.applied for outcome in outcomes[:-1])
    assert outcomes[-1] == Outcome(True, 1)
    for key in bad_keys:
        with pytest.raises(KeyRefused):
            await case.store.read(TENANT, key)


async def test_versions_beyond_63_bits_are_refused(case: StoreCase) -> None:
    outcomes = await case.store.write_many([put("a", 1, 2**63), put("b", 1, -1), put("c", 1, 2**63 - 1)], guard=True)
    assert [outcome.applied for outcome in outcomes] == [False, False, True]
    assert all(outcome.error is not None for outcome in outcomes[:2])
    record = await case.store.read(TENANT, "c")
    assert record is not None
    assert record.version == 2**63 - 1


async def test_unguarded_writes_raise_the_version(case: StoreCase) -> None:
    versions = [(await case.store.write(put("k", 1, asked))).version for asked in (0, 0, 10, 3)]
    assert versions == [1, 2, 10, 11]


async def test_a_guarded_write_applies_only_where_it_is_newer(case: StoreCase) -> None:
    assert await case.store.write(put("k", 1, 5), guard=True) == Outcome(True, 5)
    assert await case.store.write(put("k", 2, 4), guard=True) == Outcome(False, 5)
    assert await case.store.write(put("k", 3, 5), guard=True) == Outcome(False, 5)
    assert await value_of(case, "k") == case.seen("k", product(1))
    assert await case.store.write(put("k", 4, 6), guard=True) == Outcome(True, 6)
    assert await value_of(case, "k") == case.seen("k", product(4))


async def test_a_late_older_put_does_not_resurrect_a_deleted_row(case: StoreCase) -> None:
    await case.store.write(put("k", 1, 1), guard=True)
    assert await case.store.write(gone("k", 5), guard=True) == Outcome(True, 5)
    assert await case.store.read(TENANT, "k") is None
    assert await case.store.write(put("k", 2, 4), guard=True) == Outcome(False, 5)
    assert await case.store.read(TENANT, "k") is None
    assert await case.store.write(put("k", 3, 6), guard=True) == Outcome(True, 6)
    assert await value_of(case, "k") == case.seen("k", product(3))


async def test_deleting_what_was_never_there_leaves_a_tombstone(case: StoreCase) -> None:
    assert await case.store.write(gone("k", 5), guard=True) == Outcome(True, 5)
    assert await case.store.write(put("k", 2, 4), guard=True) == Outcome(False, 5)
    assert await case.store.read(TENANT, "k") is None


async def test_versions_go_on_after_an_unguarded_delete(case: StoreCase) -> None:
    assert await case.store.write(put("k", 1, 8)) == Outcome(True, 8)
    assert await case.store.write(gone("k", 0)) == Outcome(True, 9)
    assert await case.store.read(TENANT, "k") is None
    assert await case.store.write(put("k", 2, 0)) == Outcome(True, 10)


async def test_of_several_guarded_changes_of_one_row_the_highest_wins(case: StoreCase) -> None:
    changes = [put("k", 1, 3), put("k", 2, 7), put("k", 3, 5), put("other", 4, 1)]
    outcomes = await case.store.write_many(changes, guard=True)
    assert [outcome.applied for outcome in outcomes] == [True, True, False, True]
    assert [outcome.version for outcome in outcomes] == [7, 7, 7, 1]
    assert await case.store.read(TENANT, "k") == Record(case.seen("k", product(2)), 7)


async def test_of_several_unguarded_changes_of_one_row_the_last_stays(case: StoreCase) -> None:
    outcomes = await case.store.write_many([put("k", 1, 3), gone("k", 9), put("k", 2, 0)])
    assert outcomes == [Outcome(True, 9)] * 3
    assert await case.store.read(TENANT, "k") == Record(case.seen("k", product(2)), 9)


async def test_repeating_a_guarded_batch_changes_nothing(case: StoreCase) -> None:
    batch = [put("a", 1, 5), gone("b", 6), put("c", 3, 7)]
    assert [outcome.applied for outcome in await case.store.write_many(batch, guard=True)] == [True] * 3
    before = await case.store.read_many(TENANT, ["a", "b", "c"])
    assert await case.store.write_many(batch, guard=True) == [Outcome(False, version) for version in (5, 6, 7)]
    assert await case.store.read_many(TENANT, ["a", "b", "c"]) == before


@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
async def test_a_refused_row_fails_alone_wherever_it_stands(case: StoreCase, guard: bool) -> None:
    for bad in range(8):
        keys = [f"{bad}-{place}" for place in range(8)]
        batch = [put(key, place, 1) for place, key in enumerate(keys)]
        batch[bad] = Change(TENANT, keys[bad], case.poison, 1)
        outcomes = await case.store.write_many(batch, guard=guard)
        assert [place for place, outcome in enumerate(outcomes) if outcome.error is not None] == [bad]
        assert not outcomes[bad].applied
        found = await case.store.read_many(TENANT, keys)
        assert found == {
            key: Record(case.seen(key, product(place)), 1) for place, key in enumerate(keys) if place != bad
        }


async def test_a_good_change_does_not_fall_with_the_bad_one_after_it(case: StoreCase) -> None:
    batch = [put("k", 1, 1), Change(TENANT, "k", case.poison, 2), put("other", 2, 1)]
    outcomes = await case.store.write_many(batch, guard=True)
    assert [outcome.applied for outcome in outcomes] == [True, False, True]
    assert outcomes[1].error is not None
    assert await case.store.read(TENANT, "k") == Record(case.seen("k", product(1)), 1)


async def test_a_refused_row_keeps_what_it_was(case: StoreCase) -> None:
    await case.store.write(put("k", 1, 1), guard=True)
    assert (await case.store.write(Change(TENANT, "k", case.poison, 2), guard=True)).error is not None
    assert await case.store.read(TENANT, "k") == Record(case.seen("k", product(1)), 1)


async def test_large_batches_mix_winners_losers_deletions_and_refusals(case: StoreCase) -> None:
    count = 1000
    first = [put(f"k{number}", number, 10) for number in range(0, count, 2)]
    assert all(outcome.applied for outcome in await case.store.write_many(first, guard=True))
    second = [put(f"k{number}", -number if number == 0 else number, 5 + number % 4 * 3) for number in range(count)]
    second[501] = gone("k501", 20)
    second[502] = gone("k502", 20)
    second[700] = Change(TENANT, "k700", case.poison, 30)
    outcomes = await case.store.write_many(second, guard=True)
    assert [place for place, outcome in enumerate(outcomes) if outcome.error is not None] == [700]
    for place, outcome in enumerate(outcomes):
        had = 10 if place % 2 == 0 else -1
        wins = second[place].version > had and place != 700
        assert outcome.applied == wins, place
        if place != 700:
            assert outcome.version == (second[place].version if wins else 10)
    found = await case.store.read_many(TENANT, [f"k{number}" for number in range(count)])
    assert len(found) == count - 2


async def test_concurrent_writers_of_one_row_leave_the_highest_version(case: StoreCase) -> None:
    """Every writer writes every row; versions are dealt so that late writers often come with old versions."""
    keys = [f"hot{number}" for number in range(5)]
    failures: list[Exception] = []

    async def write(writer: int) -> None:
        try:
            for round_number in range(10):
                version = 1 + (round_number * 7 + writer * 3) % 10 * WRITERS + writer
                outcomes = await case.store.write_many([put(key, version, version) for key in keys], guard=True)
                failures.extend(outcome.error for outcome in outcomes if outcome.error)
        except Exception as error:
            failures.append(error)

    jobs = [async_spawn(f"writer {writer}", write, writer) for writer in range(WRITERS)]
    assert all([await job.join(60) for job in jobs])
    assert failures == []
    highest = 9 * WRITERS + WRITERS
    found = await case.store.read_many(TENANT, keys)
    assert found == {key: Record(case.seen(key, product(highest)), highest) for key in keys}


async def test_concurrent_unguarded_writers_never_share_a_version(case: StoreCase) -> None:
    versions: list[int] = []

    async def write(writer: int) -> None:
        for _ in range(5):
            outcome = await case.store.write(put("hot", writer, 0))
            assert outcome.error is None
            versions.append(outcome.version)

    jobs = [async_spawn(f"writer {writer}", write, writer) for writer in range(4)]
    assert all([await job.join(60) for job in jobs])
    record = await case.store.read(TENANT, "hot")
    assert record is not None
    assert record.version == len(versions) == 20


async def test_a_closed_store_says_so(case: StoreCase) -> None:
    await case.store.aclose()
    await case.store.aclose()
    if case.kind == "functions":  # there is nothing of its own to close
        assert await case.store.read(TENANT, "k") is None
        return
    with pytest.raises(ClosedError):
        await case.store.read(TENANT, "k")
    with pytest.raises(ClosedError):
        await case.store.write(put("k", 1, 1))
