"""
A wiped Redis under twice the load that the database bears: what the defences are worth. The proof, shortened.
"""

from __future__ import annotations

import pytest

from proofs.wipe import Load, run
from tests.rig import PostgresServer, RedisServer


@pytest.mark.parametrize("name", ["full, with stale windows", "full, nothing stale"])
def test_a_wiped_cache_recovers(redis_server: RedisServer, postgres_server: PostgresServer, name: str) -> None:
    row = run(name, Load(120.0, 3, 8.0, filled_in_s=3.0), redis_server, postgres_server)
    assert row["wrong"] == 0
    assert row["most_queries_at_once"] <= row["limit"]
    assert row["goodput_last_5_s"] >= 0.99 if "stale windows" in name else row["good_99_after_s"] is not None


def test_single_flight_alone_does_not_recover(redis_server: RedisServer, postgres_server: PostgresServer) -> None:
    row = run("single-flight alone", Load(120.0, 3, 6.0), redis_server, postgres_server)
    assert row["goodput_before"] == 1.0
    assert row["goodput_last_5_s"] < 0.9
