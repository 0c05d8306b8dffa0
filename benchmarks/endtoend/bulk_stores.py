"""
How fast rows reach a store: one statement a row, the driver's own batch, and `write_many` under its version guard.

All three ways write the same new rows under the same guard, in rounds in which they take turns; a ratio is the median
of the rounds' ratios. The driver's batch is ``executemany`` in one transaction for PostgreSQL and SQLite, an unordered
``bulk_write`` of upserts for MongoDB, the ``bulk`` helper with external versions for Elasticsearch; none tells what
became of each row, as `write_many` does. Single rows are a sample. fsync is on.

Run: ``python -m benchmarks.endtoend.bulk_stores [--rows 100000] [--batch 10000] [--rounds 5] [--only STORE] [--json]``
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.rig import ElasticsearchServer, MongoServer, PostgresServer, Unavailable
from tiercel._sync.stores import open_store
from tiercel.typing import Change, Store

SINGLE_ROWS = 400
Way: TypeAlias = Callable[[Sequence[Change]], object]
Figures: TypeAlias = dict[str, Any]
GUARDED_INSERT = (
    "INSERT INTO {table} AS stored (tenant, key, value, version) VALUES ({marks}) ON CONFLICT (tenant, key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version WHERE stored.version < excluded.version"
)


@dataclass(frozen=True)
class Bench:
    """One database: Tiercel's store in it, and the two plain ways through its driver."""

    name: str
    store: Store
    write_one: Way
    write_batch: Way


def profiles(count: int, start: int) -> list[Change]:
    """Return *count* new rows of about 150 bytes of JSON."""
    return [
        Change(
            "acme",
            f"user-{number:09d}",
            {"name": f"User {number}", "email": f"user{number}@example.com", "age": number % 90, "tags": ["a", "b"]},
            1,
        )
        for number in range(start, start + count)
    ]


def row_of(change: Change) -> tuple[str, str, str, int]:
    """Return *change* as the plain ways bind it."""
    return change.tenant, str(change.key), json.dumps(change.value), change.version


@contextmanager
def postgres() -> Iterator[Bench]:
    """PostgreSQL with fsync on."""
    import psycopg

    with PostgresServer() as server, server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        store = open_store(url + "#rows", timeout_s=60.0)
        connection.execute(b"CREATE TABLE plain (LIKE rows INCLUDING ALL)")
        statement = GUARDED_INSERT.format(table="plain", marks="%s, %s, %s, %s").encode()

        def write_one(changes: Sequence[Change]) -> None:
            for change in changes:
                connection.execute(statement, row_of(change))

        def write_batch(changes: Sequence[Change]) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(statement, list(map(row_of, changes)))

        yield Bench("postgres", store, write_one, write_batch)
        store.close()


@contextmanager
def sqlite() -> Iterator[Bench]:
    """SQLite in write-ahead mode, synced at every commit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.db"
        store = open_store(f"sqlite:///{path}#rows")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE plain (tenant, key, value, version, PRIMARY KEY (tenant, key))")
        statement = GUARDED_INSERT.format(table="plain", marks="?, ?, ?, ?")

        def write_one(changes: Sequence[Change]) -> None:
            for change in changes:
                connection.execute(statement, row_of(change))

        def write_batch(changes: Sequence[Change]) -> None:
            connection.execute("BEGIN")
            connection.executemany(statement, list(map(row_of, changes)))
            connection.execute("COMMIT")

        yield Bench("sqlite", store, write_one, write_batch)
        connection.close()
        store.close()


@contextmanager
def mongodb() -> Iterator[Bench]:
    """A replica set of one member, journalled majority writes."""
    from pymongo import MongoClient, UpdateOne

    with MongoServer() as server, server.database() as url, MongoClient[Any](url) as client:
        store = open_store(url + "#rows", timeout_s=60.0)
        plain = client.get_default_database()["plain"]

        def filter_of(change: Change) -> dict[str, Any]:
            return {"_id": {"tenant": change.tenant, "key": change.key}, "version": {"$lt": change.version}}

        def update_of(change: Change) -> dict[str, Any]:
            return {"$set": {"value": change.value, "version": change.version}}

        def write_one(changes: Sequence[Change]) -> None:
            for change in changes:
                plain.update_one(filter_of(change), update_of(change), upsert=True)

        def write_batch(changes: Sequence[Change]) -> None:
            upserts = [UpdateOne(filter_of(change), update_of(change), upsert=True) for change in changes]
            plain.bulk_write(upserts, ordered=False)

        yield Bench("mongodb", store, write_one, write_batch)
        store.close()


@contextmanager
def elasticsearch() -> Iterator[Bench]:
    """A single node, translog synced at every request."""
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import bulk

    with ElasticsearchServer() as server, Elasticsearch(server.url, request_timeout=60) as client:
        store = open_store(server.url.replace("http", "elasticsearch") + "#rows", timeout_s=60.0)
        layout = server.request("GET", "/rows/_mapping")["rows"]["mappings"]
        client.indices.create(index="plain", mappings=layout)

        def document(change: Change) -> dict[str, Any]:
            return {"tenant": change.tenant, "key": change.key, "value": change.value}

        def write_one(changes: Sequence[Change]) -> None:
            for change in changes:
                client.index(
                    index="plain",
                    id=f"{change.tenant}/{change.key!r}",
                    document=document(change),
                    version=change.version,
                    version_type="external",
                )

        def write_batch(changes: Sequence[Change]) -> None:
            actions = (
                {
                    "_id": f"{change.tenant}/{change.key!r}",
                    "version": change.version,
                    "version_type": "external",
                    "_source": document(change),
                }
                for change in changes
            )
            bulk(client, actions, index="plain")

        yield Bench("elasticsearch", store, write_one, write_batch)
        store.close()


BENCHES = {"postgres": postgres, "sqlite": sqlite, "mongodb": mongodb, "elasticsearch": elasticsearch}


def rate(way: Way, changes: Sequence[Change], batch: int) -> float:
    """Return rows a second of *way*, fed *batch* rows at a time."""
    began = time.perf_counter()
    for start in range(0, len(changes), batch):
        way(changes[start : start + batch])
    return len(changes) / (time.perf_counter() - began)


def measure(bench: Bench, rows: int, batch: int, rounds: int) -> Figures:
    """Return the rates and ratios of one database."""

    def write_many(changes: Sequence[Change]) -> None:
        outcomes = bench.store.write_many(changes, guard=True)
        if not all(outcome.applied for outcome in outcomes):
            raise SystemExit(f"{bench.name}: rows were not written")

    rates: dict[str, list[float]] = {"single": [], "batch": [], "ours": []}
    part = rows // rounds
    for number in range(rounds):
        # Rows that are new to every way, so that no way updates what another made it insert.
        changes = profiles(part, number * part)
        rates["single"].append(rate(bench.write_one, profiles(SINGLE_ROWS, 10**8 + number * SINGLE_ROWS), SINGLE_ROWS))
        rates["batch"].append(rate(bench.write_batch, changes, batch))
        rates["ours"].append(rate(write_many, changes, batch))
    return {
        "rows_per_second": round(statistics.median(rates["ours"])),
        "single_row_rows_per_second": round(statistics.median(rates["single"])),
        "executemany_rows_per_second": round(statistics.median(rates["batch"])),
        "vs_single_row": round(ratio(rates["ours"], rates["single"]), 1),
        "vs_executemany": round(ratio(rates["ours"], rates["batch"]), 2),
    }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def run(names: Sequence[str], rows: int, batch: int, rounds: int) -> Figures:
    """Measure the databases called *names*; one that cannot be had is named with the reason."""
    figures: Figures = {"rows": rows, "batch_rows": batch, "stores": {}, "skipped": {}}
    for name in names:
        with ExitStack() as held:
            try:
                bench = held.enter_context(BENCHES[name]())
            except Unavailable as reason:
                figures["skipped"][name] = str(reason)
                continue
            figures["stores"][name] = measure(bench, rows, batch, rounds)
    return figures


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows in all, for each way")
    parser.add_argument("--batch", type=int, default=10_000, help="rows a call")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=BENCHES, help="measure this database alone; repeatable")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = run(arguments.only or list(BENCHES), arguments.rows, arguments.batch, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"{'store':15}{'write_many':>12}{'one by one':>12}{'driver batch':>14}{'vs one':>9}{'vs batch':>10}")
    for name, each in figures["stores"].items():
        print(
            f"{name:15}{each['rows_per_second']:>12,}{each['single_row_rows_per_second']:>12,}"
            f"{each['executemany_rows_per_second']:>14,}{each['vs_single_row']:>8}x{each['vs_executemany']:>9}x"
        )
    for name, reason in figures["skipped"].items():
        print(f"{name}: skipped: {reason}")


if __name__ == "__main__":
    main()
