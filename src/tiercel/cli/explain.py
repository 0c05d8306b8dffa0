"""
``tiercel explain``: says why a read of a key hits, misses or is stale, tier by tier.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from tiercel.cli._cache import MATRIX, TENANT, opened_cache
from tiercel.cli._output import json_option, print_json, print_table

__all__ = ["command"]


@click.command("explain")
@MATRIX
@click.argument("region")
@click.argument("key")
@TENANT
@json_option
def command(file: Path, region: str, key: str, tenant: str, as_json: bool) -> None:
    """
    Show what the shared tiers of the matrix FILE hold of KEY in REGION: state, age, version, tags, and a verdict.

    A process's own local copies are seen only from inside it: region.explain(key).
    """
    with opened_cache(file) as cache:
        known = cache.tenant(tenant).region(region).explain(key)
    known.pop("local", None)  # of this command's process, which has just begun
    if as_json:
        print_json(known)
    else:
        print_table(_table(known))


def _table(known: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, title=escape(str(known.get("verdict", ""))), title_justify="left")
    table.add_column("what", style="bold")
    table.add_column("value")
    for name, value in known.items():
        if isinstance(value, Mapping):
            for part, detail in value.items():
                table.add_row(f"{name} {part}", escape(str(detail)))
        elif name != "verdict" and value not in (None, []):
            table.add_row(name, escape(str(value)))
    return table
