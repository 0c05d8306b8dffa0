# Generated from tests/async_/changes/test_mongo.py by tools/unasync.py. Do not edit.
"""MongoDB: documents that a plain client changes fall, exactly; a position that cannot be resumed is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from tests.sync_.changes.conftest import shopping
from tests.rig import RedisServer
from tiercel.matrix import Matrix

TEXT = """
[changes.shop]
url = "{url}"
[changes.shop.tables.products]
tenant = "{{owner.tenant}}"
regions = ["product:{{_id}}"]
tags = ["category:{{category}}"]
"""
ALL = {*(f"p{n}" for n in range(10)), *"abc"}
Rows: TypeAlias = Collection[dict[str, Any]]


@pytest.fixture
def rows(mongo_url: str) -> Iterator[Rows]:
    """A collection of ten products that keeps old images."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        made = client.get_default_database()["products"]
        made.insert_many([{"_id": f"p{n}", "owner": {"tenant": "acme"}, "category": "a"} for n in range(10)])
        keep_images(made, is_on=True)
        yield made


def keep_images(rows: Rows, *, is_on: bool) -> None:
    rows.database.command("collMod", "products", changeStreamPreAndPostImages={"enabled": is_on})


def test_documents_fall_exactly(rows: Rows, mongo_url: str, matrix_of: Callable[[str], Matrix]) -> None:
    matrix = matrix_of(TEXT.format(url=mongo_url))
    with shopping(matrix) as shop:
        shop.wait_for("changes_missed")
        shop.hold()
        rows.database["others"].insert_one({"x": 1})
        rows.update_one({"_id": "p1"}, {"$set": {"category": "b"}})
        assert shop.fall({"p1", "a", "b"}) == {"p1", "a", "b"}
        shop.hold()
        rows.delete_one({"_id": "p2"})
        rows.insert_one({"_id": "p3x", "category": "b"})  # nobody's
        rows.insert_one({"_id": "p4x", "owner": {"tenant": "acme"}})
        assert shop.fall({"p2", "a"}) == {"p2", "a"}
    rows.update_one({"_id": "p6"}, {"$set": {"price": 1}})
    with shopping(matrix) as shop:
        assert (shop.wait_for("changes_followed"))["gap"] == ""
        assert "p6" in shop.fall({"p6"})
        shop.hold()
        rows.drop()
        assert shop.fall(ALL) == ALL


def test_a_token_that_is_no_good_makes_everything_fall(
    rows: Rows, mongo_url: str, matrix_of: Callable[[str], Matrix], clean_redis: RedisServer
) -> None:
    matrix = matrix_of(TEXT.format(url=mongo_url))
    with shopping(matrix) as shop:
        shop.wait_for("changes_missed")
    clean_redis.cli("HSET", "{tiercel:~changes:shop}:state", "position", "82630000")
    with shopping(matrix) as shop:
        shop.hold()
        assert "cannot resume" in (shop.wait_for("changes_missed"))["reason"]
        assert shop.fall(ALL) == ALL


def test_a_collection_that_keeps_no_old_images_is_refused_and_never_trusted(
    rows: Rows, mongo_url: str, matrix_of: Callable[[str], Matrix]
) -> None:
    keep_images(rows, is_on=False)
    with shopping(matrix_of(TEXT.format(url=mongo_url))) as shop:
        reason = (shop.wait_for("changes_interrupted"))["reason"]
        assert "collMod: 'products'" in reason
        keep_images(rows, is_on=True)
        shop.wait_for("changes_missed")
        shop.hold()
        keep_images(rows, is_on=False)  # while it is followed
        rows.update_one({"_id": "p1"}, {"$set": {"category": "b"}})
        assert shop.fall(ALL) == ALL
