"""
Stores: the databases behind the cache, all behind one protocol, opened by URL with `open_store`.

Drivers are imported when a store of their kind is opened, so that the package works without them.
"""

from __future__ import annotations

from tiercel._async.stores.functions import AsyncFunctionStore
from tiercel._async.stores.memory import AsyncMemoryStore
from tiercel._async.stores.search import AsyncSearchStore
from tiercel._core.storeurl import StoreAddress, parse_store_url
from tiercel.errors import ConfigurationError
from tiercel.typing import AsyncStore

__all__ = ["AsyncFunctionStore", "AsyncMemoryStore", "open_store"]


async def open_store(url: str, *, timeout_s: float = 5.0, pool_size: int = 8) -> AsyncStore:
    """
    Connect to the store at *url* and make what tables it needs; see `tiercel._core.storeurl` for the spelling.

    Args:
        url: For example ``postgres://user@host/shop#users?key=id``.
        timeout_s: Longest wait for a connection, and for one call.
        pool_size: Most connections at a time.

    Raises:
        ConfigurationError: The URL is wrong, the table does not fit it, or the driver is not installed.
        StoreError: The database cannot be reached; trying again later may help.
    """
    address = parse_store_url(url)
    try:
        return await _open(address, timeout_s, pool_size)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise ConfigurationError(f'{address.shown} needs a driver: pip install "tiercel[{extra}]"') from error


async def _open(address: StoreAddress, timeout_s: float, pool_size: int) -> AsyncStore:
    if address.scheme == "sqlite":
        from tiercel._async.stores.sqlite import AsyncSqliteStore

        return await AsyncSqliteStore.open(address, timeout_s=timeout_s)
    if address.scheme == "postgres":
        from tiercel._async.stores.postgres import AsyncPostgresStore

        return await AsyncPostgresStore.open(address, timeout_s=timeout_s, pool_size=pool_size)
    if address.scheme == "mongodb":
        from tiercel._async.stores.mongo import AsyncMongoStore

        return await AsyncMongoStore.open(address, timeout_s=timeout_s, pool_size=pool_size)
    if address.scheme == "elasticsearch":
        from tiercel._async.stores.elasticsearch import AsyncElasticsearchClient

        elastic = AsyncElasticsearchClient(address, timeout_s=timeout_s, pool_size=pool_size)
        return await AsyncSearchStore.open(elastic, address)
    if address.scheme == "opensearch":
        from tiercel._async.stores.opensearch import AsyncOpenSearchClient

        client = AsyncOpenSearchClient(address, timeout_s=timeout_s, pool_size=pool_size)
        return await AsyncSearchStore.open(client, address)
    return AsyncMemoryStore()


_EXTRAS = {
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "pymongo": "mongo",
    "bson": "mongo",
    "aiohttp": "elasticsearch",
    "elastic_transport": "elasticsearch",
    "elasticsearch": "elasticsearch",
    "opensearchpy": "opensearch",
}
