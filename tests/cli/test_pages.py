"""The reference pages name every command, option, setting and exit code that there is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import pytest

from tiercel._core.alertoptions import AlertingOptions, SinkOptions
from tiercel._core.alertrules import METRICS, AlertRule
from tiercel._core.changeoptions import ChangeRule, ChangeSource
from tiercel._core.matrixfile import field_specs
from tiercel.cli import _main
from tiercel.options import (
    BackplaneOptions,
    CacheOptions,
    EntityRule,
    JournalOptions,
    KeyOptions,
    LocalOptions,
    RegionOptions,
)

PAGES = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    "options",
    [
        RegionOptions,
        LocalOptions,
        JournalOptions,
        KeyOptions,
        EntityRule,
        CacheOptions,
        BackplaneOptions,
        AlertRule,
        AlertingOptions,
        SinkOptions,
        ChangeSource,
        ChangeRule,
    ],
)
def test_every_setting_is_on_the_page_with_its_default(options: type) -> None:
    page = (PAGES / "reference" / "settings.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for key in field_specs(options):
        if key == "name" and dataclasses.is_dataclass(options) and options is not AlertRule:
            continue
        assert any(row.startswith(f"| `{key}` |") for row in rows), f"{options.__name__}.{key}"


def test_every_command_of_these_is_on_the_page() -> None:
    page = (PAGES / "reference" / "cli.md").read_text(encoding="utf-8")
    context = click.Context(_main.tiercel)
    names = ("check", "get", "explain", "invalidate", "doctor", "report", "top", "alerts", "policy", "worker")
    for name in (*names, "backup", "restore", "erase"):
        command = _main.tiercel.get_command(context, name)
        assert command is not None
        assert f"## `tiercel {name}" in page
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[0]}" in page, (name, option.opts)
        if isinstance(command, click.Group):
            for inner in command.commands:
                assert f"`tiercel {name} {inner}" in page


def test_every_alert_metric_is_explained() -> None:
    page = (PAGES / "howto" / "alerts.md").read_text(encoding="utf-8")
    for metric in METRICS:
        assert f"`{metric}`" in page
