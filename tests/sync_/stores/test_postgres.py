# Generated from tests/async_/stores/test_postgres.py by tools/unasync.py. Do not edit.
"""
What is PostgreSQL's own: one bulk statement, no regression under an audit trigger, users' tables, discreet errors.
"""

from __future__ import annotations

import datetime as dt
import decimal
import traceback
import uuid
from typing import Any

import psycopg
import pytest

from tests.rig import PostgresServer
from tests.rig.process import free_port
from tiercel._sync.stores import open_store
from tiercel._paired import spawn
from tiercel.errors import ConfigurationError, StoreError
from tiercel.typing import DELETED, Change, Outcome, Record

AUDIT = """
CREATE TABLE audit (old bigint, new bigint);
CREATE FUNCTION note_update() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit VALUES (old.version, new.version); RETURN new; END $$;
CREATE TRIGGER note_update AFTER UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION note_update();
"""
COUNTER = """
CREATE TABLE statements (verb text);
CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO statements VALUES (tg_op); RETURN NULL; END $$;
CREATE TRIGGER note_statement AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION note_statement();
"""


def run(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def changes(count: int, version: int) -> list[Change]:
    return [Change("acme", f"k{number}", {"n": number}, version) for number in range(count)]


@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
def test_ten_thousand_rows_are_one_statement(schema_url: str, guard: bool) -> None:
    store = open_store(schema_url + "#rows")
    run(schema_url, COUNTER.format(table="rows"))
    outcomes = store.write_many(changes(10_000, 5), guard=guard)
    assert outcomes == [Outcome(True, 5)] * 10_000
    assert run(schema_url, "SELECT count(*) FROM statements") == [(1,)]
    assert run(schema_url, "SELECT count(*), min(version), max(version) FROM rows") == [(10_000, 5, 5)]
    store.close()


def test_rows_that_are_all_new_and_rows_that_are_not_end_alike(schema_url: str) -> None:
    """A batch of new rows is copied into the table itself; the first one that is known sends the next ways around."""
    store = open_store(schema_url + "#rows")
    for start in range(4):
        batch = [Change("acme", f"k{number:04d}", {"n": number}, 5 + start) for number in range(300 * start, 900)]
        batch.append(Change("acme", "k0000", {"n": -1}, 4))
        outcomes = store.write_many(batch, guard=True)
        assert [outcome.applied for outcome in outcomes] == [True] * (900 - 300 * start) + [False]
    versions = "SELECT version, count(*) FROM rows GROUP BY 1 ORDER BY 1"
    assert run(schema_url, versions) == [(5, 300), (6, 300), (7, 300)]
    store.close()


def test_copies_of_the_same_new_rows_neither_block_each_other_nor_lose_the_newest(schema_url: str) -> None:
    store = open_store(schema_url + "#rows")
    failures: list[Exception | None] = []

    def write(version: int) -> None:
        outcomes = store.write_many(changes(2_000, version)[:: -1 if version % 2 else 1], guard=True)
        failures.extend(outcome.error for outcome in outcomes if outcome.error)

    jobs = [spawn(f"writer {version}", write, version) for version in range(1, 7)]
    assert all([job.join(60) for job in jobs])
    assert failures == []
    assert run(schema_url, "SELECT version, count(*) FROM rows GROUP BY 1") == [(6, 2_000)]
    store.close()


def test_no_version_ever_goes_back(schema_url: str) -> None:
    """Eight writers send single rows, small and large batches of the same 300 rows with shuffled versions."""
    store = open_store(schema_url + "#rows")
    run(schema_url, AUDIT.format(table="rows"))
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for round_number in range(12):
                version = (round_number * 5 + writer * 7) % 12 * 8 + writer + 1
                batch = changes((1, 50, 300)[(round_number + writer) % 3], version)
                outcomes = store.write_many(batch[:: -1 if writer % 2 else 1], guard=True)
                failures.extend(outcome.error for outcome in outcomes if outcome.error)
        except Exception as error:
            failures.append(error)

    jobs = [spawn(f"writer {writer}", write, writer) for writer in range(8)]
    assert all([job.join(60) for job in jobs])
    assert failures == []
    assert run(schema_url, "SELECT count(*) FROM audit WHERE new <= old") == [(0,)]
    assert run(schema_url, "SELECT count(*) > 100 FROM audit") == [(True,)]
    store.close()


def test_a_users_table_keeps_its_types(schema_url: str) -> None:
    run(
        schema_url,
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric(10,2),"
        " placed timestamptz, due date, paid boolean, lines jsonb, tags text[], token uuid, raw bytea,"
        " doubled numeric GENERATED ALWAYS AS (total * 2) STORED)",
    )
    store = open_store(schema_url + "#orders?key=id")
    placed = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    token = uuid.uuid4()
    order = {
        "total": decimal.Decimal("12.50"),
        "placed": placed,
        "due": dt.date(2026, 2, 1),
        "paid": True,
        "lines": [{"sku": "a", "$x": b"\x01"}],
        "tags": ["a", 'b"c'],
        "token": token,
        "raw": b"\x00\xff",
    }
    assert store.write(Change("acme", "7", order, 1), guard=True) == Outcome(True, 1)
    record = store.read("acme", "7")
    assert record is not None
    assert record.value == order | {
        "id": 7,
        "total": "12.50",
        "due": "2026-02-01",
        "token": str(token),
        "doubled": "25.00",
    }
    # What was read can be written back, without what the server computes.
    again = {name: content for name, content in record.value.items() if name != "doubled"}
    assert store.write(Change("acme", "7", again, 2), guard=True) == Outcome(True, 2)
    assert (store.read_many("acme", ["7", "07", "x", str(2**70)])).keys() == {"7"}
    assert (store.write(Change("acme", "8", {"nope": 1}, 1))).error is not None
    assert (store.write(Change("acme", "8", {"id": 9}, 1))).error is not None
    assert (store.write(Change("acme", "8", [1], 1))).error is not None
    assert (store.write(Change("acme", "8", {"total": {"a": 1}}, 1))).error is not None
    store.close()


@pytest.mark.parametrize(
    ("column", "key", "wrong"),
    [
        ("uuid", "0b1b1f0c-6f5c-4b8e-9a57-6c9f1f3c0001", "0B1B1F0C-6F5C-4B8E-9A57-6C9F1F3C0001"),
        ("bytea", b"\x00\xff", "text"),
        ("varchar(3)", "abc", "abcdef"),
        ("smallint", "-5", "99999999999999999999"),
    ],
)
def test_keys_of_other_types(schema_url: str, column: str, key: Any, wrong: Any) -> None:
    run(schema_url, f"CREATE TABLE things (id {column} PRIMARY KEY, n int)")
    store = open_store(schema_url + "#things?key=id&columns=n")
    refused, kept = store.write_many([Change("t", wrong, {"n": 1}, 1), Change("t", key, {"n": 2}, 1)], guard=True)
    assert refused.error is not None
    assert kept == Outcome(True, 1)
    assert {each: record.value for each, record in (store.read_many("t", [key, wrong])).items()} == {
        key: {"n": 2}
    }
    assert (store.write(Change("t", key, DELETED, 2), guard=True)).applied
    assert run(schema_url, "SELECT count(*) FROM things") == [(0,)]
    store.close()


def test_a_row_of_another_tenant_is_never_touched(schema_url: str) -> None:
    """The key alone is unique there: another tenant's key is a refused row, not a way into its row."""
    run(schema_url, "CREATE TABLE users (id text PRIMARY KEY, tenant text, name text)")
    run(schema_url, "INSERT INTO users VALUES ('1', 'victim', 'Ann')")
    store = open_store(schema_url + "#users?key=id&tenant=tenant&columns=name")
    assert store.read("thief", "1") is None
    assert (store.write(Change("thief", "1", {"name": "Eve"}, 9), guard=True)).error is not None
    assert (store.write(Change("thief", "1", DELETED, 10), guard=True)).error is None
    assert run(schema_url, "SELECT tenant, name FROM users") == [("victim", "Ann")]
    store.close()


def test_versions_of_other_writers_count(schema_url: str) -> None:
    run(schema_url, "CREATE TABLE users (id text PRIMARY KEY, name text, rev bigint)")
    store = open_store(schema_url + "#users?key=id&version=rev&columns=name")
    store.write(Change("t", "1", {"name": "a"}, 5), guard=True)
    run(schema_url, "UPDATE users SET name = 'theirs', rev = 20")
    assert store.write(Change("t", "1", {"name": "b"}, 10), guard=True) == Outcome(False, 20)
    assert store.write(Change("t", "1", {"name": "c"}, 0)) == Outcome(True, 21)
    assert run(schema_url, "SELECT name, rev FROM users") == [("c", 21)]
    store.close()


def test_a_table_is_found_in_its_schema(schema_url: str) -> None:
    schema = schema_url.rpartition("%3D")[2]
    run(schema_url, "CREATE TABLE users (id text PRIMARY KEY, name text)")
    address = schema_url.partition("?")[0]
    for fragment in (f"#{schema}.users?key=id&columns=name", f"#{schema}.managed"):
        store = open_store(address + fragment)
        assert (store.write(Change("t", "1", {"name": "a"}, 1))).applied
        assert (store.read("t", "1")) == Record({"name": "a"}, 1)
        store.close()
    run(address, "DROP TABLE tiercel_versions, tiercel_outbox")


def test_one_column_can_hold_the_whole_value(schema_url: str) -> None:
    run(schema_url, "CREATE TABLE docs (id text PRIMARY KEY, body text, doc jsonb, other int DEFAULT 7)")
    for column in ("body", "doc"):
        store = open_store(f"{schema_url}#docs?key=id&value={column}")
        for value in ({"a": [1, b"x"]}, "text", 5, None):
            assert (store.write(Change("t", column, value, 0))).error is None
            record = store.read("t", column)
            assert record is not None
            assert record.value == value
        store.close()
    assert run(schema_url, "SELECT DISTINCT other FROM docs") == [(7,)]


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        ("#missing?key=id", "there is no table"),
        ("#users?key=nope", "no column 'nope'"),
        ("#users?key=at", "has type timestamp"),
        ("#users", "map it with"),
    ],
)
def test_a_table_that_does_not_fit_is_named(schema_url: str, fragment: str, message: str) -> None:
    run(schema_url, "CREATE TABLE users (id text PRIMARY KEY, at timestamp)")
    with pytest.raises(ConfigurationError, match=message):
        open_store(schema_url + fragment)


def test_an_account_without_the_right_to_create_is_enough_later(schema_url: str) -> None:
    (open_store(schema_url + "#rows")).close()
    run(schema_url, "CREATE ROLE reader LOGIN")
    try:
        schema = schema_url.rpartition("%3D")[2]
        run(schema_url, f"GRANT USAGE ON SCHEMA {schema} TO reader")
        run(schema_url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO reader")
        store = open_store(schema_url.replace("postgres@", "reader@") + "#rows")
        assert (store.write_many(changes(1, 1)))[0].applied
        store.close()
    finally:
        run(schema_url, "DROP OWNED BY reader")
        run(schema_url, "DROP ROLE reader")


def test_an_error_tells_neither_the_password_nor_the_row(schema_url: str) -> None:
    secret_url = schema_url.replace("postgres@", "postgres:hunter2@")
    run(schema_url, "CREATE TABLE users (id text PRIMARY KEY, name text CHECK (length(name) < 5))")
    store = open_store(secret_url + "#users?key=id")
    outcome = store.write(Change("t", "1", {"name": "private words"}, 1))
    assert outcome.error is not None
    assert "private" not in str(outcome.error)
    assert "hunter2" not in str(outcome.error)
    store.close()
    for url in (f"postgres://u:hunter2@127.0.0.1:{free_port()}/x#t", "postgres://u:hunter2@127.0.0.1:bad/x#t"):
        with pytest.raises((StoreError, ConfigurationError)) as caught:
            open_store(url)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_server_that_went_away_costs_one_call_after_it_is_back(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        store = open_store(url + "#rows", timeout_s=5.0)
        store.write_many(changes(3, 1))
        postgres_server.stop()
        try:
            with pytest.raises(StoreError) as caught:
                store.read("acme", "k1")
            assert caught.value.__cause__ is not None
        finally:
            postgres_server.start()
        record = None
        for _ in range(3):
            try:
                record = store.read("acme", "k1")
            except StoreError:
                continue
            break
        assert record is not None
        assert record.version == 1
        store.close()
