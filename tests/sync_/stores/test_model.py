# Generated from tests/async_/stores/test_model.py by tools/unasync.py. Do not edit.
"""
Random batches against the real databases and the fake at once: every outcome and every row must agree.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sync_.stores.conftest import StoreCase, product
from tiercel._sync.stores import MemoryStore
from tiercel.typing import DELETED, Change

KEYS = ("a", "b", "c")
BATCHES = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.integers(0, 99), st.integers(0, 12)), max_size=6),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
def test_every_store_answers_as_the_fake_does(case: StoreCase, batches: Any) -> None:
    fake = MemoryStore()
    example = uuid.uuid4().hex  # the store outlives the example: every example has rows of its own
    keys = [example + key for key in KEYS]
    for guard, drawn in batches:
        batch = [
            Change("acme", example + key, DELETED if number is None else product(number), version)
            for key, number, version in drawn
        ]
        assert case.store.write_many(batch, guard=guard) == fake.write_many(batch, guard=guard)
        expected = {
            key: record._replace(value=case.seen(key, record.value))
            for key, record in (fake.read_many("acme", keys)).items()
        }
        assert case.store.read_many("acme", keys) == expected


@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
def test_a_callers_later_change_does_not_reach_the_fake(guard: bool) -> None:
    fake = MemoryStore()
    value = {"n": 1}
    fake.write(Change("acme", "k", value, 1), guard=guard)
    value["n"] = 2
    first = fake.read("acme", "k")
    assert first is not None
    first.value["n"] = 3
    second = fake.read("acme", "k")
    assert second is not None
    assert second.value == {"n": 1}
