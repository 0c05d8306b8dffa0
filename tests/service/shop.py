"""
A small shop with its service: a region whose store refuses negative prices, and one user of each role.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from argon2 import PasswordHasher

from tiercel._async.cache import AsyncCache
from tiercel._process import Process
from tiercel.errors import StoreError
from tiercel.matrix import Matrix
from tiercel.service.app import service_app
from tiercel.service.desk import Desk
from tiercel.service.settings import ServiceSettings
from tiercel.service.users import ROLES, UserFile

MATRIX = """
[cache]
namespace = "service-tests"
state_dir = "{home}/state"

[regions.price]
tiers = ["local", "redis"]
ttl = "1m"
strategy = "write-behind"
store = "sqlite:///{home}/shop.db#prices?key=sku"

[regions.price.journal]
interval = "5ms"
retry = "5ms"
poison_after = 1

[regions.page]
tiers = ["local", "redis"]
ttl = "1m"

[entities.product]
regions = ["page:product:{{id}}"]
tags = ["product:{{id}}"]
"""
PASSWORD = "correct horse battery"
SECRET = "secret-of-the-proxy-in-front"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Shop:
    """A started cache, its service, and who may use it."""

    cache: AsyncCache
    desk: Desk
    transport: httpx.ASGITransport
    home: Path

    def client(self, role: str | None = None) -> httpx.AsyncClient:
        """Return a browser of an address of its own; with a role, one that is signed in and sends its token."""
        client = httpx.AsyncClient(transport=self.transport, base_url="http://127.0.0.1:8600")
        if role is not None and self.desk.users is not None:
            user = self.desk.users.find(role)
            assert user is not None
            cookie = self.desk.sessions.begin(user, time.time())
            session = self.desk.sessions.read(cookie, 0.0)
            assert session is not None
            client.cookies.set("tiercel", cookie)
            client.headers["X-CSRF-Token"] = self.desk.sessions.token(session.id)
        return client


@asynccontextmanager
async def opened_shop(home: Path, *, more: str = "", **settings: object) -> AsyncIterator[Shop]:
    """Open the shop in *home* with *more* in its matrix, and close it."""
    with sqlite3.connect(home / "shop.db") as database:
        database.execute("CREATE TABLE prices (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL CHECK (cents >= 0))")
    database.close()
    matrix = Matrix.from_text(MATRIX.format(home=home) + more, base=Matrix())
    async with AsyncCache(matrix, process=Process()) as cache:
        options = ServiceSettings(state_dir=home / "state", **settings)  # type: ignore[arg-type]
        app = service_app(cache, options)
        yield Shop(cache, app.state.desk, httpx.ASGITransport(app, raise_app_exceptions=True), home)


def add_users(home: Path) -> Path:
    """Write a password file with one user of each role, called like it, and return it."""
    users = UserFile(home / "users", CHEAP)
    for role in ROLES:
        users.add(role, role, PASSWORD)
    return home / "users"


async def park(shop: Shop, sku: str, cents: int = -1) -> None:
    """Write a price that the store refuses, and wait until it is a dead letter."""
    handle = await shop.cache.tenant("acme").region("price").write(sku, {"sku": sku, "cents": cents})
    try:
        await handle.persisted(10.0)
    except StoreError:
        return
    raise AssertionError("the store took it")
