"""
``tiercel demo``: a multi-tenant storefront under realistic traffic, on embedded servers or on yours, with a report.

It ends by itself after ``--seconds``. Without that it serves traffic for 20 seconds, prints the report and, at a
terminal or with ``--stay``, leaves the dashboard of the running shop up, with the report in it, until it is
interrupted. Exit code 1 where a page failed or a value was wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.demo.catalogue import Shape
from tiercel.demo.servers import Places

__all__ = ["command"]

DEFAULT_S = 20.0
SAMPLES = 300
QUIET_RATE = 20.0
"""Pages a second while the dashboard is up, so that there is something to see."""


@click.command("demo")
@click.option("--seconds", type=click.FloatRange(min=0.5), help="Let visitors in so long, then end.")
@click.option("--rate", type=click.FloatRange(min=1), help="Pages a second; as fast as they are served if not given.")
@click.option("--tenants", default=4, show_default=True, type=click.IntRange(1, 64), help="Shops.")
@click.option("--products", default=6_000, show_default=True, type=click.IntRange(20, 2_000_000), help="Products.")
@click.option("--users", default=3_000, show_default=True, type=click.IntRange(10, 2_000_000), help="Users.")
@click.option("--seed", default=1, show_default=True, help="Where everything random begins.")
@click.option("--trace", type=click.Path(path_type=Path), help="Replay a file of keys: plain, .gz or .zst.")
@click.option("--redis", metavar="URL", help="Redis tier, in place of the embedded Valkey.")
@click.option("--postgres", metavar="URL", help="Sessions and profiles, in place of SQLite.")
@click.option("--mongo", metavar="URL", help="Products, in place of SQLite.")
@click.option("--elasticsearch", metavar="URL", help="Analytics, in place of SQLite.")
@click.option("--cdn", metavar="URL", help="Static files and API responses, in place of a folder.")
@click.option("--state-dir", type=click.Path(path_type=Path, file_okay=False), help="Keep the files here.")
@click.option("--port", default=8080, show_default=True, help="Of the dashboard; the next free one if in use.")
@click.option("--stay", is_flag=True, help="Leave the dashboard up although the output is no terminal.")
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Run the storefront demonstration."""
    is_for_people = options["seconds"] is None and sys.stdout.isatty() and not as_json
    with _state(options["state_dir"]) as state:
        figures = asyncio.run(_run(options, state, as_json=as_json, stays=options["stay"] or is_for_people))
    if figures["consistency"]["wrong"] or figures["failed_pages"]:
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _state(folder: Path | None) -> Iterator[Path]:
    """Give a folder for files: the user's, or one that is removed afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="tiercel-demo-", ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


async def _run(options: dict[str, Any], state: Path, *, as_json: bool, stays: bool) -> dict[str, Any]:
    from tiercel.demo.drive import Drive, opened
    from tiercel.demo.servers import ground
    from tiercel.demo.summary import summarize

    shape = Shape(options["tenants"], options["products"], options["users"], options["seed"])
    places = Places(**{name: options[name] for name in ("redis", "postgres", "mongo", "elasticsearch", "cdn")})
    drive = Drive()
    with ground(places, state) as found:
        async with opened(places, found, shape, state, progress) as storefront:
            await _traffic(storefront, drive, options)
            progress("visitors are gone: draining the journals, comparing the cache with the stores")
            await storefront.cache.drain(20.0)
            report = storefront.cache.report()
            check = {"compared": 0, "wrong": 0} if options["trace"] else await storefront.check(SAMPLES)
            figures = summarize(report, drive, found, check)
            _print(figures, as_json=as_json)
            if stays:
                await _leave_up(storefront, figures, options["port"])
            return figures


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    from tiercel.demo.summary import render

    if as_json:
        print_json(figures)
    else:
        print_table(render(figures))


async def _traffic(storefront: Any, drive: Any, options: dict[str, Any]) -> None:
    """Let visitors in, or replay a trace, and show how it goes; an interrupt ends it with what there is."""
    from tiercel.demo.drive import replay, run
    from tiercel.demo.trace import read_trace

    seconds = options["seconds"] or DEFAULT_S
    if options["trace"]:
        seconds = options["seconds"] or 3600.0
        work = asyncio.create_task(replay(storefront, read_trace(options["trace"]), time.monotonic() + seconds, drive))
    else:
        work = asyncio.create_task(run(storefront, seconds, options["rate"], drive))
    started = time.monotonic()
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=1.0)
            _show(storefront, drive, time.monotonic() - started, seconds)
        await work
    except (KeyboardInterrupt, asyncio.CancelledError):
        work.cancel()
        drive.seconds = time.monotonic() - started
        progress("interrupted: reporting what there is")


def _show(storefront: Any, drive: Any, passed_s: float, seconds: float) -> None:
    report = storefront.cache.report()
    overall = report.overall
    pages = sum(drive.pages.values())
    bar = "#" * int(24 * min(1.0, passed_s / seconds))
    progress(
        f"[{bar:<24}] {passed_s:5.1f} s  {pages:8,} pages  {pages / max(passed_s, 0.001):8,.0f}/s  "
        f"hits {overall.hit_rate * 100:5.1f} %  loads {overall.loads:6,}  journal {overall.journal_pending:5,}  "
        f"invalidations {overall.invalidations:6,}  failed {sum(drive.failed.values())}"
    )


async def _leave_up(storefront: Any, figures: dict[str, Any], port: int) -> None:
    """Serve the dashboard, with the report in it, over a shop with a few visitors, until interrupted."""
    from tiercel.demo.drive import Drive, run
    from tiercel.demo.page import REPORT_PATH, report_pages
    from tiercel.demo.servers import free_port
    from tiercel.service.server import serve_dashboard

    chosen = free_port(port)
    if chosen != port:
        progress(f"port {port} is in use")
    address = f"http://127.0.0.1:{chosen}"
    progress(f"the dashboard is at {address}/ and the report at {address}{REPORT_PATH} until you press Ctrl-C")
    visitors = asyncio.create_task(run(storefront, math.inf, QUIET_RATE, Drive()))
    try:
        await serve_dashboard(storefront.cache, chosen, others=report_pages(figures))
    finally:
        visitors.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await visitors
