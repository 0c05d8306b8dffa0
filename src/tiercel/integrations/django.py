"""
Django: one call inside a transaction, and the entity falls once it has committed.

::

    with transaction.atomic():
        product.save()
        on_commit(cache.tenant("acme"), "product", product.sku)

A transaction or savepoint that is rolled back makes nothing fall. Outside a transaction it falls at once.
"""

from __future__ import annotations

from functools import partial

from django.db import transaction

from tiercel._sync.tenant import Tenant

__all__ = ["on_commit"]


def on_commit(tenant: Tenant, entity: str, entity_id: str, *, using: str | None = None) -> None:
    """
    Make an entity fall, with all that the graph says depends on it, when the current transaction has committed.

    Args:
        tenant: Whose it is.
        entity: Its name in the matrix.
        entity_id: Its key.
        using: Alias of the database whose transaction is meant; None for the default one.

    Errors of the invalidation pass through ``atomic()`` after the commit, as Django has it for any such function.
    """
    transaction.on_commit(partial(tenant.invalidate, entity, entity_id), using=using)
