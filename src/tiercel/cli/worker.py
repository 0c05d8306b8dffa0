"""
``tiercel worker``: flushes the journals of a matrix to their stores, beside any number of other workers.

Runs until SIGTERM or SIGINT; then it ends the batches in progress and hands its partitions over. What waits stays in
the journals for the next worker. Meant for journals that several processes share, with ``flush = false`` in the matrix.

With ``--cdc`` it follows the databases of ``[changes.NAME]`` instead, and makes what changed there fall in every tier.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from tiercel._core.clock import SystemClock
from tiercel._sync.changes.watch import Watch
from tiercel._sync.journals.places import JournalPlaces, journal_options
from tiercel._sync.stores import open_store
from tiercel._sync.worker import Post, Worker
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, progress
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.observe.recorder import Recorder
from tiercel.observe.snapshot import Snapshot, take_snapshot
from tiercel.typing import Store

__all__ = ["command"]

_TOLD: Final = frozenset({"flush_failed", "row_parked", "lease_lost", "roll_failed"})


@click.command("worker")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--region", "-r", "regions", multiple=True, help="Only this region; repeat for more.")
@click.option("--cdc", "follows", is_flag=True, help="Follow databases and make what changed there fall.")
@click.option("--source", "-s", "sources", multiple=True, help="With --cdc: only this source; repeat for more.")
@click.option("--seconds", "longest_s", type=float, help="End by itself after this long.")
@click.option("--grace", "grace_s", default=10.0, show_default=True, help="Time for the batches in progress, seconds.")
@click.option("--metrics", "metrics_port", type=int, help="Serve /metrics on this port of the loopback; 0 picks one.")
@json_option
def command(
    file: Path,
    regions: tuple[str, ...],
    follows: bool,
    sources: tuple[str, ...],
    longest_s: float | None,
    grace_s: float,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Flush the journals of the matrix FILE, or follow its databases, until told to stop."""
    if sources and not follows:
        raise click.UsageError("--source is for --cdc")
    if regions and follows:
        raise click.UsageError("--region is for flushing: give --source with --cdc")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    matrix = load_matrix(file)
    if follows:
        _follow(matrix, sources, stop, longest_s, grace_s, metrics_port, as_json)
        return
    with _working(matrix, regions, grace_s) as worker, _serving(_snapshots(worker), metrics_port):
        progress(f"worker {worker.name}: flushing {', '.join(worker.stats())}")
        stop.wait(longest_s)
        stats = worker.stats()
    if as_json:
        print_json({region: msgspec.to_builtins(each) for region, each in stats.items()})
    for region, each in stats.items():
        progress(f"{region}: {each.flushed} rows flushed, {each.depth} left, {each.dead} dead letters")


def _follow(
    matrix: Matrix,
    sources: tuple[str, ...],
    stop: threading.Event,
    longest_s: float | None,
    grace_s: float,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Follow the databases of *matrix* until *stop*."""
    recorder = Recorder()
    watch = Watch(matrix, clock=SystemClock(), events=partial(_tell_change, recorder), sources=sources)
    try:
        watch.start()
        with _serving(lambda: take_snapshot(recorder, time.time(), gauges=watch.gauges()), metrics_port):
            progress(f"worker {watch.name}: following {', '.join(watch.figures())}")
            stop.wait(longest_s)
    finally:
        watch.close(grace_s)
    if as_json:
        print_json({name: msgspec.to_builtins(each) for name, each in watch.figures().items()})
    for name, each in watch.figures().items():
        progress(f"{name}: {each.rows} images of rows seen, everything up to {each.position or 'the start'} has fallen")


def _tell_change(recorder: Recorder, name: str, fields: Mapping[str, Any]) -> None:
    recorder.event(name, tier="store", **fields)
    progress(f"{name}: " + ", ".join(f"{field}={value}" for field, value in fields.items()))


@contextmanager
def _working(matrix: Matrix, regions: tuple[str, ...], grace_s: float) -> Iterator[Worker]:
    places = JournalPlaces(matrix, clock=SystemClock())
    stores: dict[str, Store] = {}
    try:
        names = list(regions) or places.regions()
        if not names:
            raise ConfigurationError("no region of this matrix journals: none writes behind to a store")
        for name in names:
            options = journal_options(matrix, name)
            if options.kind == "memory":
                raise ConfigurationError(f"region {name!r}: a memory journal is seen by its own process alone")
            stores[name] = open_store(matrix.store_url(name) or "")
        journals = {name: places.journal(name) for name in names}
        posts = [
            Post(name, journal_options(matrix, name), journal, places.discreet(journal, stores[name]))
            for name, journal in journals.items()
        ]
        worker = Worker(posts, clock=SystemClock(), events=_tell)
        try:
            worker.start()
            yield worker
        finally:
            worker.close(grace_s)
    finally:
        for store in stores.values():
            store.close()
        places.close()


def _tell(name: str, fields: Mapping[str, Any]) -> None:
    if name in _TOLD:
        progress(f"{name}: " + ", ".join(f"{field}={value}" for field, value in fields.items()))


def _snapshots(worker: Worker) -> Callable[[], Snapshot]:
    recorder = Recorder()
    return lambda: take_snapshot(recorder, time.time(), journals=worker.stats())


@contextmanager
def _serving(snapshot: Callable[[], Snapshot], port: int | None) -> Iterator[None]:
    """Serve the worker's metrics while the block runs."""
    if port is None:
        yield
        return
    handler = _metrics_handler(snapshot)
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="tiercel-metrics", daemon=True)
        thread.start()
        progress(f"metrics: http://127.0.0.1:{server.server_port}/metrics")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _metrics_handler(snapshot: Callable[[], Snapshot]) -> type[BaseHTTPRequestHandler]:
    from tiercel.observe.prometheus import CONTENT_TYPE, exposition

    class Metrics(BaseHTTPRequestHandler):
        """Answers ``/metrics``; anything else is 404."""

        def do_GET(self) -> None:
            body = b""
            if self.path == "/metrics":
                body = exposition(snapshot())
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            """Say nothing: scrapes are no news."""

    return Metrics
