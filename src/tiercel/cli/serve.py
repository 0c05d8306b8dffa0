"""
``tiercel serve``: the operations service and its dashboard, on loopback unless somebody can sign in.

It opens the shared tiers of the matrix as one more node and neither its stores nor its journals, so it may run beside
the application; journals and purges are looked at where the application keeps them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tiercel._core.backupscope import Scope
from tiercel._core.durations import parse_duration
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import progress, tell
from tiercel.matrix import Matrix

if TYPE_CHECKING:
    from tiercel._async.backupschedule import AsyncBackupSchedule
    from tiercel.service.settings import ServiceSettings

__all__ = ["command"]


@click.command("serve")
@click.option("--config", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The matrix.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address; another than loopback takes --users.")
@click.option("--port", default=8600, show_default=True, type=click.IntRange(1, 65535))
@click.option("--users", type=click.Path(dir_okay=False, path_type=Path), help="Password file.")
@click.option("--figures", type=click.Path(file_okay=False, path_type=Path), help="Where the application publishes.")
@click.option("--https", "is_https", is_flag=True, help="Browsers come through TLS: cookies are sent only there.")
@click.option("--proxy-user-header", metavar="NAME", help="Header in which a proxy names who it signed in.")
@click.option("--add-user", metavar="NAME", help="Add NAME to --users, or change it, and end.")
@click.option("--role", type=click.Choice(["viewer", "operator", "admin"]), default="viewer", show_default=True)
@click.option("--by-proxy", is_flag=True, help="With --add-user: without a password, the proxy signs in.")
@click.option("--backup-to", type=click.Path(file_okay=False, path_type=Path), help="Also back up into this folder.")
@click.option("--backup-every", default="1d", show_default=True, help="With --backup-to: from one to the next.")
@click.option("--backup-keep", default=7, show_default=True, type=click.IntRange(min=1), help="How many are kept.")
def command(
    file: Path | None,
    host: str,
    port: int,
    users: Path | None,
    figures: Path | None,
    is_https: bool,
    proxy_user_header: str | None,
    add_user: str | None,
    role: str,
    by_proxy: bool,
    backup_to: Path | None,
    backup_every: str,
    backup_keep: int,
) -> None:
    """
    Serve the dashboard, the REST interface, /metrics and health of the cache that the matrix describes.

    A proxy's secret is read from TIERCEL_PROXY_SECRET. The password of --add-user is asked for, or read from standard
    input where that is no terminal.
    """
    if add_user is not None:
        _add(users, add_user, role, by_proxy)
        return
    if file is None:
        raise click.UsageError("--config FILE names the matrix")
    from tiercel.service.settings import ServiceSettings, check_address

    matrix = load_matrix(file)
    settings = ServiceSettings(
        state_dir=Path(matrix.cache.state_dir),
        users=users,
        proxy_user_header=proxy_user_header,
        proxy_secret=ServiceSettings.secret_of(os.environ),
        is_https=is_https,
        figures=figures,
    )
    check_address(host, settings)
    schedule = None if backup_to is None else _schedule(matrix, backup_to, backup_every, backup_keep)
    asyncio.run(_serve(matrix, host, port, settings, schedule))


def _schedule(matrix: Matrix, folder: Path, every: str, keep: int) -> AsyncBackupSchedule:
    """Return the backups to be made meanwhile; raises ConfigurationError where the matrix has no Redis."""
    from tiercel._async.backupschedule import AsyncBackupSchedule
    from tiercel._async.recovery import AsyncRecovery

    every_s = parse_duration(every)
    folder.mkdir(parents=True, exist_ok=True)
    progress(f"a backup every {every} to {folder}, {keep} are kept")
    recovery = AsyncRecovery(matrix)
    return AsyncBackupSchedule(recovery, folder, Scope(), every_s=every_s, keep=keep, tell=tell)


async def _serve(
    matrix: Matrix, host: str, port: int, settings: ServiceSettings, schedule: AsyncBackupSchedule | None
) -> None:
    from tiercel._async.cache import AsyncCache
    from tiercel.service.server import serve_dashboard

    async with AsyncCache(_beside(matrix)) as cache, _making(schedule):
        progress(f"dashboard: http://{host}:{port}/")
        await serve_dashboard(cache, port, host=host, settings=settings, matrix=matrix)


@asynccontextmanager
async def _making(schedule: AsyncBackupSchedule | None) -> AsyncIterator[None]:
    """Make backups while the block runs."""
    if schedule is None:
        yield
        return
    schedule.start()
    try:
        yield
    finally:
        await schedule.aclose()


def _beside(matrix: Matrix) -> Matrix:
    """Return the matrix without stores and journals, and with a state folder of the service's own."""
    regions = [
        replace(region, store=None, journal=None, strategy="write-through") for region in matrix.regions.values()
    ]
    folder = Path(matrix.cache.state_dir) / "service"
    return matrix.overlay(*regions, replace(matrix.cache, state_dir=str(folder)))


def _add(users: Path | None, name: str, role: str, by_proxy: bool) -> None:
    from tiercel.service.users import ROLES, UserFile

    if users is None:
        raise click.UsageError("--add-user takes --users FILE")
    password = None if by_proxy else _password(name)
    UserFile(users).add(name, ROLES[ROLES.index(role)], password)
    progress(f"{users}: {name} is {role}")


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    return password
