"""
``tiercel journal``: what waits in the journals of a matrix, and the dead letters, to show, retry, drop or drain.

A file journal may be looked into while the application runs. Values are shown only by ``show``, and only there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from tiercel._core.clock import SystemClock
from tiercel._core.journal import DeadLetter, JournalSize
from tiercel._sync.journals.places import JournalPlaces, journal_options
from tiercel._sync.journals.protocol import Journal
from tiercel._sync.stores import open_store
from tiercel._sync.worker import Post, Worker
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.errors import ConfigurationError, redact
from tiercel.typing import DELETED

__all__ = ["command"]

_PAGE = 500
_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_REGION = click.option("--region", "-r", "regions", multiple=True, help="Only this region; repeat for more.")


@click.group("journal")
def command() -> None:
    """Look into the journals of the matrix FILE, and settle what the store refused."""


@command.command("list")
@_FILE
@_REGION
@click.option("--limit", default=100, show_default=True, help="Most dead letters a region.")
@json_option
def list_(file: Path, regions: tuple[str, ...], limit: int, as_json: bool) -> int:
    """
    List what waits and the dead letters, by region.

    Exit code 0: no dead letters; 1: there are some.
    """
    found: dict[str, tuple[JournalSize, list[DeadLetter]]] = {}
    with _places(file) as places:
        for region in _chosen(places, regions):
            with _opened(places, region) as journal:
                found[region] = journal.size(), journal.dead_letters(limit)
    now_s = time.time()
    if as_json:
        print_json({region: _summary(size, letters, now_s) for region, (size, letters) in found.items()})
    else:
        _print_sizes(found, now_s)
        _print_letters({region: letters for region, (_, letters) in found.items()})
    return NO if any(letters for _, letters in found.values()) else DONE


@command.command("show")
@_FILE
@click.argument("region")
@click.argument("id")
def show(file: Path, region: str, id: str) -> None:  # noqa: A002  # the argument's name on the command line
    """Print one dead letter of REGION in full, value included, as JSON."""
    with _places(file) as places, _opened(places, region) as journal:
        letter = next((each for each in _all_letters(journal) if each.id == id), None)
    if letter is None:
        raise click.UsageError(f"region {region!r} has no dead letter {id!r}")
    change = letter.entry.change
    value = "deleted" if change.value is DELETED else msgspec.to_builtins(change.value, str_keys=True)
    key = change.key if isinstance(change.key, str) else change.key.hex()
    print_json({**_letter(letter), "key": key, "is_deletion": change.value is DELETED, "value": value})


@command.command("retry")
@_FILE
@click.argument("region")
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter of the region.")
@json_option
def retry(file: Path, region: str, ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Queue dead letters of REGION again; a newer write of the same key still wins."""
    with _places(file) as places, _opened(places, region) as journal:
        count = journal.retry(_named(journal, ids, every))
    if as_json:
        print_json({"region": region, "retried": count})
    else:
        progress(f"{region}: {count} dead letters queued again")


@command.command("drop")
@_FILE
@click.argument("region")
@click.argument("ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter of the region.")
@click.option("--dry-run", is_flag=True, help="Say what would be dropped.")
@json_option
def drop(file: Path, region: str, ids: tuple[str, ...], every: bool, dry_run: bool, as_json: bool) -> None:
    """Throw dead letters of REGION away: those writes are lost."""
    with _places(file) as places, _opened(places, region) as journal:
        names = set(_named(journal, ids, every))
        letters = [letter for letter in _all_letters(journal) if letter.id in names]
        if not dry_run:
            journal.drop([letter.id for letter in letters])
    if as_json:
        print_json({"region": region, "dry_run": dry_run, "dropped": [_letter(letter) for letter in letters]})
    else:
        _print_letters({region: letters})
        progress(f"{region}: {len(letters)} dead letters {'would be ' if dry_run else ''}dropped")


@command.command("drain")
@_FILE
@_REGION
@click.option("--deadline", "deadline_s", default=60.0, show_default=True, help="Longest time, seconds.")
@json_option
def drain(file: Path, regions: tuple[str, ...], deadline_s: float, as_json: bool) -> int:
    """
    Bring everything that waits to the stores, beside whatever else flushes.

    Exit code 0: nothing waits; 1: the deadline came first.
    """
    matrix = load_matrix(file)
    with _places(file) as places:
        names = _chosen(places, regions)
        stores = {region: open_store(matrix.store_url(region) or "") for region in names}
        posts = [Post(name, journal_options(matrix, name), places.journal(name), stores[name]) for name in names]
        worker = Worker(posts, clock=SystemClock())
        try:
            worker.start()
            left = worker.drain(deadline_s)
            stats = worker.stats()
        finally:
            worker.close()
            for store in stores.values():
                store.close()
    if as_json:
        print_json({region: msgspec.to_builtins(each) for region, each in stats.items()})
    for region, each in stats.items():
        progress(f"{region}: {each.flushed} rows flushed, {each.depth} left, {each.dead} dead letters")
    return NO if left else DONE


@contextmanager
def _places(file: Path) -> Iterator[JournalPlaces]:
    places = JournalPlaces(load_matrix(file), clock=SystemClock())
    try:
        yield places
    finally:
        places.close()


@contextmanager
def _opened(places: JournalPlaces, region: str) -> Iterator[Journal]:
    journal = places.journal(region)
    try:
        journal.open()
        yield journal
    finally:
        journal.close()


def _chosen(places: JournalPlaces, regions: Sequence[str]) -> list[str]:
    names = list(regions) or places.regions()
    if not names:
        raise ConfigurationError("no region of this matrix journals: none writes behind to a store")
    return names


def _named(journal: Journal, ids: Sequence[str], every: bool) -> list[str]:
    if bool(ids) == every:
        raise click.UsageError("name the dead letters, or say --all")
    return [letter.id for letter in _all_letters(journal)] if every else list(ids)


def _all_letters(journal: Journal) -> Iterator[DeadLetter]:
    after = ""
    while page := journal.dead_letters(_PAGE, after):
        yield from page
        after = page[-1].id


def _letter(letter: DeadLetter) -> dict[str, Any]:
    change = letter.entry.change
    return {
        "id": letter.id,
        "tenant": change.tenant,
        "key": redact(change.key),
        "version": change.version,
        "reason": letter.reason,
        "accepted_s": letter.entry.accepted_s,
        "parked_s": letter.parked_s,
    }


def _summary(size: JournalSize, letters: list[DeadLetter], now_s: float) -> dict[str, Any]:
    return {
        "waiting": size.rows,
        "size_bytes": size.size_bytes,
        "oldest_age_s": _age_s(size, now_s),
        "dead": size.dead,
        "dead_letters": [_letter(letter) for letter in letters],
    }


def _age_s(size: JournalSize, now_s: float) -> float:
    return 0.0 if size.oldest_s is None else max(0.0, now_s - size.oldest_s)


def _print_sizes(found: dict[str, tuple[JournalSize, list[DeadLetter]]], now_s: float) -> None:
    table = Table("region", "waiting", "bytes", "oldest", "dead letters")
    for region, (size, _) in found.items():
        table.add_row(region, str(size.rows), str(size.size_bytes), f"{_age_s(size, now_s):.1f} s", str(size.dead))
    print_table(table)


def _print_letters(letters: dict[str, list[DeadLetter]]) -> None:
    if not any(letters.values()):
        return
    table = Table("region", "id", "tenant", "key", "version", "reason")
    for region, parked in letters.items():
        for letter in parked:
            change = letter.entry.change
            cells = (region, letter.id, change.tenant, redact(change.key), str(change.version), letter.reason)
            table.add_row(*map(escape, cells))
    print_table(table)
