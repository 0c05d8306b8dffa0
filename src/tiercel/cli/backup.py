"""
``tiercel backup``: copies what a matrix holds in Redis to a file or bucket, while everything goes on.

An interrupted backup is carried on by the same command; with ``--every`` it goes on and on. The file is compressed,
checked block by block, and authenticated where a region is encrypted; sealed values stay sealed.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from tiercel._backups.bucket import Bucket, is_bucket
from tiercel._core.backupscope import Scope
from tiercel._core.durations import parse_duration
from tiercel._sync.backupschedule import BackupSchedule
from tiercel._sync.recovery import Recovery
from tiercel.cli._cache import MATRIX
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, progress, tell

__all__ = ["command"]


@click.command("backup")
@MATRIX
@click.argument("to")
@click.option("--tenant", "-t", help="Only this tenant.")
@click.option("--region", "-r", help="Only this region.")
@click.option("--key", help="Name of the key that authenticates the file; by default an encrypted region's.")
@click.option("--rate", "rate_per_s", default=0.0, help="Most entries a second; 0 for no limit.")
@click.option("--every", help="Go on: a backup every so often (6h) into the folder TO, beside others who do the same.")
@click.option("--keep", default=7, show_default=True, help="With --every: how many are kept.")
@json_option
def command(
    file: Path,
    to: str,
    tenant: str | None,
    region: str | None,
    key: str | None,
    rate_per_s: float,
    every: str | None,
    keep: int,
    as_json: bool,
) -> None:
    """Back up what the matrix FILE holds in Redis to TO, a path or s3://bucket/key."""
    matrix = load_matrix(file)
    if every is not None:
        _go_on(Recovery(matrix), Path(to), Scope(tenant, region), parse_duration(every), keep)
        return
    staged = Path(matrix.cache.state_dir) / "backups" / Path(to).name
    path = staged if is_bucket(to) else Path(to)
    progress(f"backing up to {to}")
    report = Recovery(matrix).backup(path, Scope(tenant, region), key=key, rate_per_s=rate_per_s, progress=_tell)
    if is_bucket(to):
        Bucket(to).upload(path)
        path.unlink()
        report["path"] = to
    if as_json:
        print_json(report)
    progress(
        f"{report['entries']} entries, {report['journal']} waiting writes, {report['dead']} dead letters: "
        f"{report['size_bytes']} bytes in {report['took_s']} s, {report['per_s']}/s"
    )


def _go_on(recovery: Recovery, folder: Path, scope: Scope, every_s: float, keep: int) -> None:
    """Make backups until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder.mkdir(parents=True, exist_ok=True)
    schedule = BackupSchedule(recovery, folder, scope, every_s=every_s, keep=keep, tell=tell)
    schedule.start()
    try:
        progress(f"a backup every {every_s:g} s to {folder}, {keep} are kept")
        stop.wait()
    finally:
        schedule.close()


def _tell(entries: int, size_bytes: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{entries} entries, {size_bytes // 1024} KiB", err=True, nl=False)
