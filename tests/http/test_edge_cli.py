"""
``tiercel edge`` refuses wrong settings before it listens, each by name.
"""

from __future__ import annotations

import pytest

from tiercel.cli import main
from tiercel.cli._exits import MISCONFIGURED, USAGE

ORIGIN = ("--origin", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--origin", "shop.example"], "origin="),
        ([*ORIGIN, "--listen", "8080"], "--listen"),
        ([*ORIGIN, "--memory", "much"], "--memory"),
        ([*ORIGIN, "--stale-if-error", "soon"], "--stale-if-error"),
        ([*ORIGIN, "--purge-from", "everywhere"], "purgers="),
    ],
)
def test_wrong_settings(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edge", *arguments]) == MISCONFIGURED
    assert named in capsys.readouterr().err


def test_the_origin_must_be_named() -> None:
    assert main(["edge"]) == USAGE
