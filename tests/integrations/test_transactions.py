"""One call inside a transaction: the entity falls once it has committed, and stays where it is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tiercel import MISS, AsyncCache, Cache
from tiercel._process import Process
from tiercel.integrations.transactions import on_commit
from tiercel.matrix import Matrix
from tiercel.options import EntityRule

MATRIX = Matrix.defaults().overlay(EntityRule(name="product", regions=("product:{id}",), tags=("search",)))


class Interrupted(Exception):
    """What ends a transaction early."""


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache(MATRIX, process=Process.shared("transactions")) as made:
        yield made


def test_what_was_noted_falls_behind_the_block(cache: Cache) -> None:
    products = cache.tenant("acme").region("product")
    products.set("p1", 1)
    with on_commit(cache) as changed:
        changed("acme", "product", "p1")
        changed("acme", "product", "p1")
        assert products.get("p1") == 1
    assert products.get("p1") is MISS


def test_nothing_falls_where_the_block_fails(cache: Cache) -> None:
    products = cache.tenant("acme").region("product")
    products.set("p1", 1)
    with suppress(Interrupted), on_commit(cache) as changed:
        changed("acme", "product", "p1")
        raise Interrupted
    assert products.get("p1") == 1


async def test_a_block_of_the_awaiting_kind() -> None:
    async with AsyncCache(MATRIX, process=Process.shared("awaiting")) as cache:
        products = cache.tenant("acme").region("product")
        await products.set("p1", 1)
        async with on_commit(cache) as changed:
            changed("acme", "product", "p1")
            assert await products.get("p1") == 1
        assert await products.get("p1") is MISS


def test_django_transactions(cache: Cache) -> None:
    django = pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        settings.configure(DATABASES=databases)
        django.setup()
    from django.db import connection, transaction

    from tiercel.integrations.django import on_commit as on_django_commit

    tenant = cache.tenant("acme")
    products = tenant.region("product")
    try:
        for number in range(3):
            products.set(f"p{number}", number)
        with transaction.atomic():
            on_django_commit(tenant, "product", "p0")
            with suppress(Interrupted), transaction.atomic():
                on_django_commit(tenant, "product", "p1")
                raise Interrupted
            assert products.get("p0") == 0
        assert products.get("p0") is MISS
        assert products.get("p1") == 1  # its savepoint was rolled back
        on_django_commit(tenant, "product", "p2")  # no transaction: at once
        assert products.get("p2") is MISS
    finally:
        connection.close()
