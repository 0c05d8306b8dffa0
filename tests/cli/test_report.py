"""``tiercel report``: from a file, from standard input and from a service."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.observe.figures import snapshot
from tiercel.cli import main
from tiercel.observe.report import Report

TEXT = Report.of(snapshot()).to_json()


class Service(BaseHTTPRequestHandler):
    """Answers the report's path with a report, and anything else with 404."""

    def do_GET(self) -> None:
        body = TEXT.encode() if self.path == "/api/report" else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        """Say nothing."""


@pytest.fixture
def service_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_from_a_file_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(TEXT)
    assert main(["report", str(tmp_path / "report.json")]) == 0
    assert "local 70 redis 20" in capsys.readouterr().out


def test_from_standard_input_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert main(["report", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(TEXT)


def test_from_a_service(service_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", service_url]) == 0
    assert "1,100 reads" in capsys.readouterr().out


def test_a_service_that_answers_something_else(service_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", f"{service_url}/elsewhere"]) == 4
    assert "answers 404" in capsys.readouterr().err


def test_no_service_and_no_file_are_clear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "http://127.0.0.1:1"]) == 4
    assert main(["report", str(tmp_path / "none.json")]) == 3
    (tmp_path / "odd.json").write_text("{}")
    assert main(["report", str(tmp_path / "odd.json")]) == 3
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "does not answer" in errors[0]
    assert "cannot be read" in errors[1]
    assert "this is no report" in errors[2]
