"""
The peers' caches with a time to live, as their users write them: decorated functions.

A package that is not installed is left out and named. Async peers are awaited by a loop that never suspends, which is
cheaper than an event loop and the same for all.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

__all__ = ["async_peers", "await_all", "call_all", "sync_peers"]

TTL_S = 600
SIZE = 10_000

Decorated = Callable[[str], Any]


def body(key: str) -> str:
    return key


async def async_body(key: str) -> str:
    return key


def cachetools() -> Decorated:
    import cachetools as peer

    return peer.cached(peer.TTLCache(SIZE, TTL_S))(body)


def cachebox() -> Decorated:
    import cachebox as peer

    return peer.cached(peer.TTLCache(SIZE, TTL_S))(body)


def theine() -> Decorated:
    from datetime import timedelta

    from theine import Memoize

    return Memoize(SIZE, timedelta(seconds=TTL_S))(body)


def moka_py() -> Decorated:
    import moka_py as peer

    return peer.cached(maxsize=SIZE, ttl=TTL_S)(body)


def dogpile() -> Decorated:
    from dogpile.cache import make_region

    return make_region().configure("dogpile.cache.memory", expiration_time=TTL_S).cache_on_arguments()(body)


def cachebox_async() -> Decorated:
    import cachebox as peer

    return peer.cached(peer.TTLCache(SIZE, TTL_S))(async_body)


def async_lru() -> Decorated:
    from async_lru import alru_cache

    return alru_cache(maxsize=SIZE, ttl=TTL_S)(async_body)


def aiocache() -> Decorated:
    from aiocache import cached

    decorated: Decorated = cached(ttl=TTL_S)(async_body)
    return decorated


def cashews() -> Decorated:
    from cashews import Cache

    peer = Cache()
    peer.setup("mem://", size=SIZE)
    return peer(ttl=TTL_S, key="{key}")(async_body)


SYNC = {"cachetools": cachetools, "cachebox": cachebox, "theine": theine, "moka-py": moka_py, "dogpile.cache": dogpile}
ASYNC = {"cachebox": cachebox_async, "async-lru": async_lru, "aiocache": aiocache, "cashews": cashews}


def _installed(makers: dict[str, Callable[[], Decorated]]) -> tuple[dict[str, Decorated], list[str]]:
    made, missing = {}, []
    for name, make in makers.items():
        try:
            made[name] = make()
        except ImportError:
            missing.append(name)
    return made, missing


def sync_peers() -> tuple[dict[str, Decorated], list[str]]:
    """Return the decorated function of each peer, and the names of those that are not installed."""
    return _installed(SYNC)


def async_peers() -> tuple[dict[str, Decorated], list[str]]:
    """Return the decorated coroutine function of each peer, and the names of those that are not installed."""
    return _installed(ASYNC)


def call_all(function: Decorated, keys: Iterable[str]) -> None:
    """Call *function* once for each key."""
    for key in keys:
        function(key)


async def _await_each(function: Callable[[str], Awaitable[Any]], keys: Iterable[str]) -> None:
    for key in keys:
        await function(key)


def await_all(function: Decorated, keys: Iterable[str], loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Await *function* once for each key; in *loop* for peers that need one."""
    work: Coroutine[Any, Any, None] = _await_each(function, keys)
    if loop is not None:
        loop.run_until_complete(work)
        return
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("a hit suspended: this peer needs an event loop")


def version_of(package: str) -> str:
    """Return the installed version of *package*, or 'absent'."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
