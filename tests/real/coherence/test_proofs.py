"""
The long proofs in a short form: the same programs on the session's servers, with fewer calls.
"""

from __future__ import annotations

import asyncio

import pytest

from proofs import cluster_coherence, lag, linearizable, stress
from tests.rig import RedisServer


@pytest.mark.slow
async def test_no_stale_fill_under_load(clean_redis: RedisServer) -> None:
    ours = await stress.stress(clean_redis.url, 3.0)
    assert ours.reads > 100
    assert ours.violations() == 0, ours.figures()
    for _ in range(5):  # a busy machine makes few calls in this time: the naive way gets five chances to lose
        naive = await stress.stress_naive(clean_redis.url, 3.0)
        if naive.violations() > 0:
            break
    assert naive.violations() > 0, naive.figures()


@pytest.mark.slow
async def test_nothing_old_is_read_while_redis_takes_no_writes(clean_redis: RedisServer) -> None:
    ours = await stress.stress(clean_redis.url, 4.0, 2.0, is_deaf=True)
    assert ours.queued > 0
    assert ours.violations() == 0, ours.figures()


@pytest.mark.slow
async def test_four_processes_histories_are_linearizable(clean_redis: RedisServer) -> None:
    figures = await asyncio.to_thread(linearizable.measure, clean_redis.url, 60)
    assert (figures["not_linearizable"], figures["tokens_broken"]) == (0, 0), figures
    assert figures["corrupted_detected"] == figures["keys"], figures
    assert figures["token_reads"] > 100


@pytest.mark.slow
async def test_messages_survive_killed_connections_freezes_and_trimming(clean_redis: RedisServer) -> None:
    figures = await lag.measure(clean_redis, 1000, 6.5)
    assert figures["killed"]["connections_killed"] > 0
    for part in ("quiet", "killed"):
        assert (figures[part]["lost"], figures[part]["copies_left"]) == (0, 0), figures
    assert figures["frozen"]["late_reads"] > 0
    assert (figures["frozen"]["old"], figures["trimmed"]["old"]) == (0, 0), figures
    assert figures["trimmed"]["gaps"] > 0


@pytest.mark.slow
async def test_a_cluster_stays_coherent_while_slots_move_and_a_master_dies() -> None:
    moved = await asyncio.to_thread(cluster_coherence.disturbed, cluster_coherence.migrate, 4.0, 1.0)
    assert moved["violations"] == 0, moved
    killed = await asyncio.to_thread(cluster_coherence.disturbed, cluster_coherence.kill, 4.0, 10.0)
    assert killed["stale_at_end"] == 0, killed
