"""``tiercel serve`` as a process: it listens, answers what ``tiercel report`` asks, and ends when told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.redis import RedisServer
from tests.service.shop import PASSWORD
from tiercel.cli import main
from tiercel.service.users import UserFile


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_it_serves_until_it_is_told_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = tmp_path / "tiercel.toml"
    matrix.write_text(f'[cache]\nstate_dir = "{tmp_path}/state"\n', encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-W", "error", "-m", "tiercel", "serve", "--config", str(matrix), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", process)
            assert main(["report", f"http://127.0.0.1:{port}", "--json"]) == 0
            assert '"overall"' in capsys.readouterr().out
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}/" in told
    assert "Traceback" not in told
    assert process.returncode == 0, "the cache was closed, not torn down with the process"


def test_it_makes_backups_meanwhile_and_keeps_the_newest(redis_server: RedisServer, tmp_path: Path) -> None:
    matrix, folder, port = tmp_path / "tiercel.toml", tmp_path / "backups", free_port()
    matrix.write_text(
        f'[cache]\nnamespace = "served"\nredis = "{redis_server.url}"\nstate_dir = "{tmp_path}/state"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-W", "error", "-m", "tiercel", "serve", "--config", str(matrix), "--port", str(port)]
    command += ["--backup-to", str(folder), "--backup-every", "100ms", "--backup-keep", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            made = [line for line, _ in zip(_backups(process), range(4), strict=False)]
        finally:
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
    assert len(made) == 4
    assert 1 <= len(list(folder.glob("served-*.tcb"))) <= 2
    assert "Traceback" not in told
    assert process.returncode == 0


def _backups(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield what the process says of each backup."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("backed_up"):
            yield line


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    """Return once *url* answers."""
    ends = time.monotonic() + 30.0
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < ends, "it does not answer"
            time.sleep(0.05)


def test_a_user_is_added_from_standard_input(tmp_path: Path) -> None:
    users = tmp_path / "users"
    add = [sys.executable, "-m", "tiercel", "serve", "--users", str(users), "--add-user", "ada", "--role", "operator"]
    done = subprocess.run(add, input=f"{PASSWORD}\n", text=True, capture_output=True, check=True, timeout=60)
    assert PASSWORD not in done.stdout + done.stderr
    user = UserFile(users).verify("ada", PASSWORD)
    assert user is not None
    assert user.role == "operator"


@pytest.mark.parametrize("arguments", [["serve"], ["serve", "--add-user", "ada"]])
def test_what_is_missing_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "FILE" in capsys.readouterr().err
