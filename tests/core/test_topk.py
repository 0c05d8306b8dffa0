"""The heaviest names: bounded, never losing a count, and always holding who is heavy."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.topk import OTHER, TopK


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(1, 5)), max_size=300))
def test_every_count_is_somewhere_and_heavy_names_are_held(stream: list[tuple[str, int]]) -> None:
    top = TopK(4)
    truth: Counter[str] = Counter()
    for name, amount in stream:
        top.add(name, "hit", amount)
        truth[name] += amount
    counts = top.counts()
    assert len(counts) <= 5
    assert sum(outcomes["hit"] for outcomes in counts.values()) == truth.total()
    for name, weight in truth.items():
        if weight * 4 > truth.total():
            assert name in counts
    for name, outcomes in counts.items():
        assert name == OTHER or outcomes["hit"] <= truth[name]


def test_a_displaced_name_goes_to_the_rest() -> None:
    top = TopK(1)
    top.add("a", "hit", 3)
    top.add("b", "miss")
    assert top.counts() == {"b": {"miss": 1}, OTHER: {"hit": 3}}


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity=0"):
        TopK(0)
