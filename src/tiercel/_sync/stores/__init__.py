# Generated from src/tiercel/_async/stores/__init__.py by tools/unasync.py. Do not edit.
"""
Stores: the databases behind the cache, all behind one protocol, opened by URL with `open_store`.

Drivers are imported when a store of their kind is opened, so that the package works without them.
"""

from __future__ import annotations

from tiercel._sync.stores.functions import FunctionStore
from tiercel._sync.stores.memory import MemoryStore
from tiercel._sync.stores.search import SearchStore
from tiercel._core.storeurl import StoreAddress, parse_store_url
from tiercel.errors import ConfigurationError
from tiercel.typing import Store

__all__ = ["FunctionStore", "MemoryStore", "open_store"]


def open_store(url: str, *, timeout_s: float = 5.0, pool_size: int = 8) -> Store:
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
        return _open(address, timeout_s, pool_size)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise ConfigurationError(f'{address.shown} needs a driver: pip install "tiercel[{extra}]"') from error


def _open(address: StoreAddress, timeout_s: float, pool_size: int) -> Store:
    if address.scheme == "sqlite":
        from tiercel._sync.stores.sqlite import SqliteStore

        return SqliteStore.open(address, timeout_s=timeout_s)
    if address.scheme == "postgres":
        from tiercel._sync.stores.postgres import PostgresStore

        return PostgresStore.open(address, timeout_s=timeout_s, pool_size=pool_size)
    if address.scheme == "mongodb":
        from tiercel._sync.stores.mongo import MongoStore

        return MongoStore.open(address, timeout_s=timeout_s, pool_size=pool_size)
    if address.scheme == "elasticsearch":
        from tiercel._sync.stores.elasticsearch import ElasticsearchClient

        elastic = ElasticsearchClient(address, timeout_s=timeout_s, pool_size=pool_size)
        return SearchStore.open(elastic, address)
    if address.scheme == "opensearch":
        from tiercel._sync.stores.opensearch import OpenSearchClient

        client = OpenSearchClient(address, timeout_s=timeout_s, pool_size=pool_size)
        return SearchStore.open(client, address)
    return MemoryStore()


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
