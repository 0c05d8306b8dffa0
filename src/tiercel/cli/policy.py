"""
``tiercel policy``: shows, changes, promotes and rolls back what differs from the matrix file on all nodes.

A change asks first, or needs ``--yes``; ``--dry-run`` says what would change and changes nothing. Without a shared tier
the policy is the file in the matrix's ``state_dir``, which the application's processes on this machine follow.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec
from rich.table import Table

from tiercel._core.clock import SystemClock
from tiercel._core.durations import parse_duration
from tiercel._core.policy import ANY, Draft, Layer, PolicyDocument, Switch
from tiercel._core.policyfields import read_fields
from tiercel._core.policyguard import Guard
from tiercel._sync.policybook import PolicyBook
from tiercel._sync.policystore import FilePolicyStore, policy_file
from tiercel.cli._cache import MATRIX, opened_cache
from tiercel.cli._exits import NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.errors import ConfigurationError

__all__ = ["command"]

_WAIT_S: Final = 10.0
_LOOK_S: Final = 0.1
_SWITCH: Final = "LAYER[:REGION[:TENANT[:PREFIX]]]"
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_REASON = click.option("--reason", default="", help="Why; it is kept in the history.")
_BY = click.option("--by", default=None, help="Who; the user of this shell if not given.")
_WAIT = click.option("--wait", is_flag=True, help="Wait until every node follows; exit code 1 if one does not.")


@click.group("policy")
def command() -> None:
    """Live changes of the matrix FILE: ttl, windows, switches, shadow comparisons."""


@command.command("show")
@MATRIX
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what is in force and on trial, and which version each node follows."""
    with _opened_book(file) as book:
        document, nodes = book.read(), book.nodes()
    if as_json:
        shown = msgspec.to_builtins(document)
        del shown["history"]
        print_json({**shown, "nodes": msgspec.to_builtins(nodes)})
        return
    click.echo(f"version {document.version}")
    for region, fields in document.stable.regions.items():
        for name, value in fields.items():
            click.echo(f"  {region}.{name} = {value}")
    for switch in document.stable.switches:
        click.echo(f"  {switch}")
    if document.trial is not None:
        began = next(entry for entry in document.history if entry.version == document.trial.version)
        click.echo(f"on trial since version {began.version}, on {document.trial.share:.0%} of the nodes:")
        for change in began.changes:
            click.echo(f"  {change}")
    for note in nodes:
        told = f" on trial ({note.verdict or 'no guard rails'})" if note.is_on_trial else ""
        click.echo(f"node {note.node}: version {note.version}{told}")


@command.command("set")
@MATRIX
@click.argument("changes", nargs=-1, metavar="[REGION.SETTING=VALUE]...")
@click.option("--off", multiple=True, metavar=_SWITCH, help="Switch a layer off: local, redis, cdn, write-behind.")
@click.option("--on", multiple=True, metavar=_SWITCH, help="Take a switch away.")
@click.option("--share", default=1.0, type=float, show_default=True, help="Part of the nodes that try it first.")
@click.option("--hit-rate-drop", type=float, help="Roll it back when the hit rate falls by so many points (0.1: ten).")
@click.option("--p99", help="Roll it back when the p99 of reads that leave the process is longer, such as 50ms.")
@click.option("--load-growth", type=float, help="Roll it back when there are so many times the loads.")
@click.option("--window", default="30s", show_default=True, help="Window that guard rails judge.")
@click.option("--least-requests", default=200, show_default=True, help="Reads in it below which they do not judge.")
@click.option("--promote-after", help="Put it in force everywhere after so long without a breach.")
@_REASON
@_BY
@_WAIT
@_DRY_RUN
@_YES
@json_option
def change(
    file: Path,
    changes: tuple[str, ...],
    off: tuple[str, ...],
    on: tuple[str, ...],
    share: float,
    reason: str,
    by: str | None,
    wait: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **rails: Any,
) -> None:
    """
    Change settings and switches on every node, or on a share of them first.

    VALUE is written as in a matrix file: 10m, 0.1, true, none; "default" for what the file says.
    """
    draft = Draft(
        regions=_read_changes(changes),
        off=tuple(_read_switch(text) for text in off),
        on=tuple(_read_switch(text) for text in on),
        share=share,
        guard=_read_guard(rails),
        promote_after_s=_seconds(rails["promote_after"]),
    )
    regions, who = load_matrix(file).regions, by or getpass.getuser()
    with _opened_book(file) as book:
        said = book.propose(draft, regions, by=who, reason=reason, dry_run=True)
        if dry_run:
            _print_change(said, as_json, dry_run=True)
            return
        _confirm(yes, said)
        document = book.propose(draft, regions, by=who, reason=reason)
        _print_change(document, as_json, dry_run=False)
        _wait(book, document, wait)


@command.command("promote")
@MATRIX
@_REASON
@_BY
@_WAIT
@_YES
@json_option
def promote(file: Path, reason: str, by: str | None, wait: bool, yes: bool, as_json: bool) -> None:
    """Put what is on trial in force everywhere."""
    if not yes:
        click.confirm("Put what is on trial in force everywhere?", abort=True, err=True)
    with _opened_book(file) as book:
        document = book.promote(by=by or getpass.getuser(), reason=reason)
        _print_change(document, as_json, dry_run=False)
        _wait(book, document, wait)


@command.command("rollback")
@MATRIX
@click.option("--to", type=click.IntRange(min=0), help="A version of the history; 0 for the matrix file alone.")
@_REASON
@_BY
@_WAIT
@_DRY_RUN
@_YES
@json_option
def rollback(
    file: Path,
    to: int | None,
    reason: str,
    by: str | None,
    wait: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """End the trial, or else undo the last change; or go back to a version."""
    who = by or getpass.getuser()
    with _opened_book(file) as book:
        said = book.roll_back(by=who, reason=reason, to=to, dry_run=True)
        if dry_run:
            _print_change(said, as_json, dry_run=True)
            return
        _confirm(yes, said)
        document = book.roll_back(by=who, reason=reason, to=to)
        _print_change(document, as_json, dry_run=False)
        _wait(book, document, wait)


@command.command("history")
@MATRIX
@json_option
def history(file: Path, as_json: bool) -> None:
    """Show the last changes, newest first."""
    with _opened_book(file) as book:
        entries = list(reversed(book.read().history))
    if as_json:
        print_json(msgspec.to_builtins(entries))
        return
    table = Table()
    for heading in ("version", "when", "who", "what", "changes", "why"):
        table.add_column(heading)
    for entry in entries:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.at_s))
        table.add_row(str(entry.version), when, entry.by, entry.action, "\n".join(entry.changes), entry.reason)
    print_table(table)


@contextmanager
def _opened_book(file: Path) -> Iterator[PolicyBook]:
    """Open the book of the matrix *file*: in its shared tier, or in its state folder where there is none."""
    cache = load_matrix(file).cache
    if cache.redis is None:
        yield PolicyBook(FilePolicyStore(policy_file(cache.state_dir, cache.namespace)), SystemClock())
        return
    with opened_cache(file) as opened:
        yield opened.policy.book


def _read_changes(changes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for text in changes:
        name, equals, value = text.partition("=")
        region, dot, setting = name.rpartition(".")
        if not (equals and dot and region and setting):
            raise click.UsageError(f"{text!r}: write REGION.SETTING=VALUE, such as product.ttl=10m")
        tables.setdefault(region, {})[setting] = _value(value)
    return {region: read_fields(table, region) for region, table in tables.items()}


def _value(text: str) -> str | float | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _read_switch(text: str) -> Switch:
    layer, region, tenant, prefix = [*text.split(":", 3), "", "", ""][:4]
    if layer not in get_args(Layer):
        raise click.UsageError(f"{text!r}: the layer must be one of {', '.join(get_args(Layer))}")
    return msgspec.convert(
        {"layer": layer, "region": region or ANY, "tenant": tenant or ANY, "prefix": prefix}, type=Switch
    )


def _read_guard(rails: Mapping[str, Any]) -> Guard | None:
    p99_s = _seconds(rails["p99"])
    if rails["hit_rate_drop"] is None and p99_s is None and rails["load_growth"] is None:
        return None
    return Guard(
        most_hit_rate_drop=rails["hit_rate_drop"],
        most_p99_s=p99_s,
        most_load_growth=rails["load_growth"],
        window_s=_seconds(rails["window"]) or 30.0,
        least_requests=rails["least_requests"],
    )


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _confirm(yes: bool, said: PolicyDocument) -> None:
    if yes:
        return
    for one in said.history[-1].changes:
        progress(f"  {one}")
    where = f"on {said.trial.share:.0%} of the nodes" if said.trial is not None else "on every node"
    click.confirm(f"Change this {where}?", abort=True, err=True)


def _print_change(document: PolicyDocument, as_json: bool, *, dry_run: bool) -> None:
    entry = document.history[-1]
    if as_json:
        told = {"dry_run": dry_run, "version": entry.version, "action": entry.action, "changes": list(entry.changes)}
        print_json({**told, "is_on_trial": document.trial is not None})
        return
    for one in entry.changes:
        click.echo(one)
    click.echo("nothing was changed" if dry_run else f"version {entry.version}: {entry.action}")


def _wait(book: PolicyBook, document: PolicyDocument, wait: bool) -> None:
    """Wait until every living node says that it follows *document*."""
    ends = time.monotonic() + _WAIT_S
    while wait:
        behind = [note.node for note in book.nodes() if note.version < document.version]
        if not behind:
            return
        if time.monotonic() >= ends:
            progress(f"still behind after {_WAIT_S:g} s: {', '.join(behind)}")
            raise click.exceptions.Exit(NO)
        time.sleep(_LOOK_S)
