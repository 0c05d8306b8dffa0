"""
The workload has the shape that its page says: mix, skew, drift, the same for the same seed.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice

from tiercel.demo.catalogue import Shape, products_of
from tiercel.demo.workload import Request, Visitors

SHAPE = Shape(tenants=3, products=3_000, users=500, seed=7)


def requests(count: int, stream: int = 0) -> list[Request]:
    visitors = Visitors(SHAPE, stream)

    def all_visits() -> list[Request]:
        found: list[Request] = []
        while len(found) < count:
            found.extend(visitors.visit())
        return found

    return list(islice(all_visits(), count))


def test_the_same_seed_gives_the_same_visitors() -> None:
    assert requests(2_000) == requests(2_000)
    assert requests(2_000) != requests(2_000, stream=1)


def test_the_page_mix_is_that_of_a_shop() -> None:
    kinds = Counter(request.kind for request in requests(40_000))
    pages = sum(kinds[kind] for kind in ("detail", "search", "category", "cart", "order", "profile"))
    assert abs(kinds["detail"] / pages - 0.48) < 0.02
    assert abs(kinds["search"] / pages - 0.22) < 0.02
    assert abs(kinds["category"] / pages - 0.20) < 0.02
    assert kinds["crawl"] > 0
    assert kinds["order"] > 0


def test_few_products_take_most_views() -> None:
    views = Counter((r.tenant, r.argument) for r in requests(60_000) if r.kind == "detail")
    top = sum(count for _, count in views.most_common(SHAPE.products // 100))
    share = top / sum(views.values())
    assert 0.1 < share < 0.6


def test_the_first_tenant_has_about_half() -> None:
    tenants = Counter(request.tenant for request in requests(40_000))
    assert 0.4 < tenants[0] / 40_000 < 0.75


def test_every_request_names_a_product_that_exists() -> None:
    known = [{row["sku"] for row in products_of(SHAPE, tenant)} for tenant in range(SHAPE.tenants)]
    asked = [r for r in requests(20_000) if r.kind in ("detail", "cart", "order", "crawl")]
    assert all(request.argument in known[request.tenant] for request in asked)


def test_searches_repeat_and_are_new_in_about_equal_parts() -> None:
    words = Counter(r.argument for r in requests(40_000) if r.kind == "search")
    once = sum(1 for count in words.values() if count == 1)
    assert once / len(words) > 0.45
