"""``tiercel backup``, ``restore`` and ``erase``: from a matrix file, a real Redis and a bucket."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.rig.moto import MotoServer
from tests.rig.redis import RedisServer
from tiercel import MISS, Cache, Matrix
from tiercel._core.backupscope import Scope
from tiercel._process import Process
from tiercel._sync.backupschedule import BackupSchedule
from tiercel._sync.link import open_link
from tiercel._sync.recovery import Recovery
from tiercel.cli import main

MATRIX = """
[cache]
namespace = "{namespace}"
redis = "{url}"
state_dir = "{home}/state"

[keys.main]
source = "file:{home}/ring"

[regions.profile]
tiers = ["redis"]
ttl = "1h"
strategy = "write-behind"
store = "sqlite:///{home}/shop.db#profiles"
encrypt = "main"

[regions.profile.journal]
kind = "file"
flush = false

[entities.user]
regions = ["profile:{{id}}"]
"""
RING = "k1:" + "QUFB" * 10 + "QUE=\n"


@pytest.fixture
def matrix_file(tmp_path: Path, clean_redis: RedisServer) -> Path:
    """A matrix with one encrypted region that writes behind."""
    path = tmp_path / "tiercel.toml"
    path.write_text(MATRIX.format(home=tmp_path, url=clean_redis.url, namespace=f"t{secrets.token_hex(6)}"))
    (tmp_path / "ring").write_text(RING)
    return path


def written(file: Path, *keys: str) -> None:
    with Cache(Matrix.from_toml(file), process=Process(), drain_s=0.0) as cache:
        for key in keys:
            cache.tenant("acme").region("profile").write(key, {"key": key})


def evict(file: Path) -> None:
    matrix = Matrix.from_toml(file)
    link = open_link(matrix.cache.redis or "")
    for names in link.scan(matrix.cache.namespace.encode() + b"{}:acme*"):
        link.execute_many([(b"DEL", name) for name in names])
    link.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run a command and return its JSON."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_backup_and_restore(matrix_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(matrix_file, "1", "2")
    file, backup = str(matrix_file), str(tmp_path / "b.tcb")
    report = run(capsys, "backup", file, backup, "--tenant", "acme")
    assert (report["entries"], report["is_authenticated"]) == (2, True)
    evict(matrix_file)
    assert run(capsys, "restore", file, backup, "--dry-run")["restored"] == 2
    assert run(capsys, "restore", file, backup)["restored"] == 2
    whole = Path(backup).read_bytes()
    Path(backup).write_bytes(whole[:-1])
    assert main(["restore", file, backup]) == 1
    assert "damaged" in capsys.readouterr().err


def test_erase_says_what_it_would_do_and_then_proves_it(
    matrix_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(matrix_file, "7", "8")
    file, backup = str(matrix_file), str(tmp_path / "b.tcb")
    run(capsys, "backup", file, backup)
    asked = run(capsys, "erase", file, "user:7", "--tenant", "acme", code=1)
    assert asked["would_fall"] == {"profile": 1}
    receipt = run(capsys, "erase", file, "user:7", "--tenant", "acme", "--yes", "--backups", str(tmp_path))
    assert receipt["is_complete"]
    assert {place["place"]: place["count"] for place in receipt["places"]}["journal:profile"] == 1
    evict(matrix_file)
    restored = run(capsys, "restore", file, backup)
    assert (restored["restored"], restored["erased"]) == (1, 1)
    with Cache(Matrix.from_toml(matrix_file), process=Process(), drain_s=0.0) as cache:
        assert cache.tenant("acme").region("profile").get("7") is MISS
        assert cache.tenant("acme").region("profile").get("8") == {"key": "8"}


def test_a_bucket_takes_and_gives_a_backup(
    matrix_file: Path,
    moto_server: MotoServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": moto_server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": moto_server.region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="backups")
    client.close()
    written(matrix_file, "1")
    run(capsys, "backup", str(matrix_file), "s3://backups/nightly/b.tcb")
    evict(matrix_file)
    assert run(capsys, "restore", str(matrix_file), "s3://backups/nightly/b.tcb")["restored"] == 1


def test_the_schedule_takes_turns_and_keeps_the_newest(matrix_file: Path, tmp_path: Path) -> None:
    written(matrix_file, "1")
    told: list[str] = []
    folder = tmp_path / "backups"
    folder.mkdir()
    for number in range(3):
        (folder / f"{Matrix.from_toml(matrix_file).cache.namespace}-2020010{number}T000000Z.tcb").write_bytes(b"old")

    def schedule() -> BackupSchedule:
        recovery = Recovery(Matrix.from_toml(matrix_file))
        return BackupSchedule(
            recovery, folder, Scope(), every_s=60.0, keep=2, tell=lambda name, fields: told.append(name)
        )

    assert schedule().turn() is not None
    assert schedule().turn() is None
    assert len(list(folder.glob("*.tcb"))) == 2
    assert told == ["backed_up"]


def test_backups_go_on_until_told_to_stop(matrix_file: Path, tmp_path: Path) -> None:
    written(matrix_file, "1")
    folder = tmp_path / "many"
    command = [sys.executable, "-m", "tiercel", "backup", str(matrix_file), str(folder), "--every", "1h"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    timer = threading.Timer(30.0, process.kill)
    timer.start()
    with process.stderr as said:
        for line in said:
            if line.startswith("backed_up"):
                process.terminate()
    timer.cancel()
    assert process.wait(20) == 0
    assert len(list(folder.glob("*.tcb"))) == 1


def test_doctor_names_keys_and_never_shows_them(matrix_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(capsys, "doctor", str(matrix_file))
    findings = {finding["subject"]: finding for finding in report["findings"]}
    assert (findings["key main"]["level"], findings["key main"]["message"]) == ("ok", "1 keys, k1 seals")
    assert "QUFB" not in json.dumps(report)
    (matrix_file.parent / "ring").unlink()
    report = run(capsys, "doctor", str(matrix_file), code=1)
    assert any(finding["subject"] == "key main" and finding["level"] == "error" for finding in report["findings"])


def test_a_key_that_nobody_defines_is_named(matrix_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix_file.write_text(matrix_file.read_text().replace('encrypt = "main"', 'encrypt = "mian"'))
    assert main(["check", str(matrix_file)]) == 1
    said = capsys.readouterr()
    assert "no key 'mian' in the matrix: did you mean 'main'?" in said.out + said.err
