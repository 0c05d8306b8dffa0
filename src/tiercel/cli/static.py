"""
``tiercel static``: publishes a folder of static files to an edge, with hashed names and a manifest.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from tiercel._edges.s3 import S3Origin
from tiercel._sync.edge_site import SitePublisher
from tiercel.cdn.assets import FIXED_NAMES
from tiercel.cdn.site import SiteOptions, SiteReport
from tiercel.cli._exits import DONE, NO
from tiercel.cli._output import json_option, print_json, progress
from tiercel.cli.cdn import Duration, EdgeChoice, edge_options
from tiercel.errors import ConfigurationError
from tiercel.typing import GLOBAL

__all__ = ["command"]


@click.group("static")
def command() -> None:
    """Publish a folder of static files to an edge."""


@command.command("publish")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@edge_options
@click.option("--base", default="/", show_default=True, help="URL path of the site's root.")
@click.option("--tenant", default=GLOBAL, show_default=True)
@click.option("--tag", "tags", multiple=True, help="A tag that every object carries.")
@click.option(
    "--ttl",
    "ttl_s",
    type=Duration(),
    default="24h",
    show_default=True,
    help="How long the edge keeps pages and other fixed names.",
)
@click.option(
    "--browser-ttl",
    "browser_ttl_s",
    type=Duration(),
    default="1m",
    show_default=True,
    help="How long browsers keep them.",
)
@click.option("--fixed", multiple=True, metavar="PATTERN", help="Names that are not hashed, beside pages and the like.")
@click.option("--no-hash", is_flag=True, help="Keep every name.")
@click.option("--no-rewrite", is_flag=True, help="Leave references in pages and style sheets as they are.")
@click.option("--keep", default=3, show_default=True, type=click.IntRange(1), help="Generations that always stay.")
@click.option(
    "--keep-for",
    "keep_s",
    type=Duration(),
    default="7d",
    show_default=True,
    help="How long a replaced generation stays at least.",
)
@click.option(
    "--concurrency", default=8, show_default=True, type=click.IntRange(1, 64), help="Files under way at once."
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent and removed, and change nothing.")
@click.option(
    "--wait",
    "wait_s",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long to wait for purges of changed pages.",
)
@json_option
def publish(folder: Path, where: EdgeChoice, dry_run: bool, wait_s: float, as_json: bool, **settings: Any) -> int:
    """
    Publish every file below FOLDER; run it again to continue or to publish changes.

    Exit code 0: done; 1: published, and a purge of changed pages is still pending or failed.
    """
    options = _options(settings)
    with where.open(durable=not dry_run) as edge:
        publisher = SitePublisher(edge, options, progress=None if as_json else _tell)
        report = publisher.plan(folder) if dry_run else publisher.publish(folder)
        ends = time.monotonic() + wait_s
        open_tickets = list(report.tickets)
        while open_tickets and edge.purger is not None and time.monotonic() < ends:
            pause_s = edge.purger.step()
            open_tickets = [ticket for ticket in open_tickets if edge.status(ticket).state == "pending"]
            if open_tickets:
                time.sleep(min(pause_s, 1.0))
        failed = [ticket for ticket in report.tickets if edge.status(ticket).state == "failed"]
    _print(report, dry_run, len(open_tickets), len(failed), as_json)
    return NO if open_tickets or failed else DONE


@command.command("uploads")
@edge_options
@click.option("--abort-older", "older_s", type=Duration(), help="Abort those begun longer ago, for example 1d.")
@click.option("--dry-run", is_flag=True, help="Show what would be aborted, and abort nothing.")
@json_option
def uploads(where: EdgeChoice, older_s: float | None, dry_run: bool, as_json: bool) -> int:
    """
    Show uploads to S3 that were begun and not ended, by whomever; their parts are billed until they are aborted.

    Exit code 0: none is left; 1: there are some.
    """
    with where.open(durable=not dry_run) as edge:
        if not isinstance(edge.origin, S3Origin):
            raise ConfigurationError(f"edge {edge.name!r} has no S3 origin, so there are no unfinished uploads")
        found = edge.origin.unfinished_uploads()
        limit_s = time.time() - older_s if older_s is not None else float("-inf")
        old = [upload for upload in found if upload.started_s < limit_s]
        for upload in () if dry_run else old:
            edge.origin.abort_upload(upload)
    left = found if dry_run else [upload for upload in found if upload not in old]
    rows = [{"key": one.key, "upload": one.upload_id, "started_s": one.started_s, "old": one in old} for one in found]
    if as_json:
        print_json({"unfinished": rows, "aborted": 0 if dry_run else len(old)})
    else:
        would = "would be aborted" if dry_run else "aborted"
        for row in rows:
            click.echo(f"{row['key']}  {row['upload']}" + (f"  {would}" if row["old"] else ""))
        click.echo(f"{len(found)} unfinished, {len(old)} {would}")
    return NO if left else DONE


def _options(settings: dict[str, Any]) -> SiteOptions:
    return SiteOptions(
        base=settings["base"],
        tenant=settings["tenant"],
        tags=settings["tags"],
        ttl_s=settings["ttl_s"],
        browser_ttl_s=settings["browser_ttl_s"],
        fixed=("*",) if settings["no_hash"] else (*FIXED_NAMES, *settings["fixed"]),
        rewrite=not (settings["no_rewrite"] or settings["no_hash"]),
        keep=settings["keep"],
        keep_s=settings["keep_s"],
        concurrency=settings["concurrency"],
    )


def _tell(done: int, total: int, path: str) -> None:
    progress(f"{done}/{total} {path}")


def _print(report: SiteReport, dry_run: bool, pending: int, failed: int, as_json: bool) -> None:
    if as_json:
        figures = {
            "dry_run": dry_run,
            "sent_bytes": report.sent_bytes,
            "purges_pending": pending,
            "purges_failed": failed,
        }
        lists = {"published": report.published, "unchanged": report.unchanged, "removed": report.removed}
        print_json({**figures, **lists, "manifest": report.manifest})
        return
    would = "would be " if dry_run else ""
    click.echo(
        f"{len(report.published)} {would}published ({report.sent_bytes} bytes), {len(report.unchanged)} unchanged,"
    )
    click.echo(f"{len(report.removed)} of old generations {would}removed")
    for path in report.published:
        click.echo(f"  + {path}")
    for path in report.removed:
        click.echo(f"  - {path}")
    if pending or failed:
        click.echo(f"{pending} purges are still pending, {failed} failed: tiercel cdn status", err=True)
