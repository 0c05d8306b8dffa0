"""
``tiercel erase``: destroys what the tiers, journals and backups hold of one subject, and prints proof of each place.

The subject is an entity of the matrix with its key, ``user:42``. Delete its rows first: this command leaves stores
alone. Journals that are files are emptied here and, by the nodes themselves, wherever else they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from rich.table import Table

from tiercel._backups.erased import note_erasure
from tiercel._core.clock import SystemClock
from tiercel._core.erasure import ErasureReceipt
from tiercel._core.subjects import split_subject
from tiercel._sync.erasure import Forget
from tiercel._sync.journals.places import JournalPlaces, journal_options
from tiercel.cli._cache import MATRIX, TENANT, opened_cache
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress

__all__ = ["command"]


@click.command("erase")
@MATRIX
@click.argument("subject")
@TENANT
@click.option("--yes", is_flag=True, help="Do it; without this, say what would be erased.")
@click.option(
    "--backups",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of backups: note the erasure there, too.",
)
@json_option
def command(file: Path, subject: str, tenant: str, yes: bool, backups: Path | None, as_json: bool) -> int:
    """
    Erase SUBJECT (``user:42``) of a tenant, by the matrix FILE.

    Exit code 0: every place is done; 1: a place failed, has yet to take it, or --yes was not given.
    """
    with opened_cache(file) as cache:
        if not yes:
            counts = cache.tenant(tenant).would_fall(*split_subject(subject))
            print_json({"subject": subject, "would_fall": counts})
            progress("nothing was erased: say --yes")
            return NO
        with _journals(file) as journals:
            receipt = cache.erase(tenant, subject, journals=journals)
        if backups is not None:
            note_erasure(backups, tenant, subject, int(receipt.started_s * 1000))
    if as_json:
        print_json(receipt.as_dict())
    else:
        _print(receipt)
    return DONE if receipt.is_complete else NO


@contextmanager
def _journals(file: Path) -> Iterator[dict[str, Forget]]:
    """Open the journals of every region that writes behind, without flushing them."""
    matrix = load_matrix(file)
    places = JournalPlaces(matrix, clock=SystemClock())
    with ExitStack() as stack:
        stack.callback(places.close)
        found: dict[str, Forget] = {}
        for region in places.regions():
            if journal_options(matrix, region).kind != "memory":
                journal = places.journal(region)
                journal.open()
                stack.callback(journal.close)
                found[region] = journal.forget
        yield found


def _print(receipt: ErasureReceipt) -> None:
    table = Table(title=f"{receipt.subject} of {receipt.tenant}, {receipt.took_s:.2f} s")
    for column in ("place", "what was done", "count", "state", "why"):
        table.add_column(column)
    for place in receipt.places:
        table.add_row(place.place, place.action, str(place.count), place.state, place.why)
    print_table(table)
