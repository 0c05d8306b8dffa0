"""
How commands speak: results to standard output as a table or as JSON, progress to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from rich.console import Console, RenderableType
from rich.markup import escape

__all__ = ["json_option", "print_finding", "print_json", "print_table", "progress", "tell"]

F = TypeVar("F", bound=Callable[..., Any])
_PIPE_COLUMNS: Final = 160
_COLOURS: Final = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}


def json_option(command: F) -> F:
    """Add ``--json`` to a command, as the argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")(command)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """Print *value* as one JSON object on one line where the output is piped, indented at a terminal."""
    indent = 2 if _is_terminal() else None
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent))


def print_table(renderable: RenderableType) -> None:
    """Print *renderable*; a pipe gets a wide page, so that nothing is cut for want of a terminal."""
    width = None if _is_terminal() else _PIPE_COLUMNS
    Console(file=sys.stdout, width=width, highlight=False).print(renderable)


def print_finding(level: str, subject: str, message: str, action: str) -> None:
    """Print what a doctor found, and on a second line what to do about it."""
    print_table(f"[{_COLOURS[level]}]{level:<8}[/]{escape(subject)}: {escape(message)}")
    if action:
        print_table(f"        → {escape(action)}")


def tell(name: str, fields: Mapping[str, Any]) -> None:
    """Say on standard error that *name* happened."""
    progress(f"{name}: " + ", ".join(f"{field}={value}" for field, value in fields.items()))


def progress(message: str) -> None:
    """Say on standard error what is going on."""
    click.echo(message, err=True)
