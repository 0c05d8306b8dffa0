"""``tiercel check``: the table, the mistakes, the JSON and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiercel.cli import main

PLATFORM = Path(__file__).parent.parent / "matrix" / "platform.toml"


def test_the_platform_example_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(PLATFORM)]) == 0
    text = capsys.readouterr().out
    for words in ("local → redis", "write-behind", "survives the process", "caution entities.user: 'orders:{id}'"):
        assert words in text


def test_strict_counts_cautions_as_mistakes() -> None:
    assert main(["check", str(PLATFORM), "--strict"]) == 1


def test_json_names_every_data_type_and_caution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(PLATFORM), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert len(answer["regions"]) == 8
    assert answer["regions"]["product"]["ttl_s"] == 3600
    assert any("preferences" in warning["message"] for warning in answer["warnings"])


def test_mistakes_go_to_standard_error_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[regions.product]\nttl = "x"\ntt = 1\n')
    assert main(["check", str(file)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{file}:2: ttl: 'x' is no duration")
    assert lines[1].startswith(f"{file}:3: unknown key 'tt'")
    assert lines[2] == "2 mistakes"


def test_mistakes_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text("[")
    assert main(["check", str(file), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], len(answer["errors"])) == (False, 1)


def test_no_password_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[cache]\nredis="redis://:canary@h"\n[regions.product]\nstore="postgres://u:canary@h/db#p"\n')
    for arguments in ([], ["--json"]):
        assert main(["check", str(file), *arguments]) == 0
    output = capsys.readouterr()
    assert "canary" not in output.out + output.err
    assert "postgres://u:***@h/db#p" in output.out


def test_alerts_are_part_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[[alerts]]\nname = "LowHits"\nmetric = "hit_rate"\nbelow = 0.8\nfor = "5m"\nregion = "*"\n')
    assert main(["check", str(file)]) == 0
    text = capsys.readouterr().out
    assert "hit_rate is below 0.8 (ratio)" in text
    assert "each data type" in text
