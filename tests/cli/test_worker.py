"""``tiercel worker --cdc``: what it refuses, and what its metrics say while it follows."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
import pytest

from tests.rig import RedisServer
from tiercel.cli._main import main

TEXT = """
[cache]
redis = "{redis}"
state_dir = "{folder}"
[changes.shop]
url = "{database}"
[changes.shop.tables.products]
regions = ["product:{{sku}}"]
"""


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiercel.toml"
    file.write_text('[cache]\nredis = "redis://127.0.0.1:1"\n')
    assert main(["worker", str(file), "--cdc"]) == 3
    assert "nothing to watch" in capsys.readouterr().err
    assert main(["worker", str(file), "--cdc", "--region", "product"]) == 2
    assert main(["worker", str(file), "--source", "shop"]) == 2
    file.write_text("")
    assert main(["worker", str(file), "--cdc"]) == 3
    assert "redis url" in capsys.readouterr().err


def judged(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what ``tiercel doctor`` finds about watched databases: level by message."""
    main(["doctor", str(file), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return {each["message"]: each["level"] for each in findings if each["subject"] == "changes shop"}


def test_the_doctor_looks_at_the_slot(
    clean_redis: RedisServer, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiercel.toml"
    file.write_text(TEXT.format(redis=clean_redis.url, folder=tmp_path, database=postgres_url))
    unbounded = "max_slot_wal_keep_size is unset: a slot that nobody reads fills the disk"
    assert judged(file, capsys) == {"there is no replication slot yet": "note", unbounded: "warning"}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('tiercel_shop', 'pgoutput')")
        assert [message for message in judged(file, capsys) if message.startswith("nobody reads the slot")]
        file.write_text(file.read_text().replace("[changes.shop]", '[changes.shop]\nmax_lag_bytes = "1 MiB"'))
        connection.execute("CREATE TABLE filling AS SELECT repeat('x', 500) FROM generate_series(1, 3000)")
        assert "error" in judged(file, capsys).values()


def test_a_worker_follows_and_says_how_far(clean_redis: RedisServer, postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE products (sku text PRIMARY KEY)")
    file = tmp_path / "tiercel.toml"
    file.write_text(TEXT.format(redis=clean_redis.url, folder=tmp_path, database=postgres_url))
    command = [sys.executable, "-m", "tiercel", "worker", str(file), "--cdc", "--metrics", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        try:
            address = metrics = ""
            for line in worker.stderr:
                if line.startswith("metrics: "):
                    address = line.split()[1]
                if line.startswith("changes_missed: "):
                    break
            with urllib.request.urlopen(address, timeout=10) as answer:
                metrics = answer.read().decode()
        finally:
            worker.terminate()
        assert "everything up to" in worker.stderr.read()
        assert worker.wait(30) == 0
    assert "tiercel_changes_lag_seconds 0" in metrics
    assert "tiercel_changes_retained_bytes" in metrics
    assert 'tiercel_events_total{event="changes_missed",region=""} 1' in metrics
