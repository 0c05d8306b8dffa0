"""The proof of the live policy in a short form: every change is followed in time, also where its message is lost."""

from __future__ import annotations

import pytest

from proofs import live_policy
from tests.rig.redis import RedisServer


@pytest.mark.slow
async def test_every_node_follows_in_time_and_one_that_only_listens_does_not(clean_redis: RedisServer) -> None:
    figures = await live_policy.measure(clean_redis.url, 5)
    assert live_policy.holds(figures), figures
