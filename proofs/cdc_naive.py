"""
The naive ways beside ours: a poll for rows whose time is newer than the last one seen, and trust in the application.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

from proofs.cdc_faults import count_left
from proofs.cdc_harness import ROWS, World

__all__ = ["poll_by_time", "trust_the_application"]

_NEWER = "SELECT sku, updated_at FROM products WHERE updated_at > %s ORDER BY updated_at"
_UPDATE = "UPDATE products SET price = price + 1, updated_at = now() WHERE sku = %s"


class Poller(threading.Thread):
    """Invalidates what is newer than the newest row that it saw, every few milliseconds."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.stopping = threading.Event()

    def run(self) -> None:
        """Poll until told to stop, and once more."""
        last = datetime.now(UTC)
        with psycopg.connect(self._world.url, autocommit=True) as connection:
            is_last = False
            while not is_last:
                is_last = self.stopping.wait(0.005)
                for sku, updated_at in connection.execute(_NEWER, (last,)).fetchall():
                    self._world.products.remove(sku)
                    last = max(last, updated_at)


def poll_by_time(world: World, changes: int) -> dict[str, Any]:
    """
    Change rows in transactions that overlap, as any application's do, and count what the poller never saw.

    ``now()`` is when a transaction began: one that began earlier and commits later is older than what was seen already.
    """
    world.hold({f"p{each}": 0 for each in range(ROWS)})
    poller = Poller(world)
    poller.start()
    try:
        with psycopg.connect(world.url) as slow, psycopg.connect(world.url) as quick:
            for number in range(0, changes, 2):
                slow.execute(_UPDATE, (f"p{number}",))
                quick.execute(_UPDATE, (f"p{number + 1}",))
                quick.commit()
                time.sleep(0.01)
                slow.commit()
        time.sleep(0.2)
    finally:
        poller.stopping.set()
        poller.join()
    return {"changes": changes, "missed": count_left(world) - (ROWS - changes)}


def trust_the_application(world: World, changes: int) -> dict[str, Any]:
    """Change rows by raw SQL, of which nobody tells the cache, and count what it still holds."""
    world.hold({f"p{each}": 0 for each in range(ROWS)})
    with psycopg.connect(world.url, autocommit=True) as connection:
        for number in range(changes):
            connection.execute(_UPDATE, (f"p{number}",))
    time.sleep(0.2)
    return {"changes": changes, "missed": count_left(world) - (ROWS - changes)}
