"""The proofs of automatic invalidation in short form, with workers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from proofs.cdc_faults import changing, survive_freezes, survive_kills
from proofs.cdc_harness import World, serving
from proofs.cdc_naive import poll_by_time, trust_the_application
from proofs.cdc_scope import documents_fall, moved, psql_move
from tests.rig.process import Missing


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A PostgreSQL with products, a Redis and a node."""
    try:
        with serving("postgres") as made:
            yield made
    except Missing as reason:
        pytest.skip(str(reason))


def test_a_killed_worker_misses_nothing(world: World) -> None:
    assert survive_kills(world, 1)["missed"] == 0


def test_a_frozen_worker_misses_nothing(world: World) -> None:
    assert survive_freezes(world, 1)["missed"] == 0


def test_naive_ways_miss_changes(world: World) -> None:
    assert poll_by_time(world, 60)["missed"] > 0
    assert trust_the_application(world, 20)["missed"] == 20


def test_documents_fall_soon_and_exactly() -> None:
    try:
        with serving("mongodb") as world:
            figures = documents_fall(world, 20, moves=1)
            assert figures["missed"] == figures["wrong"] == 0
    except Missing as reason:
        pytest.skip(str(reason))


def test_psql_moves_a_product_between_categories(world: World) -> None:
    worker = world.start_worker()
    try:
        with changing(world) as change:
            world.wait_until_drained(change)
            for commits in (True, False):
                move = partial(psql_move, world, commits=commits)
                assert moved(world, move, change, commits=commits, moves=2) == (0, 0)
    finally:
        world.end(worker)
