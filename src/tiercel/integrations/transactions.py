"""
Transactions of any database: what is noted inside a block falls when the block ends well, and not at all otherwise.

::

    with on_commit(cache) as changed, connection.transaction():
        connection.execute("UPDATE products …")
        changed("acme", "product", "sku-42")

The block goes *around* the transaction: what falls before the commit would be loaded again as it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import TypeAlias, overload

from tiercel._async.cache import AsyncCache
from tiercel._sync.cache import Cache

__all__ = ["Changed", "on_commit"]

Changed: TypeAlias = Callable[[str, str, str], None]
"""Notes a changed entity: its tenant, its name in the matrix, its key."""


@overload
def on_commit(cache: Cache) -> AbstractContextManager[Changed]: ...
@overload
def on_commit(cache: AsyncCache) -> AbstractAsyncContextManager[Changed]: ...
def on_commit(
    cache: Cache | AsyncCache,
) -> AbstractContextManager[Changed] | AbstractAsyncContextManager[Changed]:
    """
    Return a block around a transaction; it gives a function that notes what changed.

    Args:
        cache: A `Cache` for ``with``, an `AsyncCache` for ``async with``.

    An entity that is noted more than once falls once. An exception that leaves the block makes nothing fall.
    """
    return _awaiting(cache) if isinstance(cache, AsyncCache) else _blocking(cache)


@contextmanager
def _blocking(cache: Cache) -> Iterator[Changed]:
    noted: dict[tuple[str, str, str], None] = {}
    yield lambda tenant, entity, entity_id: noted.update({(tenant, entity, entity_id): None})
    for tenant, entity, entity_id in noted:
        cache.tenant(tenant).invalidate(entity, entity_id)


@asynccontextmanager
async def _awaiting(cache: AsyncCache) -> AsyncIterator[Changed]:
    noted: dict[tuple[str, str, str], None] = {}
    yield lambda tenant, entity, entity_id: noted.update({(tenant, entity, entity_id): None})
    for tenant, entity, entity_id in noted:
        await cache.tenant(tenant).invalidate(entity, entity_id)
