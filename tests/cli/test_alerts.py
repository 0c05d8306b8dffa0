"""``tiercel alerts``: rules, exports, and a test that reaches every sink."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tiercel._core.alertrules import DEFAULT_RULES
from tiercel.cli import main


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    bodies: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/canary", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def _matrix(folder: Path, *urls: str) -> Path:
    file = folder / "m.toml"
    file.write_text("".join(f'[[alerting.sinks]]\nkind = "webhook"\nurl = "{url}"\n' for url in urls))
    return file


def test_the_built_in_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "list"]) == 0
    assert "BreakerOpen" in capsys.readouterr().out
    assert main(["alerts", "list", "--json"]) == 0
    rules = json.loads(capsys.readouterr().out)
    assert [rule["name"] for rule in rules] == [rule.name for rule in DEFAULT_RULES]
    assert rules[0]["below"] == 0.5


def test_a_test_reaches_the_sink(
    tmp_path: Path, hook: tuple[str, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, bodies = hook
    assert main(["alerts", "test", str(_matrix(tmp_path, url))]) == 0
    assert [body["status"] for body in bodies] == ["firing", "resolved"]
    output = capsys.readouterr()
    assert output.out == "sent    webhook at 127.0.0.1\n"
    assert "canary" not in output.out + output.err


def test_a_sink_that_does_not_answer_is_named_and_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", "test", str(_matrix(tmp_path, "http://127.0.0.1:1/canary")), "--json"]) == 1
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert answer["ok"] is False
    assert "Connection refused" in answer["sinks"]["webhook at 127.0.0.1"]
    assert "canary" not in output.out + output.err


def test_without_sinks_the_log_is_tested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "test"]) == 0
    assert capsys.readouterr().out == "sent    log\n"


def test_rules_are_exported_from_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[[alerts]]\nname = "Mine"\nmetric = "hit_rate"\nbelow = 0.9\nregion = "search"\n')
    assert main(["alerts", "prometheus", str(file), "--interval", "30"]) == 0
    text = capsys.readouterr().out
    assert "interval: 30s" in text
    assert "alert: Mine" in text
    assert main(["alerts", "prometheus", str(file), "-o", str(tmp_path / "rules.yml")]) == 0
    assert "alert: Mine" in (tmp_path / "rules.yml").read_text()


def test_the_dashboard_is_written(tmp_path: Path) -> None:
    assert main(["alerts", "grafana", "-o", str(tmp_path / "board.json")]) == 0
    assert json.loads((tmp_path / "board.json").read_text())["title"] == "Tiercel"
