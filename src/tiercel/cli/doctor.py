"""
``tiercel doctor``: probes this installation and the servers of a matrix, and says what to do about each finding.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from tiercel._core.changeoptions import kind_of, slot_name
from tiercel._core.sealing import KEY_BYTES
from tiercel._core.storeurl import redact_url
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_finding, print_json, progress
from tiercel.codecs import ValueCodec
from tiercel.codecs.aead import Aead
from tiercel.codecs.keychain import Keychain
from tiercel.errors import CacheError, ConfigurationError, TierError
from tiercel.local import LocalTier
from tiercel.matrix import Matrix
from tiercel.observe.findings import (
    Finding,
    judge_backplane,
    judge_changes,
    judge_codec,
    judge_connections,
    judge_local_tier,
    judge_server,
    judge_slots,
)
from tiercel.options import RegionOptions

__all__ = ["command"]

_SAMPLE = {"id": "sku-42", "price": 990, "tags": ["a", "b"], "nested": {"text": "ä" * 40, "none": None}}


@click.command("doctor")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--redis", help="URL of the shared tier, instead of the matrix's.")
@click.option(
    "--stores", is_flag=True, help="Open and ping every store too; missing tables are made, as the cache would."
)
@json_option
def command(file: Path | None, redis: str | None, stores: bool, as_json: bool) -> int:
    """
    Probe this installation and the servers that the matrix FILE names.

    Exit code 0: nothing worse than a warning; 1: an error was found.
    """
    matrix = load_matrix(file)
    if redis is not None:
        matrix = matrix.overlay(dataclasses.replace(matrix.cache, redis=redis))
    findings = [*_installation(matrix), *_servers(matrix), *_changes(matrix), *_edge(matrix)]
    if stores:
        findings += _stores(matrix)
    if as_json:
        is_sound = not any(finding.level == "error" for finding in findings)
        print_json({"ok": is_sound, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print_finding(finding.level, finding.subject, finding.message, finding.action)
    return NO if any(finding.level == "error" for finding in findings) else DONE


def _installation(matrix: Matrix) -> Iterator[Finding]:
    implementation = LocalTier().implementation
    yield judge_local_tier(implementation, "" if implementation == "native" else "the accelerator was not built")
    for name in sorted({region.codec for region in matrix.regions.values()} - {"raw"}):
        region = next(region for region in matrix.regions.values() if region.codec == name)
        yield _codec(dataclasses.replace(region, value_type=None))
    yield _state_folder(Path(matrix.cache.state_dir))
    yield from _keys(matrix)
    cautions = matrix.warnings()
    if cautions:
        subjects = ", ".join(dict.fromkeys(caution.subject for caution in cautions))
        yield Finding("matrix", "note", f"{len(cautions)} cautions about {subjects}", "see tiercel check FILE")


def _keys(matrix: Matrix) -> Iterator[Finding]:
    """Judge every key that a region is encrypted with; ids are shown, keys never are."""
    for name in sorted({region.encrypt for region in matrix.regions.values() if region.encrypt is not None}):
        try:
            keychain = Keychain(matrix.key(name))
            if not keychain.is_shared:
                yield Finding(f"key {name}", "note", "each tenant has a ring of its own", "")
                continue
            ids = keychain.ring().ids
            Aead(bytes(KEY_BYTES))
        except CacheError as error:
            yield Finding(f"key {name}", "error", str(error), "values cannot be sealed or opened until it is there")
        else:
            yield Finding(f"key {name}", "ok", f"{len(ids)} keys, {ids[0]} seals", "")


def _codec(region: RegionOptions) -> Finding:
    codec = ValueCodec(region)
    started_s = time.perf_counter()
    is_equal = codec.decode(*codec.encode(_SAMPLE)) == _SAMPLE
    return judge_codec(region.codec, is_equal, time.perf_counter() - started_s)


def _state_folder(folder: Path) -> Finding:
    """Judge the folder of the journals, or the one it would be made in."""
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        message = f"{existing} cannot be written: {error.strerror}"
        return Finding("state_dir", "error", message, "give the process the right, or set state_dir")
    free = os.statvfs(existing)
    free_bytes = free.f_bavail * free.f_frsize
    if free_bytes < 1 << 30:
        message = f"{free_bytes >> 20} MiB are free below {existing}"
        return Finding("state_dir", "warning", message, "free some: a full disk stops write-behind")
    return Finding("state_dir", "ok", f"{folder}: {free_bytes >> 30} GiB free")


def _servers(matrix: Matrix) -> Iterator[Finding]:
    url = matrix.cache.redis
    if url is None:
        yield Finding("redis", "note", "no redis url", "give --redis URL, or redis under [cache], to have it probed")
        return
    from tiercel._sync.link import open_link
    from tiercel._sync.redis_facts import backplane_round_trip_s, server_facts

    progress(f"probing {redact_url(url)}")
    try:
        link = open_link(url)
    except TierError as error:
        yield Finding("redis", "error", str(error), "start the server, or correct the URL")
        return
    try:
        for name, facts in server_facts(link).items():
            yield from judge_server(name, facts, matrix.regions.values())
        yield judge_slots("redis", link.health())
        yield from judge_connections("redis", link.health())
        yield judge_backplane(backplane_round_trip_s(link, matrix.cache.namespace), matrix.regions)
    except TierError as error:
        yield Finding("redis", "error", str(error), "check the server and the ACL of this user")
    finally:
        link.close()


def _changes(matrix: Matrix) -> Iterator[Finding]:
    """Judge the replication slots of the databases that are watched; the other kinds keep no log for us."""
    for source in matrix.changes.values():
        url = matrix.change_url(source.name)
        if kind_of(url) != "postgres":
            continue
        from tiercel._sync.changes.slot import slot_facts

        progress(f"probing {redact_url(url)}")
        try:
            yield from judge_changes(source, slot_facts(url, slot_name(source, matrix.cache.namespace)))
        except CacheError as error:
            yield Finding(f"changes {source.name}", "error", str(error), "start the database, or correct the URL")


def _edge(matrix: Matrix) -> Iterator[Finding]:
    """Judge the CDN that the matrix names; the purge log is looked at where there is one already."""
    url, home = matrix.cache.cdn, Path(matrix.cache.state_dir)
    if url is None:
        return
    from tiercel._sync.edge import open_edge
    from tiercel.cli._edge import diagnose

    progress(f"probing {redact_url(url)}")
    try:
        edge = open_edge(url, state_dir=home if home.is_dir() else None, start=False)
    except (ConfigurationError, TierError) as error:
        yield Finding("cdn", "error", str(error), "correct the URL, or install the extra that it names")
        return
    try:
        for found in diagnose(edge):
            yield Finding(f"cdn {found.subject}", found.level, found.message, found.action)
    finally:
        edge.close()


def _stores(matrix: Matrix) -> Iterator[Finding]:
    from tiercel._sync.stores import open_store

    urls = {name: matrix.store_url(name) for name in matrix.regions}
    for region, url in urls.items():
        if url is None:
            continue
        shown = f"store of {region}"
        progress(f"probing {redact_url(url)}")
        try:
            store = open_store(url)
        except ConfigurationError as error:
            yield Finding(shown, "error", str(error), "correct the URL, or install the driver")
            continue
        except CacheError as error:
            yield Finding(shown, "error", str(error), "start the database, or correct the URL")
            continue
        started_s = time.perf_counter()
        try:
            store.ping()
            yield Finding(shown, "ok", f"answered in {(time.perf_counter() - started_s) * 1e3:.1f} ms")
        except CacheError as error:
            yield Finding(shown, "error", str(error), "look at the database's log")
        finally:
            store.close()
