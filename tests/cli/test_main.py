"""The command line itself: help, exit codes, and errors as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tiercel.cli import _main
from tiercel.cli._main import main
from tiercel.errors import ConfigurationError, TierUnavailable


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command("fail")
    def fail() -> None:
        raise error

    monkeypatch.setattr(_main.CommandFolder, "get_command", lambda self, ctx, name: fail)


def test_help_lists_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("check", "doctor", "report"):
        assert f"\n  {name} " in text
    assert "reads a matrix file" in text


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from tiercel.cli import main; main(['--help']);"
        "print([name for name in sys.modules if name.startswith('tiercel.cli.') and '._' not in name], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(_main.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert done.stderr.strip() == "[]"


def test_every_command_module_has_a_command_and_a_first_sentence() -> None:
    context = click.Context(_main.tiercel)
    for name in _main.tiercel.list_commands(context):
        source = Path(_main.__file__).parent / f"{name.replace('-', '_')}.py"
        assert source.read_text(encoding="utf-8").startswith(f'"""\n``tiercel {name}``: '), source


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == 2
    assert "No such command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigurationError("ttl=0: wrong"), 3, "tiercel: ttl=0: wrong"),
        (TierUnavailable("redis is away"), 4, "tiercel: redis is away"),
        (ConnectionRefusedError(111, "refused"), 4, "tiercel: ConnectionRefusedError: [Errno 111] refused"),
        (KeyboardInterrupt(), 130, "tiercel: interrupted"),
        (RuntimeError("odd"), 1, "tiercel: RuntimeError: odd"),
        (
            ModuleNotFoundError("x", name="starlette.routing"),
            1,
            'this command needs starlette.routing: pip install "tiercel[service]"',
        ),
        (click.Abort(), 130, "tiercel: interrupted"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _failing(monkeypatch, error)
    assert main(["fail"]) == code
    text = capsys.readouterr().err
    assert line in text
    assert text.strip().count("\n") == 0  # click ends an interrupted line first


def test_a_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _failing(monkeypatch, RuntimeError("odd"))
    assert main(["--traceback", "fail"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_command_line_does_not_load_the_engine() -> None:
    code = "import sys, tiercel.cli; print([name for name in sys.modules if name.startswith('tiercel._')])"
    environment = {**os.environ, "PYTHONPATH": str(Path(_main.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert done.stdout.strip() == "[]"
