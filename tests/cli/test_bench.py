"""``tiercel bench``: figures of both tiers, on a real server that holds nothing of it afterwards."""

from __future__ import annotations

import json

import pytest

from tests.rig.redis import RedisServer
from tiercel.cli import main


def test_every_tier_is_measured_and_what_was_written_has_fallen(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--redis", redis_server.url, "--seconds", "0.05", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    shown = [(one["verb"], one["tier"], one["at_once"]) for one in answer["figures"]]
    assert shown == [
        ("read", "local", 1),
        ("read", "redis", 1),
        ("read", "redis", 64),
        ("write", "redis", 1),
        ("write", "redis", 64),
    ]
    for one in answer["figures"]:
        assert 0 < one["median_us"] <= one["p99_us"]
        assert one["per_second"] > 0
    local, far = answer["figures"][:2]
    assert local["median_us"] < far["median_us"]


def test_without_a_server_the_shared_tier_is_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--seconds", "0.05"]) == 0
    assert "memory" in capsys.readouterr().out


def test_a_server_that_is_away_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--redis", "redis://u:canary@127.0.0.1:1", "--seconds", "0.05"]) == 4
    assert "canary" not in capsys.readouterr().err
