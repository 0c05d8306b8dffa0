"""
The clients that the Redis benchmark compares, each behind the same four methods.

Plain clients give bytes. Caches give a decoded document of about the same encoded size, through whatever they check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiocache
import cashews
import redis
import redis.asyncio
from aiocache.serializers import PickleSerializer

import tiercel
from tiercel._async.link import AsyncLink
from tiercel._async.link import open_link as open_async_link
from tiercel._sync.link import Link, open_link

__all__ = ["CACHES", "CLIENTS", "THREADED", "AsyncClient", "Client", "document"]


class AsyncClient(Protocol):
    """What is measured of an asyncio client."""

    async def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        """Connect, and store a value of *size_bytes* under each of *keys*."""

    async def get(self, key: str) -> Any:
        """Return the value of *key*."""

    async def get_many(self, keys: Sequence[str]) -> Any:
        """Return the values of *keys*."""

    async def close(self) -> None:
        """Disconnect."""


class Client(Protocol):
    """What is measured of a blocking client, used by several threads."""

    def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        """Connect, and store a value of *size_bytes* under each of *keys*."""

    def get(self, key: str) -> Any:
        """Return the value of *key*."""

    def close(self) -> None:
        """Disconnect."""


def document(size_bytes: int) -> dict[str, Any]:
    """Return a document whose encoding has about *size_bytes*."""
    return {"id": 42, "name": "x" * 40, "tags": ["a", "b"], "body": "y" * max(1, size_bytes - 80)}


class TiercelLink:
    """The link: bytes over the multiplexed lane."""

    async def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        self._link: AsyncLink = await open_async_link(url)
        await self._link.execute_many([("SET", key, b"x" * size_bytes) for key in keys])

    async def get(self, key: str) -> Any:
        return await self._link.execute(b"GET", key)

    async def get_many(self, keys: Sequence[str]) -> Any:
        return await self._link.execute_many([(b"GET", key) for key in keys])

    async def close(self) -> None:
        await self._link.aclose()


class RedisPy:
    """redis-py's asyncio client with hiredis."""

    async def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        self._redis = redis.asyncio.Redis.from_url(url)
        for key in keys:
            await self._redis.set(key, b"x" * size_bytes)

    async def get(self, key: str) -> Any:
        return await self._redis.get(key)

    async def get_many(self, keys: Sequence[str]) -> Any:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
        return await pipeline.execute()

    async def close(self) -> None:
        await self._redis.aclose()


class TiercelRegion:
    """A region of the cache, with only the Redis tier, so that every read goes there: frame, tags, decoding."""

    async def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        matrix = tiercel.Matrix.of(
            tiercel.CacheOptions(redis=url, namespace="bench"),
            tiercel.RegionOptions(name="doc", tiers=("redis",), ttl_s=3600.0, compress_above_bytes=None, hot_keys=0),
        )
        self._cache = tiercel.AsyncCache(matrix)
        await self._cache.__aenter__()
        self._region = self._cache.tenant("acme").region("doc")
        await self._region.set_many(dict.fromkeys(keys, document(size_bytes)))

    async def get(self, key: str) -> Any:
        return await self._region.get(key)

    async def get_many(self, keys: Sequence[str]) -> Any:
        return await self._region.get_many(keys)

    async def close(self) -> None:
        await self._cache.aclose()


class Cashews:
    """cashews on Redis, with its default serializer."""

    async def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        self._cache = cashews.Cache()
        self._cache.setup(url, client_side=False)
        for key in keys:
            await self._cache.set(key, document(size_bytes), expire=3600)

    async def get(self, key: str) -> Any:
        return await self._cache.get(key)

    async def get_many(self, keys: Sequence[str]) -> Any:
        return await self._cache.get_many(*keys)

    async def close(self) -> None:
        await self._cache.close()


class Aiocache:
    """aiocache on Redis, with its pickle serializer."""

    async def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        port = urlsplit(url).port or 6379
        pickle = PickleSerializer()
        self._cache = aiocache.RedisCache(serializer=pickle, namespace="aio", endpoint="127.0.0.1", port=port)
        for key in keys:
            await self._cache.set(key, document(size_bytes), ttl=3600)

    async def get(self, key: str) -> Any:
        return await self._cache.get(key)

    async def get_many(self, keys: Sequence[str]) -> Any:
        return await self._cache.multi_get(list(keys))

    async def close(self) -> None:
        await self._cache.close()


class TiercelThreads:
    """The blocking link: a stack of connections."""

    def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        self._link: Link = open_link(url)
        self._link.execute_many([("SET", key, b"x" * size_bytes) for key in keys])

    def get(self, key: str) -> Any:
        return self._link.execute(b"GET", key)

    def close(self) -> None:
        self._link.close()


class RedisPyThreads:
    """redis-py's blocking client with hiredis."""

    def open(self, url: str, keys: Sequence[str], size_bytes: int) -> None:
        self._redis = redis.Redis.from_url(url)
        for key in keys:
            self._redis.set(key, b"x" * size_bytes)

    def get(self, key: str) -> Any:
        return self._redis.get(key)

    def close(self) -> None:
        self._redis.close()


CLIENTS: dict[str, type[AsyncClient]] = {"tiercel": TiercelLink, "redis_py": RedisPy}
CACHES: dict[str, type[AsyncClient]] = {"tiercel": TiercelRegion, "cashews": Cashews, "aiocache": Aiocache}
THREADED: dict[str, type[Client]] = {"tiercel": TiercelThreads, "redis_py": RedisPyThreads}
