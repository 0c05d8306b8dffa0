"""
The proofs of write-behind in shortened form; the naive ways must fail each.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from proofs import (
    write_behind_exactly_once,
    write_behind_frozen_worker,
    write_behind_kills,
    write_behind_outage,
    write_behind_partition,
    write_behind_poison,
    write_behind_power_loss,
    write_behind_shutdown,
    write_behind_truncation,
)
from tests.rig import PostgresServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return write_behind_power_loss.build_shim(tmp_path_factory.mktemp("shim"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_killed_at_random_points(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        figures = write_behind_kills.run(url, "tiercel", 3, 1_000)
    assert figures.acknowledged >= 1_000
    assert (figures.lost, figures.left, figures.regressions) == (0, 0, 0)


@pytest.mark.parametrize("way", ["memory-queue", "delete-first"])
def test_killed_at_random_points_the_naive_way_loses(postgres_server: PostgresServer, way: str) -> None:
    for _ in range(5):  # a kill may find an idle moment
        with postgres_server.database() as url:
            if write_behind_kills.run(url, way, 1, 0).lost:
                return
    pytest.fail("nothing was lost in five kills")


def test_power_loss(shim: Path) -> None:
    acknowledged, lost = write_behind_power_loss.lose_power(shim, "always", random.Random(1))
    assert acknowledged > 0
    assert lost == 0


def test_power_loss_without_syncs_loses(shim: Path) -> None:
    # By chance the power takes nothing: what was cached is kept, or was flushed to the store before.
    assert any(write_behind_power_loss.lose_power(shim, "process", random.Random(seed))[1] > 0 for seed in range(1, 6))


def test_log_cut_at_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "whole.journal"
    lengths = asyncio.run(write_behind_truncation.fill(path))
    near = {length + offset for length in lengths for offset in (-1, 0, 1)}
    cuts = sorted((near | set(range(0, max(lengths), 997))) - {max(lengths) + 1})
    assert write_behind_truncation.cut_everywhere(tmp_path, tmp_path / "copy-whole.journal", lengths, cuts) == (0, 0)
    assert write_behind_truncation.cut_naive(100) > 0


def test_crash_between_commit_and_advance() -> None:
    figures = write_behind_exactly_once.run("tiercel", 2)
    assert (figures.lost, figures.repeated) == (0, 0)
    assert write_behind_exactly_once.run("unguarded", 2).repeated > 0


def test_frozen_worker() -> None:
    figures = write_behind_frozen_worker.run("tiercel", 2)
    assert (figures.lost, figures.reordered) == (0, 0)
    assert figures.handovers > 0


def test_poison(tmp_path: Path) -> None:
    figures = asyncio.run(write_behind_poison.run(tmp_path, 1.5, poison=True))
    assert (figures.parked, figures.stored) == (figures.poison, figures.written - figures.poison)
    (tmp_path / "naive").mkdir()
    assert write_behind_poison.run_naive(tmp_path / "naive", 1.0) > 0


def test_outage(tmp_path: Path) -> None:
    figures = asyncio.run(write_behind_outage.outage(tmp_path, 1.0))
    assert (figures["lost"], figures["left"]) == (0, 0)


def test_stop_under_load() -> None:
    assert write_behind_shutdown.run("tiercel", 2, drains=True).lost == 0
    assert write_behind_shutdown.run("memory-queue", 2, drains=False).lost > 0


@pytest.mark.usefixtures("redis_server")
def test_partitioned_primary() -> None:
    replicated = asyncio.run(write_behind_partition.run("replicated", 0.5))
    assert replicated.acknowledged > 0
    assert replicated.lost == 0
    assert asyncio.run(write_behind_partition.run("process", 0.5)).lost > 0
