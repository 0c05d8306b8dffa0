"""``tiercel doctor``: a sound server, one that breaks a promise, one that is away, and no password anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rig.redis import RedisServer
from tiercel.cli import main


def _findings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    answer = json.loads(capsys.readouterr().out)
    findings: list[dict[str, Any]] = answer["findings"]
    assert answer["ok"] == all(finding["level"] != "error" for finding in findings)
    return findings


def test_the_installation_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text(f'[cache]\nstate_dir = "{tmp_path}/state"\n')
    assert main(["doctor", str(file), "--json"]) == 0
    subjects = [finding["subject"] for finding in _findings(capsys)]
    assert subjects == ["local tier", "codec msgpack", "state_dir", "matrix", "redis"]


def test_a_live_server(redis_server: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--redis", redis_server.url, "--json"]) == 0
    findings = [finding for finding in _findings(capsys) if finding["subject"].startswith(("redis", "backplane"))]
    messages = " | ".join(finding["message"] for finding in findings)
    for words in ("its clock differs by", "every key has a server", "a message came back in"):
        assert words in messages


def test_a_journal_that_the_server_does_not_keep_fails_the_command(
    redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        f'[cache]\nredis = "{redis_server.url}"\n[regions.profile]\nstore = "sqlite:///{tmp_path}/x.db#users"\n'
        '[regions.profile.journal]\nkind = "redis"\ndurability = "always"\n'
    )
    assert main(["doctor", str(file), "--json"]) == 1
    (error,) = [finding for finding in _findings(capsys) if finding["level"] == "error"]
    assert "the append-only file is off" in error["message"]
    assert error["action"] == "set appendonly yes"


def test_stores_are_probed_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        f'[regions.profile]\nstore = "sqlite:///{tmp_path}/x.db#users"\n'
        '[regions.product]\nstore = "postgres://u:canary@127.0.0.1:1/db#p"\n'
    )
    assert main(["doctor", str(file), "--stores", "--json"]) == 1
    output = capsys.readouterr()
    findings = {finding["subject"]: finding for finding in json.loads(output.out)["findings"]}
    assert findings["store of profile"]["level"] == "ok"
    assert findings["store of product"]["level"] == "error"
    assert "canary" not in output.out + output.err


def test_an_unwritable_state_folder_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[cache]\nstate_dir = "/proc/tiercel"\n')
    assert main(["doctor", str(file)]) == 1
    assert "state_dir: /proc cannot be written" in capsys.readouterr().out


def test_the_edge_of_the_matrix_is_probed_and_its_key_stays_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edge").mkdir()
    file = tmp_path / "m.toml"
    file.write_text(f'[cache]\nstate_dir = "{tmp_path}"\ncdn = "folder://{tmp_path}/edge"\n')
    assert main(["doctor", str(file), "--json"]) == 0
    levels = {finding["level"] for finding in _findings(capsys) if finding["subject"].startswith("cdn ")}
    assert levels == {"ok"}
    (tmp_path / "token").write_text("canary-token")
    file.write_text(
        f'[cache]\ncdn = "fastly://SU1?endpoint=http://127.0.0.1:1&token_file={tmp_path}/token&host=shop.example"\n'
    )
    assert main(["doctor", str(file)]) == 1
    output = capsys.readouterr()
    assert "cdn" in output.out
    assert "canary" not in output.out + output.err


@pytest.mark.timeout(30)
def test_a_server_that_is_away_is_a_finding_and_its_password_stays_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--redis", "redis://u:canary@127.0.0.1:1"]) == 1
    output = capsys.readouterr()
    assert "did not answer" in output.out
    assert "start the server, or correct the URL" in output.out
    assert "canary" not in output.out + output.err
