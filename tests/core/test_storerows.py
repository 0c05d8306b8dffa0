"""Keys and versions of rows: spellings that never collide, and folds that equal one write after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.storerows import (
    MAX_VERSION,
    NO_ROW,
    KeyMismatch,
    PreparedChange,
    RowWrite,
    encode_key,
    fold,
    readable,
    spread,
)
from tiercel._core.storeurl import KeyType
from tiercel.errors import KeyRefused
from tiercel.typing import Key, Outcome

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SLASHED = st.text(st.sampled_from("\\x61a"), max_size=6)


@given(st.lists(TEXT | SLASHED | st.binary(), unique=True))
def test_two_keys_never_share_a_spelling(keys: list[Key]) -> None:
    assert len({encode_key(key, "tagged") for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("key_type", "key", "stored"),
    [
        ("text", "a", "a"),
        ("integer", "42", 42),
        ("integer", "-7", -7),
        ("bytes", b"\x00", b"\x00"),
        ("uuid", "0b1b1f0c-6f5c-4b8e-9a57-6c9f1f3c0001", "0b1b1f0c-6f5c-4b8e-9a57-6c9f1f3c0001"),
        ("objectid", "64b0c0ffee64b0c0ffee64b0", "64b0c0ffee64b0c0ffee64b0"),
    ],
)
def test_a_key_of_the_columns_type(key_type: KeyType, key: Key, stored: object) -> None:
    assert encode_key(key, key_type) == stored


@pytest.mark.parametrize(
    ("key_type", "key"),
    [
        ("text", b"a"),
        ("bytes", "a"),
        ("integer", "042"),
        ("integer", "+1"),
        ("integer", "1.0"),
        ("integer", "-0"),
        ("integer", "٣"),
        ("integer", ""),
        ("integer", str(2**63)),
        ("integer", "9" * 5000),
        ("uuid", "0B1B1F0C-6F5C-4B8E-9A57-6C9F1F3C0001"),
        ("uuid", "{b1b1f0c-6f5c-4b8e-9a57-6c9f1f3c000}"),
        ("uuid", "x" * 36),
        ("objectid", "64B0C0FFEE64B0C0FFEE64B0"),
        ("objectid", "64"),
    ],
)
def test_no_row_can_have_a_key_that_is_spelled_otherwise(key_type: KeyType, key: Key) -> None:
    with pytest.raises(KeyMismatch):
        encode_key(key, key_type)
    assert readable([key], key_type) == []


@pytest.mark.parametrize("key", ["\0", "a\0b", "\ud800", 1, None, 1.5, ("a",)])
def test_a_key_that_no_database_stores(key: Key) -> None:
    with pytest.raises(KeyRefused):
        encode_key(key, "tagged")


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30)


def changes_of(drawn: list[tuple[str, int]]) -> list[PreparedChange]:
    return [PreparedChange(place, "t", key, place, version) for place, (key, version) in enumerate(drawn)]


@given(CHANGES, st.integers(NO_ROW, 9))
def test_a_guarded_fold_ends_where_one_by_one_ends(drawn: list[tuple[str, int]], stored: int) -> None:
    changes = changes_of(drawn)
    expected: dict[object, tuple[object, int]] = {}
    for change in changes:
        if change.version > expected.get(change.key, (None, stored))[1]:
            expected[change.key] = (change.value, change.version)
    folded = {
        row.key: (row.value, version)
        for row in fold(changes, guard=True)
        if (version := row.result(stored, guard=True)) is not None
    }
    assert folded == expected


@given(CHANGES, st.booleans())
def test_every_change_gets_one_outcome(drawn: list[tuple[str, int]], guard: bool) -> None:
    changes = changes_of(drawn)
    rows = fold(changes, guard=guard)
    assert [(row.tenant, row.key) for row in rows] == sorted({(change.tenant, change.key) for change in changes})
    outcomes: list[Outcome | None] = [None] * len(changes)
    for row in rows:
        spread(outcomes, row, applied=True, version=row.version)
    assert None not in outcomes
    assert sorted(place for row in rows for place in (*row.leading, *row.overtaken)) == list(range(len(changes)))


@given(CHANGES)
def test_an_unguarded_fold_keeps_the_last_value_and_no_lower_version(drawn: list[tuple[str, int]]) -> None:
    changes = changes_of(drawn)
    for row in fold(changes, guard=False):
        own = [change for change in changes if change.key == row.key]
        assert row.value == own[-1].value
        assert row.result(NO_ROW, guard=False) == max(1, *(change.version for change in own), 1)
        assert row.result(100, guard=False) == 101


def test_a_guarded_version_zero_is_newer_than_nothing() -> None:
    row = RowWrite("t", "k", None, 0, (0,), ())
    assert row.result(NO_ROW, guard=True) == 0
    assert row.result(0, guard=True) is None
    assert row.result(MAX_VERSION, guard=True) is None
