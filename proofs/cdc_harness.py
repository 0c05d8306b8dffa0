"""
What the proofs of automatic invalidation share: a database, a Redis, workers in processes of their own, and a node that
looks at what it and Redis still hold.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.rig import MongoServer, PostgresServer, RedisServer
from tiercel import Cache
from tiercel._process import Process
from tiercel._sync.region import Region
from tiercel.matrix import Matrix
from tiercel.typing import MISS

__all__ = ["LEASE_S", "ROWS", "World", "serving"]

ROWS = 300
TENANT = "acme"
LEASE_S = 1.0
_SETTLED_WITHIN_S = 40.0
_MATRIX = """
[cache]
redis = "{redis}"
state_dir = "{home}/{name}"

[regions.product]
tiers = ["local", "redis"]
ttl = "1h"

[regions.listing]
tiers = ["local", "redis"]
ttl = "1h"

[changes.shop]
url = "{url}"
lease = "{lease_s}s"
bulk_above = 1000

[changes.shop.tables.products]
tenant = "{{tenant}}"
regions = ["product:{{sku}}"]
tags = ["category:{{category}}"]
"""
_TABLE = """
CREATE TABLE products (
    sku text PRIMARY KEY, tenant text NOT NULL, category text, price integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE products REPLICA IDENTITY FULL;
"""


class World:
    """
    One database with its Redis.

    Attributes:
        kind: Of the database.
        url: Its address.
        node: An application node, which never hears what changed except by the tiers.
    """

    def __init__(
        self, kind: Literal["postgres", "mongodb"], url: str, redis: str, home: Path, stack: ExitStack
    ) -> None:
        self.kind = kind
        self.url = url
        self._redis = redis
        self._home = home
        self._marks = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        stack.callback(self.stop_workers)
        self.node = stack.enter_context(Cache(self.matrix("node"), process=Process.shared("node")))

    def matrix(self, name: str) -> Matrix:
        """Return the matrix of a process that keeps its own files under *name*."""
        return Matrix.from_text(self._text(name))

    def _text(self, name: str) -> str:
        return _MATRIX.format(redis=self._redis, home=self._home, name=name, url=self.url, lease_s=LEASE_S)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start ``tiercel worker --cdc`` in a process of its own."""
        name = f"worker{len(self._workers)}"
        file = self._home / f"{name}.toml"
        file.write_text(self._text(name), encoding="utf-8")
        with (self._home / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", "tiercel", "worker", str(file), "--cdc"]
            worker = subprocess.Popen(command, stderr=log, stdout=log)
        self._workers.append(worker)
        return worker

    def end(self, worker: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
        """End *worker* with a signal, frozen or not."""
        worker.send_signal(number)
        worker.send_signal(signal.SIGCONT)
        worker.wait(30)

    def stop_workers(self) -> None:
        """Kill every worker that is left."""
        for worker in self._workers:
            if worker.poll() is None:
                self.end(worker)

    @property
    def products(self) -> Region:
        """The node's region of single products."""
        return self.node.tenant(TENANT).region("product")

    @property
    def listings(self) -> Region:
        """The node's region of lists by category."""
        return self.node.tenant(TENANT).region("listing")

    def is_gone(self, key: str) -> bool:
        """Say whether neither the node's local tier nor Redis has *key*."""
        return self.products.get_local(key) is MISS and self.products.get(key) is MISS

    def hold(self, copies: dict[str, Any]) -> None:
        """Put *copies* into both tiers."""
        self.products.set_many(copies)
        self.products.get_many(list(copies))

    def wait_until_gone(self, key: str) -> float:
        """Wait until no tier here has *key*; return how long that took, seconds."""
        began = time.perf_counter()
        while not self.is_gone(key):
            if time.perf_counter() - began > _SETTLED_WITHIN_S:
                raise TimeoutError(f"{key} did not fall within {_SETTLED_WITHIN_S:g} s:\n{self.logs()}")
            time.sleep(0.0003)
        return time.perf_counter() - began

    def logs(self) -> str:
        """Return the ends of what the workers said."""
        return "\n".join(path.read_text()[-2000:] for path in sorted(self._home.glob("*.log")))

    def wait_until_drained(self, change: Any) -> None:
        """Change the row ``sentinel`` by calling *change* with it, and wait until its copy falls."""
        self.hold({"sentinel": 0})
        self._marks += 1  # a write that changes nothing is none, for MongoDB
        change("sentinel", self._marks)
        self.wait_until_gone("sentinel")


@contextmanager
def serving(kind: Literal["postgres", "mongodb"]) -> Iterator[World]:
    """Start a database of *kind* with its table, a Redis and an application node."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(RedisServer())
        if kind == "postgres":
            import psycopg

            url = stack.enter_context(stack.enter_context(PostgresServer()).database())
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_TABLE.encode())
                connection.execute(
                    "INSERT INTO products SELECT 'p' || n, 'acme', 'c' || n %% 10, 0 FROM generate_series(0, %s) n",
                    (ROWS - 1,),
                )
                connection.execute("INSERT INTO products VALUES ('sentinel', 'acme', NULL, 0)")
        else:
            from pymongo import MongoClient

            url = stack.enter_context(stack.enter_context(MongoServer()).database())
            with MongoClient[dict[str, Any]](url) as client:
                table = client.get_default_database()["products"]
                rows = [{"_id": f"p{n}", "tenant": TENANT, "category": f"c{n % 10}", "price": 0} for n in range(ROWS)]
                table.insert_many([{**row, "sku": row["_id"]} for row in rows])
                table.insert_one({"_id": "sentinel", "sku": "sentinel", "tenant": TENANT, "price": 0})
                table.database.command("collMod", "products", changeStreamPreAndPostImages={"enabled": True})
        yield World(kind, url, redis.url, home, stack)
