"""
Opening stores: what is missing is named, what is down is a store error with its cause, secrets stay out of it.
"""

from __future__ import annotations

import gc
import sqlite3
import sys
import traceback
from pathlib import Path

import pytest

from tests.rig import MongoServer
from tests.rig.process import free_port
from tiercel._async.stores import AsyncFunctionStore, open_store
from tiercel.errors import ConfigurationError, NotFound, StoreError, StoreTimeout
from tiercel.typing import DELETED, Change, Outcome, Record

PASSWORD = "correct-horse"
SERVERS = ("postgres", "mongodb", "elasticsearch", "opensearch")


# PyMongo leaks the socket of a try to connect that its own close() interrupts: it is to be collected here, not later.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("scheme", SERVERS)
async def test_a_server_that_is_down_is_a_store_error_with_its_cause(scheme: str) -> None:
    with pytest.raises(StoreError) as caught:
        await open_store(f"{scheme}://user:{PASSWORD}@127.0.0.1:{free_port()}/shop#rows", timeout_s=0.5)
    assert caught.value.__cause__ is not None
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    del caught
    gc.collect()


@pytest.mark.parametrize(
    ("scheme", "module", "extra"),
    [
        ("postgres", "psycopg", "postgres"),
        ("mongodb", "pymongo", "mongo"),
        ("elasticsearch", "elasticsearch", "elasticsearch"),
        ("opensearch", "opensearchpy", "opensearch"),
    ],
)
async def test_a_missing_driver_names_its_extra(
    scheme: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"postgres": "postgres", "mongodb": "mongo"}.get(scheme, scheme)
    monkeypatch.delitem(sys.modules, f"tiercel._async.stores.{own}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf'pip install "tiercel\[{extra}\]"'):
        await open_store(f"{scheme}://127.0.0.1:1/shop#rows")


async def test_a_folder_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        await open_store(f"sqlite:///{tmp_path}/missing/rows.db#rows")


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "rows.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="not a database"):
        await open_store(f"sqlite:///{tmp_path}/rows.db#rows")


async def test_another_process_that_keeps_the_write_lock_is_a_timeout(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/rows.db#rows", timeout_s=0.05)
    other = sqlite3.connect(tmp_path / "rows.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreTimeout):
        await store.write(Change("t", "k", 1, 1))
    assert await store.read("t", "k") is None  # a reader never waits for a writer
    other.close()
    assert (await store.write(Change("t", "k", 1, 1))).applied
    await store.aclose()


async def test_what_a_sqlite_store_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rows.db#rows"
    first = await open_store(url)
    await first.write(Change("t", "k", {"n": 1}, 5), guard=True)
    second = await open_store(url)
    assert await second.read("t", "k") == Record({"n": 1}, 5)
    await first.aclose()
    await second.aclose()


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        ("#missing?key=id", "there is no table"),
        ("#users?key=nope", "no column 'nope'"),
        ("#users", "map it with"),
    ],
)
async def test_a_sqlite_table_that_does_not_fit_is_named(tmp_path: Path, fragment: str, message: str) -> None:
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    database.close()
    with pytest.raises(ConfigurationError, match=message):
        await open_store(f"sqlite:///{tmp_path}/rows.db{fragment}")


async def test_a_users_sqlite_table_keeps_its_types(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "rows.db")
    database.execute(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, seen TIMESTAMP, ok BOOLEAN, doc JSON, raw BLOB, gone INT)"
    )
    database.execute("""INSERT INTO users VALUES (7, '2026-01-02 03:04:05', 1, '{"a": 1}', x'00ff', NULL)""")
    database.commit()
    database.close()
    store = await open_store(f"sqlite:///{tmp_path}/rows.db#users?key=id&deleted=gone")
    record = await store.read("t", "7")
    assert record is not None
    assert record.value["doc"] == {"a": 1}
    assert record.value["ok"] is True
    assert record.value["raw"] == b"\x00\xff"
    assert record.value["seen"].isoformat() == "2026-01-02T03:04:05"
    assert await store.write(Change("t", "7", record.value, 0)) == Outcome(True, 1)
    assert await store.read("t", "7") == Record(record.value, 1)
    assert (await store.write(Change("t", "7", DELETED, 5), guard=True)).applied
    assert await store.read("t", "7") is None
    assert (await store.write(Change("t", "seven", {}, 1))).error is not None
    await store.aclose()
    database = sqlite3.connect(tmp_path / "rows.db")
    assert database.execute("SELECT id, gone FROM users").fetchall() == [(7, 1)]
    database.close()


async def test_mongo_keys_of_its_own_type_and_unique_fields(mongo_server: MongoServer, mongo_url: str) -> None:
    from bson.objectid import ObjectId
    from pymongo import MongoClient

    native = ObjectId()
    with MongoClient[dict[str, object]](mongo_url) as client:
        things = client.get_default_database()["things"]
        things.insert_one({"_id": native, "name": "theirs"})
        with pytest.raises(ConfigurationError, match="unique index"):
            await open_store(mongo_url + "#things?key=sku")
        client.get_default_database()["goods"].create_index("sku", unique=True)
    by_id = await open_store(mongo_url + "#things?key=_id&key_type=objectid")
    assert await by_id.read("t", str(native)) == Record({"_id": str(native), "name": "theirs"}, 0)
    assert (await by_id.write(Change("t", str(native), {"name": "ours"}, 5), guard=True)).applied
    assert await by_id.write(Change("t", str(native), {"name": "late"}, 4), guard=True) == Outcome(False, 5)
    assert await by_id.read("t", str(native)) == Record({"_id": str(native), "name": "ours"}, 5)
    await by_id.aclose()
    by_field = await open_store(mongo_url + "#goods?key=sku&tenant=shop")
    assert (await by_field.write(Change("t", "s1", {"name": "a"}, 5), guard=True)).applied
    assert (await by_field.write(Change("t", "s1", {"name": "b"}, 4), guard=True)) == Outcome(False, 5)
    assert await by_field.read("t", "s1") == Record({"sku": "s1", "name": "a"}, 5)
    assert await by_field.read("other", "s1") is None
    # The key alone is unique there: another tenant's row is refused, never taken over.
    assert (await by_field.write(Change("other", "s1", {"name": "c"}, 9), guard=True)).error is not None
    assert await by_field.read("t", "s1") == Record({"sku": "s1", "name": "a"}, 5)
    await by_field.aclose()


class Shelf:
    """A user's object with some of the methods."""

    def __init__(self) -> None:
        self.rows: dict[str, object] = {}

    def load(self, tenant: str, key: str) -> object:
        if key not in self.rows:
            raise NotFound
        return self.rows[key]

    def save(self, tenant: str, key: str, value: object) -> None:
        self.rows[key] = value


async def test_a_users_object_is_a_store() -> None:
    shelf = Shelf()
    store = AsyncFunctionStore.of(shelf)
    assert await store.write(Change("t", "k", None, 3), guard=True) == Outcome(True, 3)
    assert await store.read("t", "k") == Record(None, 3)
    assert await store.read_many("t", ["k", "missing"]) == {"k": Record(None, 3)}
    with pytest.raises(ConfigurationError, match="no delete"):
        await store.write(Change("t", "k", DELETED, 4))
    with pytest.raises(ConfigurationError, match="at least one"):
        AsyncFunctionStore.of(object())
    with pytest.raises(ConfigurationError, match="no load"):
        await AsyncFunctionStore(save=shelf.save).read("t", "k")


async def test_a_loaders_own_exception_passes_through() -> None:
    def load(tenant: str, key: str) -> object:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await AsyncFunctionStore(load=load).read("t", "k")
