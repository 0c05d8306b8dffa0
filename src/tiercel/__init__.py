"""
Tiercel: multi-layer caching for multi-tenant platforms, true under concurrency.

`AsyncCache` and `Cache` open a strategy matrix; ``cache.tenant("acme").region("product")`` gives the verbs.

What needs the engine is imported when it is first asked for: the command line and its completion load this package at
every key press and need only a part of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tiercel.errors import (
    BlockingCallError,
    CacheError,
    ClosedError,
    CodecError,
    ConfigurationError,
    DecodeError,
    EncodeError,
    JournalFull,
    KeyRefused,
    LoadTimeout,
    LockTimeout,
    NotFound,
    StoreConflict,
    StoreError,
    StoreTimeout,
    TenantRequired,
    TierError,
    TierTimeout,
    TierUnavailable,
)
from tiercel.options import CacheOptions, EntityRule, JournalOptions, LocalOptions, RegionOptions
from tiercel.typing import DELETED, GLOBAL, MISS, NOT_MODIFIED, AsyncStore, Change, Key, Outcome, Record, Store

if TYPE_CHECKING:
    from tiercel._async.apiresponse import AsyncApiResponse
    from tiercel._async.cache import AsyncCache
    from tiercel._async.edge import open_edge as open_async_edge
    from tiercel._async.edge_distribution import AsyncDistribution
    from tiercel._async.edge_site import AsyncSitePublisher
    from tiercel._async.receipt import AsyncReceipt
    from tiercel._async.region import AsyncRegion
    from tiercel._async.stores import AsyncFunctionStore, AsyncMemoryStore
    from tiercel._async.tenant import AsyncTenant
    from tiercel._conditional import stale_copy
    from tiercel._core.consistency import bounded, read_your_writes
    from tiercel._sync.apiresponse import ApiResponse
    from tiercel._sync.cache import Cache
    from tiercel._sync.edge import open_edge
    from tiercel._sync.edge_distribution import Distribution
    from tiercel._sync.edge_site import SitePublisher
    from tiercel._sync.receipt import Receipt
    from tiercel._sync.region import Region
    from tiercel._sync.stores import FunctionStore, MemoryStore
    from tiercel._sync.tenant import Tenant
    from tiercel._timebudget import budget, time_left
    from tiercel.cdn.purge import PurgeRequest, PurgeStatus, PurgeTicket
    from tiercel.cdn.site import SiteOptions, SiteReport
    from tiercel.matrix import Matrix

__all__ = [
    "DELETED",
    "GLOBAL",
    "MISS",
    "NOT_MODIFIED",
    "ApiResponse",
    "AsyncApiResponse",
    "AsyncCache",
    "AsyncDistribution",
    "AsyncFunctionStore",
    "AsyncMemoryStore",
    "AsyncReceipt",
    "AsyncRegion",
    "AsyncSitePublisher",
    "AsyncStore",
    "AsyncTenant",
    "BlockingCallError",
    "Cache",
    "CacheError",
    "CacheOptions",
    "Change",
    "ClosedError",
    "CodecError",
    "ConfigurationError",
    "DecodeError",
    "Distribution",
    "EncodeError",
    "EntityRule",
    "FunctionStore",
    "JournalFull",
    "JournalOptions",
    "Key",
    "KeyRefused",
    "LoadTimeout",
    "LocalOptions",
    "LockTimeout",
    "Matrix",
    "MemoryStore",
    "NotFound",
    "Outcome",
    "PurgeRequest",
    "PurgeStatus",
    "PurgeTicket",
    "Receipt",
    "Record",
    "Region",
    "RegionOptions",
    "SiteOptions",
    "SitePublisher",
    "SiteReport",
    "Store",
    "StoreConflict",
    "StoreError",
    "StoreTimeout",
    "Tenant",
    "TenantRequired",
    "TierError",
    "TierTimeout",
    "TierUnavailable",
    "__version__",
    "bounded",
    "budget",
    "open_async_edge",
    "open_edge",
    "read_your_writes",
    "stale_copy",
    "time_left",
]

__version__ = "0.1.0"

_LAZY = {
    "ApiResponse": "tiercel._sync.apiresponse",
    "AsyncApiResponse": "tiercel._async.apiresponse",
    "AsyncCache": "tiercel._async.cache",
    "AsyncDistribution": "tiercel._async.edge_distribution",
    "AsyncFunctionStore": "tiercel._async.stores",
    "AsyncMemoryStore": "tiercel._async.stores",
    "AsyncReceipt": "tiercel._async.receipt",
    "AsyncRegion": "tiercel._async.region",
    "AsyncSitePublisher": "tiercel._async.edge_site",
    "AsyncTenant": "tiercel._async.tenant",
    "Cache": "tiercel._sync.cache",
    "Distribution": "tiercel._sync.edge_distribution",
    "FunctionStore": "tiercel._sync.stores",
    "Matrix": "tiercel.matrix",
    "MemoryStore": "tiercel._sync.stores",
    "PurgeRequest": "tiercel.cdn.purge",
    "PurgeStatus": "tiercel.cdn.purge",
    "PurgeTicket": "tiercel.cdn.purge",
    "Receipt": "tiercel._sync.receipt",
    "Region": "tiercel._sync.region",
    "SiteOptions": "tiercel.cdn.site",
    "SitePublisher": "tiercel._sync.edge_site",
    "SiteReport": "tiercel.cdn.site",
    "Tenant": "tiercel._sync.tenant",
    "bounded": "tiercel._core.consistency",
    "open_async_edge": "tiercel._async.edge:open_edge",
    "open_edge": "tiercel._sync.edge",
    "read_your_writes": "tiercel._core.consistency",
    "budget": "tiercel._timebudget",
    "stale_copy": "tiercel._conditional",
    "time_left": "tiercel._timebudget",
}
"""Where each name is, and under which other name it is there."""


def __getattr__(name: str) -> Any:
    place = _LAZY.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, there = place.partition(":")
    value = getattr(importlib.import_module(module), there or name)
    globals()[name] = value  # the next look finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
