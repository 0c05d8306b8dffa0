"""
Exactly what should falls, and soon: single changes, transactions, moves between categories, an update of many rows.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from proofs.cdc_harness import ROWS, World
from tests.rig.postgres import postgres_folder
from tiercel.typing import MISS

__all__ = ["documents_fall", "moved", "psql_move", "rows_fall"]

CATEGORIES = 10
Change = Callable[[str, int], None]


def rows_fall(world: World, samples: int, bulk_rows: int) -> dict[str, Any]:
    """Change rows of PostgreSQL in every way and return what was missed, what fell wrongly, and how long it took."""
    worker = world.start_worker()
    try:
        with psycopg.connect(world.url, autocommit=True) as connection:

            def change(sku: str, price: int) -> None:
                connection.execute("UPDATE products SET price = %s WHERE sku = %s", (price, sku))

            world.wait_until_drained(change)
            figures = latency(world, change, samples)
            moves = [
                moved(world, lambda sku, to: psql_move(world, sku, to, commits=True), change, commits=True),
                moved(world, lambda sku, to: psql_move(world, sku, to, commits=False), change, commits=False),
            ]
            figures["missed"] = sum(missed for missed, _ in moves)
            figures["wrong"] = sum(wrong for _, wrong in moves)
            bulk = bulk_update(world, connection, bulk_rows)
            return {**figures, **bulk, "missed": figures["missed"] + bulk["missed"]}
    finally:
        world.end(worker)


def documents_fall(world: World, samples: int, moves: int = CATEGORIES) -> dict[str, Any]:
    """Change documents of MongoDB with its plain client; return what `rows_fall` returns, without the bulk."""
    from pymongo import MongoClient

    worker = world.start_worker()
    try:
        with MongoClient[dict[str, Any]](world.url) as client:
            table = client.get_default_database()["products"]

            def change(sku: str, price: int) -> None:
                table.update_one({"_id": sku}, {"$set": {"price": price}})

            def move(sku: str, to: str) -> None:
                table.update_one({"_id": sku}, {"$set": {"category": to}})

            world.wait_until_drained(change)
            figures = latency(world, change, samples)
            figures["missed"], figures["wrong"] = moved(world, move, change, commits=True, moves=moves)
            return figures
    finally:
        world.end(worker)


def latency(world: World, change: Change, samples: int) -> dict[str, Any]:
    """Return the percentiles, milliseconds, from the return of a commit to no copy in Redis and the local tier."""
    took_s: list[float] = []
    for number in range(samples):
        sku = f"p{number % ROWS}"
        world.hold({sku: number})
        time.sleep(random.uniform(0.0, 0.01))
        change(sku, number + 1)
        took_s.append(world.wait_until_gone(sku))
    took_s.sort()
    at = {share: round(took_s[int(len(took_s) * share)] * 1000, 2) for share in (0.5, 0.99)}
    return {"changes": samples, "p50_ms": at[0.5], "p99_ms": at[0.99], "worst_ms": round(took_s[-1] * 1000, 2)}


def moved(
    world: World, move: Callable[[str, str], None], change: Change, *, commits: bool, moves: int = CATEGORIES
) -> tuple[int, int]:
    """Move products between categories; return how many copies were missed, and how many fell that should not."""
    missed = wrong = 0
    for number in range(moves):
        sku, old, new = f"p{number}", number, (number + 3) % CATEGORIES
        move(sku, f"c{old}")  # where it already is, unless an earlier run moved it
        world.wait_until_drained(change)
        for category in range(CATEGORIES):
            world.listings.set(f"c{category}", category, tags=[f"category:c{category}"])
        world.hold({f"p{each}": each for each in range(CATEGORIES)})
        move(sku, f"c{new}")
        world.wait_until_drained(change)
        fallen = {("listing", n) for n in range(CATEGORIES) if world.listings.get(f"c{n}") is MISS}
        fallen |= {("product", n) for n in range(CATEGORIES) if world.products.get(f"p{n}") is MISS}
        expected = {("listing", old), ("listing", new), ("product", number)} if commits else set()
        missed += len(expected - fallen)
        wrong += len(fallen - expected)
        move(sku, f"c{old}")
    world.wait_until_drained(change)
    return missed, wrong


def bulk_update(world: World, connection: psycopg.Connection[Any], rows: int) -> dict[str, Any]:
    """Change many rows in one statement: the region must fall in their tenant, and nothing in another."""
    connection.execute(
        "INSERT INTO products SELECT 'bulk' || n, 'acme', 'bulk', 0 FROM generate_series(1, %s) n", (rows,)
    )
    world.wait_until_drained(
        lambda sku, price: connection.execute("UPDATE products SET price = %s WHERE sku = %s", (price, sku))
    )
    others = world.node.tenant("other").region("product")
    others.set("bulk1", 0)
    keys = [f"bulk{number}" for number in range(1, rows + 1, max(1, rows // 200))]
    world.hold(dict.fromkeys(keys, 0))
    connection.execute("UPDATE products SET price = price + 1 WHERE sku LIKE 'bulk%'")
    began = time.perf_counter()
    world.wait_until_gone(keys[-1])
    took_s = time.perf_counter() - began
    missed = sum(not world.is_gone(key) for key in keys)
    return {
        "bulk_rows": rows,
        "bulk_clean_s": round(took_s, 3),
        "missed": missed,
        "bulk_wrong": int(others.get("bulk1") is MISS),
    }


def psql_move(world: World, sku: str, to: str, *, commits: bool) -> None:
    """Move a product in a transaction of ``psql``."""
    found = shutil.which("psql")
    program = Path(found) if found else postgres_folder() / "psql"
    statement = f"UPDATE products SET category = '{to}' WHERE sku = '{sku}'"
    script = f"BEGIN; {statement}; {'COMMIT' if commits else 'ROLLBACK'};"
    subprocess.run([program, world.url, "-q", "-v", "ON_ERROR_STOP=1", "-c", script], check=True, timeout=30)
