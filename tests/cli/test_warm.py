"""``tiercel warm``: what nodes saved is loaded, what nobody saved is not, and a dry run loads nothing."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from tests.rig.redis import RedisServer
from tiercel import Cache
from tiercel._process import Process
from tiercel.cli import main
from tiercel.matrix import Matrix

KEYS = [f"p{number}" for number in range(30)]


@pytest.fixture
def matrix_file(clean_redis: RedisServer, tmp_path: Path) -> Path:
    """A matrix of one region, whose keys a node has saved before Redis was wiped."""
    file = tmp_path / "shop.toml"
    file.write_text(
        f'[cache]\nnamespace = "n{secrets.token_hex(4)}"\nredis = "{clean_redis.url}"\nwarm_keys = 100\n'
        f'state_dir = "{tmp_path}/state"\n'
        f'[regions.item]\ntiers = ["redis"]\nttl = "1h"\nstore = "sqlite:///{tmp_path}/shop.db#items"\n'
    )
    with Cache(Matrix.from_toml(file), process=Process()) as cache:
        item = cache.tenant("acme").region("item")
        item.write_many({key: {"name": key} for key in KEYS})
        cache.invalidate_everything()
        item.read_many(KEYS)
    clean_redis.cli("FLUSHALL")
    return file


def test_a_wiped_redis_is_filled(
    matrix_file: Path, clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["warm", str(matrix_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": 30, "done": 30, "skipped": 0}
    assert int(str(clean_redis.cli("DBSIZE"))) >= len(KEYS)


def test_a_dry_run_loads_nothing(
    matrix_file: Path, clean_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["warm", str(matrix_file), "--dry-run", "--keys", "7", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 7
    assert int(str(clean_redis.cli("DBSIZE"))) < len(KEYS)


def test_progress_goes_to_standard_error(matrix_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm", str(matrix_file), "--keys", "5"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5 of 5 keys are warm" in captured.err
