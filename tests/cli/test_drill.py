"""``tiercel drill``: a table with a verdict, on a server of its own and on a given one; wrong names are refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.rig.redis import RedisServer
from tiercel.cli import main
from tiercel.drill.table import Row, run_table


def test_a_given_server_is_struck_through_a_proxy(clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "drill",
        "--redis",
        clean_redis.url,
        "--only",
        "refused",
        "--seconds",
        "0.6",
        "--rate",
        "100",
        "--deadline",
        "1",
        "--json",
    ]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    (row,) = answer["rows"]
    assert answer["ok"]
    assert (row["deployment"], row["fault"], row["errors"], row["wrong"]) == ("given", "refused", 0, 0)


def test_a_broken_promise_fails_the_command(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaking(*arguments: Any) -> list[Row]:
        rows = await run_table(*arguments)
        return [dataclasses.replace(row, broken=("2 callers saw an error",)) for row in rows]

    monkeypatch.setattr("tiercel.cli.drill.run_table", breaking)
    assert main(["drill", "--on", "standalone", "--only", "reset", "--seconds", "0.5", "--rate", "50"]) == 1
    captured = capsys.readouterr()
    assert "2 callers saw an error" in captured.out
    assert "starting: standalone" in captured.err


def test_an_unknown_fault_is_refused(clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--redis", clean_redis.url, "--only", "earthquake"]) == 3
    assert "earthquake" in capsys.readouterr().err


def test_a_cluster_is_not_struck_through_one_proxy() -> None:
    assert main(["drill", "--redis", "redis+cluster://127.0.0.1:1"]) == 3
