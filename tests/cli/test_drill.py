"""``tiercel drill``: a table with a verdict, on a server of its own and on a given one; wrong names are refused."""

from __future__ import annotations

import json

import pytest

from tests.rig.redis import RedisServer
from tiercel.cli import main


def test_a_given_server_is_struck_through_a_proxy(clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["drill", "--redis", clean_redis.url, "--only", "refused", "--seconds", "0.6", "--rate", "100", "--json"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    (row,) = answer["rows"]
    assert answer["ok"]
    assert (row["deployment"], row["fault"], row["errors"], row["wrong"]) == ("given", "refused", 0, 0)


def test_a_server_of_its_own_and_a_broken_promise(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["drill", "--on", "standalone", "--only", "+100 ms", "--seconds", "0.6", "--rate", "100"]
    assert main([*words, "--deadline", "0.01"]) == 1
    captured = capsys.readouterr()
    assert "a read took" in captured.out
    assert "starting: standalone" in captured.err


def test_an_unknown_fault_is_refused(clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--redis", clean_redis.url, "--only", "earthquake"]) == 3
    assert "earthquake" in capsys.readouterr().err


def test_a_cluster_is_not_struck_through_one_proxy() -> None:
    assert main(["drill", "--redis", "redis+cluster://127.0.0.1:1"]) == 3
