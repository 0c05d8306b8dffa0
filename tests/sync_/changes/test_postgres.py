# Generated from tests/async_/changes/test_postgres.py by tools/unasync.py. Do not edit.
"""PostgreSQL: rows that anybody changes fall, exactly; a lost slot and a hidden old row never go unnoticed."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.sync_.changes.conftest import shopping
from tests.rig import PostgresServer
from tiercel._sync.changes.postgres import PostgresChanges
from tiercel._core.changeoptions import ChangeRule, ChangeSource
from tiercel._core.fallout import Fallout
from tiercel._core.rowfall import RowRule
from tiercel.matrix import Matrix
from tiercel.typing import MISS

TEXT = """
[changes.shop]
url = "{url}"
bulk_above = 50
[changes.shop.tables.products]
tenant = "{{tenant}}"
entity = "product"
id = "{{sku}}"
tags = ["category:{{category}}"]
version = "revision"
[entities.product]
regions = ["product:{{id}}"]
"""
TABLE = """
CREATE TABLE products (sku text PRIMARY KEY, tenant text, category text, revision integer, picture text);
ALTER TABLE products ALTER picture SET STORAGE EXTERNAL;
ALTER TABLE products REPLICA IDENTITY FULL;
INSERT INTO products SELECT 'p' || n, 'acme', 'a', 1, repeat('x', 5000) FROM generate_series(0, 9) n;
CREATE TABLE others (id integer PRIMARY KEY);
"""


@pytest.fixture
def database(postgres_url: str) -> str:
    """Address of a database with ten products."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TABLE)
    return postgres_url


@pytest.fixture
def matrix(database: str, matrix_of: Callable[[str], Matrix]) -> Matrix:
    return matrix_of(TEXT.format(url=database))


def test_rows_fall_exactly(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")  # the slot is new: whatever changed before, nobody saw
            shop.hold()
            connection.execute("UPDATE products SET category = 'c' WHERE sku = 'p9'")
            connection.rollback()
            connection.execute("INSERT INTO others VALUES (1)")
            connection.execute("UPDATE products SET category = 'b' WHERE sku = 'p1'")
            connection.commit()
            assert shop.fall({"p1", "a", "b"}) == {"p1", "a", "b"}
            shop.hold()
            connection.execute("DELETE FROM products WHERE sku = 'p2'")
            connection.execute("INSERT INTO products VALUES ('p2', 'other', 'c', 1, NULL), ('p3x', NULL, 'c', 1, NULL)")
            connection.commit()
            assert shop.fall({"p2", "a"}) == {"p2", "a"}  # what is another tenant's, or nobody's, falls there
            assert shop.watch.figures()["shop"].is_leading


def test_what_a_stopped_watch_did_not_see_falls_when_it_comes_back(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")
            shop.hold()
            connection.execute("UPDATE products SET revision = 2 WHERE sku = 'p5'")
            assert shop.fall({"p5", "a"}) == {"p5", "a"}
        connection.execute("UPDATE products SET revision = 3 WHERE sku = 'p6'")
        with shopping(matrix) as shop:
            assert (shop.wait_for("changes_followed"))["gap"] == ""
            assert "p6" in shop.fall({"p6"})
            assert shop.watch.figures()["shop"].missed == 0


def test_many_rows_fall_as_their_region(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")
            shop.hold()
            other = shop.cache.tenant("other").region("product")
            other.set("p1", 1)
            connection.execute(
                "INSERT INTO products SELECT 'n' || n, 'acme', 'b', 1, NULL FROM generate_series(1, 3000) n"
            )
            fallen = shop.fall({"p1", "b"})
            assert fallen == {*(f"p{n}" for n in range(10)), "b"}
            assert other.get("p1") == 1


def test_a_lost_slot_makes_everything_fall(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")
        connection.execute("SELECT pg_drop_replication_slot('tiercel_shop')")
        with shopping(matrix) as shop:
            shop.hold()
            assert (shop.wait_for("changes_missed"))["reason"] == "the slot is new"
            assert shop.fall({"a"}) == {*(f"p{n}" for n in range(10)), *"abc"}


def test_a_rolled_back_redis_makes_everything_fall(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")
            shop.hold()
            connection.execute("UPDATE products SET revision = 2 WHERE sku = 'p5'")
            shop.fall({"p5"})
        connection.execute("UPDATE products SET revision = 3 WHERE sku = 'p5'")
        connection.execute("SELECT pg_replication_slot_advance('tiercel_shop', pg_current_wal_lsn())")
        with shopping(matrix) as shop:
            assert "rolled back" in (shop.wait_for("changes_missed"))["reason"]


def test_a_table_that_hides_old_rows_is_refused_and_never_trusted(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE products REPLICA IDENTITY DEFAULT")
        with shopping(matrix) as shop:
            reason = (shop.wait_for("changes_interrupted"))["reason"]
            assert "does not show what category, tenant was before" in reason
            assert "ALTER TABLE products REPLICA IDENTITY FULL" in reason
            connection.execute("ALTER TABLE products REPLICA IDENTITY FULL")
            shop.wait_for("changes_missed")
            shop.hold()
            connection.execute("ALTER TABLE products REPLICA IDENTITY DEFAULT")  # while it is followed
            connection.execute("UPDATE products SET category = 'b' WHERE sku = 'p1'")
            assert shop.fall({"a"}) == {*(f"p{n}" for n in range(10)), *"abc"}
            shop.hold()
            connection.execute("TRUNCATE products")
            assert shop.fall({"p0", "a"}) == {*(f"p{n}" for n in range(10)), *"abc"}
            assert "emptied" in (shop.wait_for("changes_unclear", 2))["reason"]


def test_a_slot_without_bound_is_told_and_one_that_keeps_too_much_is_given_up(
    database: str, matrix_of: Callable[[str], Matrix]
) -> None:
    matrix = matrix_of(TEXT.format(url=database).replace("bulk_above = 50", 'max_lag_bytes = "1 MiB"'))
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            caution = shop.wait_for("changes_caution")
            assert caution["subject"] == "max_slot_wal_keep_size"
        connection.execute("INSERT INTO others SELECT generate_series(1000, 40000)")
        connection.execute("CHECKPOINT")
        with shopping(matrix) as shop:
            assert "more than max_lag_bytes" in (shop.wait_for("changes_missed"))["reason"]


def test_the_versions_of_rows_are_floors(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")
            shop.hold()
            connection.execute("UPDATE products SET revision = 41 WHERE sku = 'p4'")
            shop.fall({"p4"})
            explained = shop.products.explain("p4")
            assert "41" in str(explained)
            assert shop.products.get("p4") is MISS


def test_log_that_the_server_threw_away_makes_everything_fall(
    matrix: Matrix, database: str, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as shop:
            shop.wait_for("changes_missed")
        try:
            connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
            connection.execute("SELECT pg_reload_conf()")
            for number in range(4):  # a segment of the log has 16 MiB
                connection.execute("INSERT INTO others VALUES (%s)", (number,))
                connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
            with shopping(matrix) as shop:
                assert "the slot was lost" in (shop.wait_for("changes_missed"))["reason"]
                assert not [fields for name, fields in shop.said if name == "changes_caution"]
        finally:
            connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.execute("SELECT pg_reload_conf()")


def test_one_watch_follows_and_hands_over(matrix: Matrix, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with shopping(matrix) as first:
            first.wait_for("changes_missed")
            with shopping(matrix) as second:
                first.hold()
                connection.execute("UPDATE products SET revision = 2 WHERE sku = 'p5'")
                assert first.fall({"p5", "a"}) == {"p5", "a"}
                assert not second.watch.figures()["shop"].is_leading
                first.watch.close()
                assert (second.wait_for("changes_followed"))["gap"] == ""
                connection.execute("UPDATE products SET revision = 2 WHERE sku = 'p6'")
                assert second.fall({"p6"}) == {"p5", "p6", "a"}


def test_a_message_that_cannot_be_read_makes_everything_watched_fall() -> None:
    rule = RowRule(ChangeRule(table="products", regions=("product:{sku}",)), None, Matrix.defaults().regions)
    options = ChangeSource(name="shop", url="postgres://h/d", rules=(ChangeRule(table="products", tags=("x",)),))
    source = PostgresChanges(options, options.url, {"products": rule}, "slot")
    fallout = Fallout(10)
    position = source._take(b"w" + bytes(24) + b"I" + bytes(4) + b"N", fallout)
    assert (position, fallout.regions) == (0, {"product"})
    assert "never described" in next(iter(fallout.reasons))
