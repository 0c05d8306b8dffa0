"""
How commands speak: results to standard output as a table or as JSON, progress to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from rich.console import Console, RenderableType

__all__ = ["json_option", "print_json", "print_table", "progress"]

F = TypeVar("F", bound=Callable[..., Any])
_PIPE_COLUMNS: Final = 160


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


def progress(message: str) -> None:
    """Say on standard error what is going on."""
    click.echo(message, err=True)
