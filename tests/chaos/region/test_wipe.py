"""
A wiped Redis under twice the load that the database bears: what the defences are worth. The proof, shortened.
"""

from __future__ import annotations

from proofs.wipe import Load, run
from tests.rig import PostgresServer, RedisServer


def test_callers_see_nothing_of_a_wiped_cache(redis_server: RedisServer, postgres_server: PostgresServer) -> None:
    row = run("full, with stale windows", Load(100.0, 3, 5.0, filled_in_s=3.0), redis_server, postgres_server)
    assert row["wrong"] == 0
    assert row["most_queries_at_once"] <= row["limit"]
    assert row["goodput_all"] >= 0.97


def test_single_flight_alone_does_not_recover(redis_server: RedisServer, postgres_server: PostgresServer) -> None:
    row = run("single-flight alone", Load(120.0, 3, 5.0), redis_server, postgres_server)
    assert row["goodput_before"] >= 0.99
    assert row["goodput_last_5_s"] < 0.9
