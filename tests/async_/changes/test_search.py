"""Elasticsearch: documents that anybody writes are found by their sequence numbers."""

from __future__ import annotations

from collections.abc import Callable

from tests.async_.changes.conftest import async_shopping
from tests.rig import ElasticsearchServer
from tiercel.matrix import Matrix

TEXT = """
[changes.shop]
url = "elasticsearch://127.0.0.1:{port}"
poll = "50ms"
[changes.shop.tables.products]
tenant = "acme"
regions = ["product:{{_id}}"]
"""


async def test_documents_fall_by_their_sequence_numbers(
    clean_elasticsearch: ElasticsearchServer, matrix_of: Callable[[str], Matrix]
) -> None:
    server = clean_elasticsearch
    server.request("PUT", "/products", {"settings": {"number_of_shards": 3, "number_of_replicas": 0}})
    for number in range(10):
        server.request("PUT", f"/products/_doc/p{number}", {"price": 1})
    matrix = matrix_of(TEXT.format(port=server.port))
    async with async_shopping(matrix) as shop:
        await shop.wait_for("changes_missed")
        await shop.hold()
        server.request("PUT", "/products/_doc/p3", {"price": 2})
        server.request("POST", "/products/_update/p7", {"doc": {"price": 2}})
        assert await shop.fall({"p3", "p7"}) == {"p3", "p7"}
    async with async_shopping(matrix) as shop:  # goes on where the first one stopped
        assert (await shop.wait_for("changes_followed"))["gap"] == ""
        await shop.hold()
        server.request("DELETE", "/products/_doc/p1")
        assert await shop.fall({"p1"}) == {f"p{n}" for n in range(10)}  # no search shows what was deleted
        assert "were deleted" in (await shop.wait_for("changes_unclear"))["reason"]
        await shop.hold()
        server.request("DELETE", "/products")
        server.request("PUT", "/products", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
        assert "p1" in await shop.fall({"p1"})
