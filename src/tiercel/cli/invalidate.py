"""
``tiercel invalidate``: makes entries fall in every tier, by entity, key, tag, prefix, pattern, region or tenant.

What falls by name falls at once. What may be much (a pattern, a region, a tenant) asks first, or needs ``--yes``;
``--dry-run`` says what would fall and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tiercel._sync.receipt import Receipt
from tiercel.cli._cache import MATRIX, TENANT, opened_cache
from tiercel.cli._output import json_option, print_json, progress
from tiercel.errors import TierUnavailable

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])
_WAIT_S = 60.0
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would fall, and change nothing.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group("invalidate")
def command() -> None:
    """Make entries of the matrix FILE's tiers fall; exit code 4 where a tier cannot be reached."""


@command.command("entity")
@MATRIX
@click.argument("name")
@click.argument("id")
@TENANT
@_DRY_RUN
@json_option
def entity(file: Path, name: str, id: str, tenant: str, dry_run: bool, as_json: bool) -> None:  # noqa: A002  # as shown
    """Make everything fall that depends on the entity NAME with this ID: entries, tags, paths."""
    with opened_cache(file) as cache:
        scope = cache.tenant(tenant)
        if dry_run:
            _print_counts(scope.would_fall(name, id), as_json)
        else:
            _print_receipt(scope.invalidate(name, id), as_json)


@command.command("key")
@MATRIX
@click.argument("region")
@click.argument("key")
@TENANT
@click.option("--expire", is_flag=True, help="Make it stale instead: kept for the case that the next load fails.")
@json_option
def one_key(file: Path, region: str, key: str, tenant: str, expire: bool, as_json: bool) -> None:
    """Make one KEY of REGION fall."""
    with opened_cache(file) as cache:
        scope = cache.tenant(tenant).region(region)
        _print_receipt(scope.expire(key) if expire else scope.remove(key), as_json)


@command.command("tags")
@MATRIX
@click.argument("tags", nargs=-1, required=True)
@TENANT
@_DRY_RUN
@json_option
def by_tags(file: Path, tags: tuple[str, ...], tenant: str, dry_run: bool, as_json: bool) -> None:
    """Make everything fall that carries one of TAGS."""
    with opened_cache(file) as cache:
        scope = cache.tenant(tenant)
        if dry_run:
            _print_counts(scope.would_fall_by_tags(*tags), as_json)
        else:
            _print_receipt(scope.invalidate_tags(*tags), as_json)


@command.command("prefix")
@MATRIX
@click.argument("region")
@click.argument("prefix")
@TENANT
@_YES
@json_option
def by_prefix(file: Path, region: str, prefix: str, tenant: str, yes: bool, as_json: bool) -> None:
    """Make every key of REGION fall that begins with PREFIX; one write where the matrix declares the prefix."""
    _confirm(yes, f"Make every key of {region} that begins with {prefix!r} fall for tenant {tenant}?")
    with opened_cache(file) as cache:
        _print_receipt(cache.tenant(tenant).region(region).invalidate_prefix(prefix), as_json)


@command.command("matching")
@MATRIX
@click.argument("region")
@click.argument("glob")
@TENANT
@_DRY_RUN
@_YES
@json_option
def matching(file: Path, region: str, glob: str, tenant: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Make every key of REGION fall that matches GLOB (* any text, ? one character); walks all keys of the region."""
    if not dry_run:
        _confirm(yes, f"Make every key of {region} that matches {glob!r} fall for tenant {tenant}?")
    with opened_cache(file) as cache:
        sweep = cache.tenant(tenant).region(region).invalidate_matching(glob, dry_run=dry_run)
        while not sweep.is_done:
            progress(f"{sweep.scanned:,} keys seen, {sweep.matched:,} match")
            time.sleep(0.2)
        count = sweep.wait()
    if as_json:
        print_json({"dry_run": dry_run, "scanned": sweep.scanned, "matched": sweep.matched, "fallen": sweep.fallen})
    else:
        click.echo(f"{count:,} of {sweep.scanned:,} keys {'would fall' if dry_run else 'fell'}")


@command.command("region")
@MATRIX
@click.argument("region")
@TENANT
@_YES
@json_option
def whole_region(file: Path, region: str, tenant: str, yes: bool, as_json: bool) -> None:
    """Make everything of REGION fall for one tenant; one write, however much that is."""
    _confirm(yes, f"Make everything of {region} fall for tenant {tenant}?")
    with opened_cache(file) as cache:
        _print_receipt(cache.tenant(tenant).invalidate_region(region), as_json)


@command.command("tenant")
@MATRIX
@TENANT
@_YES
@json_option
def whole_tenant(file: Path, tenant: str, yes: bool, as_json: bool) -> None:
    """Make everything of one tenant fall, in every region and tier."""
    _confirm(yes, f"Make everything of tenant {tenant} fall?")
    with opened_cache(file) as cache:
        _print_receipt(cache.tenant(tenant).invalidate_all(), as_json)


def _confirm(yes: bool, question: str) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _print_counts(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": True, "would_fall": counts})
        return
    for what, count in counts.items():
        click.echo(f"{count:8,}  {what}")
    click.echo("nothing was changed")


def _print_receipt(receipt: Receipt, as_json: bool) -> None:
    """Wait until the tiers concerned are clean and say when each was."""
    known = receipt.as_dict()
    if known["queued"]:
        raise TierUnavailable(f"{', '.join(known['queued'])} could not be reached: nothing fell there, try again")
    if known["paths"]:
        progress("waiting for the CDN")
        receipt.wait("cdn", _WAIT_S)
        known = receipt.as_dict()
    if as_json:
        print_json(known)
        return
    for name in ("keys", "tags", "paths"):
        for one in known[name]:
            click.echo(f"{name[:-1]:<5} {':'.join(one) if isinstance(one, list) else one}")
    for tier, at_s in known["clean_s"].items():
        click.echo(f"{tier} was clean after {(at_s - known['started_s']) * 1e3:.1f} ms")
