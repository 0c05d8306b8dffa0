# Generated from tests/async_/stores/conftest.py by tools/unasync.py. Do not edit.
"""
Fixtures of the store suite: one store of each kind and layout, empty, with a value that its database refuses.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from tests.rig import ElasticsearchServer, OpenSearchServer, PostgresServer
from tests.rig.fixtures import serving
from tiercel._sync.stores import FunctionStore, MemoryStore, open_store
from tiercel.errors import NotFound
from tiercel.typing import Store, Key

MANAGED = ("memory", "sqlite", "postgres", "mongo", "elasticsearch", "opensearch")
MAPPED = ("functions", "sqlite-mapped", "postgres-mapped", "postgres-flagged", "mongo-mapped", "elasticsearch-mapped")


@dataclass(frozen=True)
class StoreCase:
    """
    A store to test.

    Args:
        kind: The kind and layout.
        store: The open store, without rows.
        poison: A value that is refused, by the database itself where it can refuse a single row.
        has_tenants: Whether rows of two tenants are apart.
        takes_any_key: Whether every str or bytes key is taken.
        adds_key: Name of the field under which the key comes back inside the value.
    """

    kind: str
    store: Store
    poison: Any
    has_tenants: bool = True
    takes_any_key: bool = True
    adds_key: str | None = None

    def seen(self, key: Key, value: Any) -> Any:
        """Return *value* as it is read back."""
        return value | {self.adds_key: key} if self.adds_key else value


def product(number: int) -> dict[str, Any]:
    """Return a value that every layout holds."""
    return {"name": f"name {number}", "price": number}


BAD_PRICE = {"name": "bad", "price": -1}


@pytest.fixture(scope="session")
def store_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The session's PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def schema_url(store_database: str) -> str:
    """Address of an empty schema of the test's own, a hundred times quicker to make than a database."""
    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(store_database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return f"{store_database}?options=-csearch_path%3D{schema}"


@pytest.fixture(scope="session")
def search_emulator() -> Iterator[OpenSearchServer]:
    """The session's OpenSearch emulator: every test has an index of its own."""
    with serving("search_emulator", OpenSearchServer) as server:
        yield server


@pytest.fixture(params=[*MANAGED, *MAPPED])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreCase]:
    """A store of each kind, closed afterwards."""
    opened = OPENERS[request.param](request, tmp_path)
    yield opened
    opened.store.close()


@pytest.fixture(params=MANAGED)
def managed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreCase]:
    """A store of each kind whose table is Tiercel's own, closed afterwards."""
    opened = OPENERS[request.param](request, tmp_path)
    yield opened
    opened.store.close()


def memory_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    return StoreCase("memory", MemoryStore(), object())


def functions_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    rows: dict[tuple[str, Key], Any] = {}

    def load(tenant: str, key: Key) -> Any:
        if (tenant, key) not in rows:
            raise NotFound
        return rows[tenant, key]

    def save_many(tenant: str, values: Mapping[Key, Any]) -> None:
        if any(value == BAD_PRICE for value in values.values()):
            raise ValueError("a price below zero")
        rows.update({(tenant, key): value for key, value in values.items()})

    def delete(tenant: str, key: Key) -> None:
        rows.pop((tenant, key), None)

    return StoreCase("functions", FunctionStore(load=load, save_many=save_many, delete=delete), BAD_PRICE)


def sqlite_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    store = open_store(f"sqlite:///{tmp_path}/rows.db#products")
    # The table is Tiercel's: the rule is put on it afterwards.
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute(
        "CREATE TRIGGER no_bad_price BEFORE INSERT ON products WHEN json_extract(new.value, '$.price') < 0"
        " BEGIN SELECT RAISE(ABORT, 'a price below zero'); END"
    )
    database.close()
    return StoreCase("sqlite", store, BAD_PRICE)


def sqlite_mapped_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute("CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT NOT NULL, price INT CHECK (price >= 0))")
    database.close()
    store = open_store(f"sqlite:///{tmp_path}/rows.db#products?key=sku&columns=name,price")
    return StoreCase("sqlite-mapped", store, BAD_PRICE, has_tenants=False, takes_any_key=False)


def postgres_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    url = request.getfixturevalue("schema_url")
    return StoreCase("postgres", open_store(url + "#products"), {"name": "no \0 in jsonb", "price": 1})


def postgres_mapped_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    """A user's table with nothing but its own columns."""
    url = request.getfixturevalue("schema_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE products (sku text, shop text, name text NOT NULL, price int CHECK (price >= 0),"
            " stock int NOT NULL DEFAULT 0, PRIMARY KEY (shop, sku))"
        )
    store = open_store(url + "#products?key=sku&tenant=shop&columns=name,price")
    return StoreCase("postgres-mapped", store, BAD_PRICE, takes_any_key=False)


def postgres_flagged_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    """A user's table with columns for the version and for a deleted flag."""
    url = request.getfixturevalue("schema_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE products (sku text PRIMARY KEY, name text NOT NULL, price int CHECK (price >= 0),"
            " revision bigint, hidden boolean)"
        )
    store = open_store(url + "#products?key=sku&version=revision&deleted=hidden")
    return StoreCase("postgres-flagged", store, BAD_PRICE, has_tenants=False, takes_any_key=False, adds_key="sku")


def mongo_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    url = request.getfixturevalue("mongo_url")
    refuse_in_mongo(url, "value.price")
    return StoreCase("mongo", open_store(url + "#products"), BAD_PRICE)


def mongo_mapped_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    url = request.getfixturevalue("mongo_url")
    refuse_in_mongo(url, "price")
    store = open_store(url + "#products?key=_id")
    return StoreCase("mongo-mapped", store, BAD_PRICE, has_tenants=False, takes_any_key=False, adds_key="_id")


def refuse_in_mongo(url: str, price_field: str) -> None:
    """Make the collection with a rule against prices below zero."""
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    rule = {"$nor": [{price_field: {"$lt": 0}}]}
    client.get_default_database().create_collection("products", validator=rule)
    client.close()


def elasticsearch_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    server: ElasticsearchServer = request.getfixturevalue("clean_elasticsearch")
    store = open_store(server.url.replace("http", "elasticsearch") + "#products")
    return StoreCase("elasticsearch", store, {"price": float("nan")})


def elasticsearch_mapped_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    server: ElasticsearchServer = request.getfixturevalue("clean_elasticsearch")
    server.request("PUT", "/products", {"mappings": {"properties": {"price": {"type": "integer"}}}})
    store = open_store(server.url.replace("http", "elasticsearch") + "#products?key=_id")
    poison = {"name": "bad", "price": "many"}
    return StoreCase("elasticsearch-mapped", store, poison, has_tenants=False, takes_any_key=False)


def opensearch_case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    server: OpenSearchServer = request.getfixturevalue("search_emulator")
    store = open_store(f"{server.url.replace('http', 'opensearch')}#products-{uuid.uuid4().hex}")
    return StoreCase("opensearch", store, {"price": float("nan")})


OPENERS: dict[str, Callable[[pytest.FixtureRequest, Path], Any]] = {
    "memory": memory_case,
    "functions": functions_case,
    "sqlite": sqlite_case,
    "sqlite-mapped": sqlite_mapped_case,
    "postgres": postgres_case,
    "postgres-mapped": postgres_mapped_case,
    "postgres-flagged": postgres_flagged_case,
    "mongo": mongo_case,
    "mongo-mapped": mongo_mapped_case,
    "elasticsearch": elasticsearch_case,
    "elasticsearch-mapped": elasticsearch_mapped_case,
    "opensearch": opensearch_case,
}
