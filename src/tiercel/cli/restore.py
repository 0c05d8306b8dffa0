"""
``tiercel restore``: puts back what a backup holds and what still holds; nothing stale or erased comes back.

The whole file is checked before anything is written. Entries that fell, were written or erased since the backup, and
those of which nobody can say it, stay out. An interrupted restore is carried on by the same command.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from tiercel._backups.bucket import Bucket, is_bucket
from tiercel._core.restorereport import RestoreReport
from tiercel._sync.recovery import Recovery
from tiercel.cli._cache import MATRIX
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress

__all__ = ["command"]


@click.command("restore")
@MATRIX
@click.argument("backup")
@click.option("--into", help="URL of the Redis to restore into; by default the matrix's.")
@click.option("--source", help="URL of the Redis that the backup came from, where it is another one and still alive.")
@click.option("--dry-run", is_flag=True, help="Say what would be restored, and write nothing.")
@click.option("--rate", "rate_per_s", default=0.0, help="Most entries a second; 0 for no limit.")
@json_option
def command(
    file: Path, backup: str, into: str | None, source: str | None, dry_run: bool, rate_per_s: float, as_json: bool
) -> int:
    """
    Restore BACKUP, a path or s3://bucket/key, into the Redis of the matrix FILE.

    Exit code 0: done; 1: the invalidations since the backup are lost, so that nothing could be restored.
    """
    matrix = load_matrix(file)
    if into is not None:
        matrix = matrix.overlay(replace(matrix.cache, redis=into))
    path = Path(backup)
    if is_bucket(backup):
        path = Path(matrix.cache.state_dir) / "backups" / Path(backup).name
        Bucket(backup).download(path)
    report = Recovery(matrix).restore(path, source=source, is_dry_run=dry_run, rate_per_s=rate_per_s, progress=_tell)
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)
    if report.gap:
        progress(f"nothing was restored: {report.gap}")
    return NO if report.gap else DONE


def _tell(done: int, total: int) -> None:
    if done == total or done % 200 == 0:
        progress(f"block {done} of {total}")


def _print(report: RestoreReport) -> None:
    table = Table(title="would be restored" if report.is_dry_run else "restored")
    for column in ("what", "count"):
        table.add_column(column)
    for name, count in report.as_dict().items():
        if isinstance(count, int) and not isinstance(count, bool):
            table.add_row(name, str(count))
    print_table(table)
