"""
``tiercel warm``: fills a cold cache from the keys that its nodes saved, hottest and dearest first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from tiercel._core.warmkeys import WarmKey
from tiercel._sync.cache import Cache
from tiercel._sync.warmer import WarmProgress
from tiercel.cli._cache import CONNECT_TIMEOUT_S, MATRIX
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.matrix import Matrix

__all__ = ["command"]

SHOWN = 20


@click.command("warm")
@MATRIX
@click.option("--keys", type=click.IntRange(min=1), help="Most keys; the matrix's warm_keys, else all that are saved.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Most keys a second; else warm_rate.")
@click.option("--dry-run", is_flag=True, help="Show what would be loaded, and load nothing.")
@json_option
def command(file: Path, keys: int | None, rate: float | None, dry_run: bool, as_json: bool) -> int:
    """
    Load the keys that nodes of the matrix FILE saved as worth being warm into its tiers.

    What a tier holds already is not loaded again. Exit code 1: some keys could not be loaded.
    """
    matrix = load_matrix(file)
    most = keys or matrix.cache.warm_keys or None
    with Cache(_matrix(matrix, rate), connect_timeout_s=CONNECT_TIMEOUT_S) as cache:
        if dry_run:
            return _shown(cache.saved_warm_keys(most), as_json)
        done = cache.warm(None if as_json else _told, most)
    if as_json:
        print_json({"keys": done.total, "done": done.done, "skipped": done.skipped})
    else:
        progress(f"{done.done - done.skipped} of {done.total} keys are warm, {done.skipped} could not be loaded")
    return NO if done.skipped else DONE


def _matrix(matrix: Matrix, rate: float | None) -> Matrix:
    """Return *matrix* with its stores, without its journals, which are the application's, and with nothing saved."""
    regions = [replace(region, journal=None, strategy="write-through") for region in matrix.regions.values()]
    return matrix.overlay(*regions, replace(matrix.cache, warm_keys=0, warm_rate=rate or matrix.cache.warm_rate))


def _told(done: WarmProgress) -> None:
    progress(f"{done.done} of {done.total} keys")


def _shown(keys: Sequence[WarmKey], as_json: bool) -> int:
    if as_json:
        print_json([{**dataclasses.asdict(key), "key": str(key.key)} for key in keys])
        return DONE
    table = Table("tenant", "region", "key", "heat", "load", title=f"{len(keys)} keys, worthiest first")
    for key in keys[:SHOWN]:
        table.add_row(key.tenant, key.region, str(key.key), f"{key.heat:.0f}", f"{key.cost_s * 1e3:.1f} ms")
    print_table(table)
    return DONE
