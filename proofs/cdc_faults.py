"""
No change is missed however a worker ends: killed mid-stream, or frozen past its lease while another takes over.

A round holds a copy of every row, changes each row once while the worker is struck, waits until the stream is drained,
and counts the copies that are still there: each of them is a change that was missed.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from proofs.cdc_harness import LEASE_S, ROWS, World
from tiercel.typing import MISS

__all__ = ["changing", "count_left", "survive_freezes", "survive_kills"]

Change = Callable[[str, int], None]
_FIRST = 1_000_000
"""A price that no row has yet: writing what is there already would be no change."""


@contextmanager
def changing(world: World) -> Iterator[Change]:
    """Give a function that changes one row in a transaction of its own, unannounced."""
    if world.kind == "postgres":
        import psycopg

        with psycopg.connect(world.url, autocommit=True) as connection:
            yield lambda sku, price: _ignored(
                connection.execute("UPDATE products SET price = %s WHERE sku = %s", (price, sku))
            )
        return
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](world.url) as client:
        table = client.get_default_database()["products"]
        yield lambda sku, price: _ignored(table.update_one({"_id": sku}, {"$set": {"price": price}}))


def _ignored(_: object) -> None:
    """The driver's answer: nobody tells anybody what changed."""


def survive_kills(world: World, kills: int) -> dict[str, Any]:
    """Kill the worker in the middle of each round's changes; return how many changes were missed."""
    missed = 0
    worker = world.start_worker()
    with changing(world) as change:
        world.wait_until_drained(change)
        for number in range(_FIRST, _FIRST + kills):
            with round_of(world, change, number, pause_s=0.002):
                time.sleep(random.uniform(0.0, ROWS * 0.003))
                world.end(worker)
                worker = world.start_worker()
            world.wait_until_drained(change)
            missed += count_left(world)
        world.end(worker, signal.SIGTERM)
    return {"kills": kills, "changes": kills * ROWS, "missed": missed}


def survive_freezes(world: World, freezes: int) -> dict[str, Any]:
    """Freeze the worker that leads, beside another, and thaw it after the change of leader; return what was missed."""
    missed = 0
    workers = [world.start_worker()]
    with changing(world) as change:
        world.wait_until_drained(change)
        workers.append(world.start_worker())
        for number in range(freezes):
            frozen = workers[number % 2]  # the first leads, then whoever took over
            with round_of(world, change, -1 - number, pause_s=3 * LEASE_S / ROWS):
                time.sleep(0.2)
                frozen.send_signal(signal.SIGSTOP)
                time.sleep(3 * LEASE_S)
            world.wait_until_drained(change)
            missed += count_left(world)
            frozen.send_signal(signal.SIGCONT)
            time.sleep(LEASE_S)
            missed += missed_after_thaw(world, change)
        for worker in workers:
            world.end(worker, signal.SIGTERM)
    return {"freezes": freezes, "changes": freezes * ROWS, "missed": missed}


@contextmanager
def round_of(world: World, change: Change, number: int, pause_s: float) -> Iterator[None]:
    """Hold every row and change each once, in the background, while the block runs; wait for the last change."""
    world.hold({f"p{each}": number - 1 for each in range(ROWS)})

    def write() -> None:
        for each in range(ROWS):
            change(f"p{each}", number)
            time.sleep(pause_s)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        writer.join()


def count_left(world: World) -> int:
    """Count the copies of changed rows that are still in a tier."""
    keys = [f"p{each}" for each in range(ROWS)]
    return len(
        [key for key in keys if world.products.get_local(key) is not MISS or world.products.get(key) is not MISS]
    )


def missed_after_thaw(world: World, change: Change) -> int:
    """With both workers awake, change every row once more and count what is missed."""
    with round_of(world, change, 0, pause_s=0.0):
        pass
    world.wait_until_drained(change)
    return count_left(world)
