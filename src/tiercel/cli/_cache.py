"""
A cache for one command: the shared tiers of a matrix, without its stores and journals.

Looking at a key or making it fall needs neither, and must not load anything or take an application's journal. What
would be kept to be sent again goes to a folder that ends with the command, so a tier that cannot be reached is an
error here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from tiercel._sync.cache import Cache
from tiercel.cli._matrix import load_matrix
from tiercel.errors import ConfigurationError

__all__ = ["CONNECT_TIMEOUT_S", "MATRIX", "TENANT", "opened_cache"]

CONNECT_TIMEOUT_S = 5.0
MATRIX = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
TENANT = click.option("--tenant", "-t", required=True, help="Whose data; @global for data of no tenant.")


@contextmanager
def opened_cache(file: Path) -> Iterator[Cache]:
    """Open the shared tiers of the matrix *file*; raises ConfigurationError where it names none."""
    matrix = load_matrix(file)
    if matrix.cache.redis is None and matrix.cache.cdn is None:
        raise ConfigurationError(
            f"{file}: [cache] names neither redis nor cdn: there is no tier that this command can see"
        )
    regions = [
        replace(region, store=None, journal=None, strategy="write-through") for region in matrix.regions.values()
    ]
    with tempfile.TemporaryDirectory(prefix="tiercel-") as folder:
        bare = matrix.overlay(*regions, replace(matrix.cache, state_dir=folder))
        with Cache(bare, connect_timeout_s=CONNECT_TIMEOUT_S) as cache:
            yield cache
