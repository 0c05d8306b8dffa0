"""
``tiercel get``: prints what the shared tiers hold of a key; it never loads.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from tiercel.cli._cache import MATRIX, TENANT, opened_cache
from tiercel.cli._exits import DONE, NO
from tiercel.cli._output import json_option, print_json, progress
from tiercel.typing import MISS

__all__ = ["command"]


@click.command("get")
@MATRIX
@click.argument("region")
@click.argument("key")
@TENANT
@json_option
def command(file: Path, region: str, key: str, tenant: str, as_json: bool) -> int:
    """
    Print the value of KEY in REGION as JSON, as the tiers of the matrix FILE hold it; bytes are printed as they are.

    Exit code 0: found; 1: no tier has a fresh copy. With --json, one object: found, value.
    """
    with opened_cache(file) as cache:
        value = cache.tenant(tenant).region(region).get(key)
    if as_json:
        found = value is not MISS
        print_json({"found": found, "value": msgspec.to_builtins(value, str_keys=True) if found else None})
    elif value is MISS:
        progress("no tier has a fresh copy")
    elif isinstance(value, bytes):
        sys.stdout.buffer.write(value)
    else:
        print_json(msgspec.to_builtins(value, str_keys=True))
    return NO if value is MISS else DONE
