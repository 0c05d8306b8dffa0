"""
Tiercel: multi-layer caching for multi-tenant platforms, true under concurrency.

`AsyncCache` and `Cache` open a strategy matrix; ``cache.tenant("acme").region("product")`` gives the verbs.

What needs the engine is imported when it is first asked for: the command line and its completion load this package at
every key press and need only a part of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tiercel._timebudget import budget, time_left
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
from tiercel.typing import DELETED, GLOBAL, MISS, AsyncStore, Change, Key, Outcome, Record, Store

if TYPE_CHECKING:
    from tiercel._async.cache import AsyncCache
    from tiercel._async.receipt import AsyncReceipt
    from tiercel._async.region import AsyncRegion
    from tiercel._async.stores import AsyncFunctionStore, AsyncMemoryStore
    from tiercel._async.tenant import AsyncTenant
    from tiercel._core.consistency import bounded, read_your_writes
    from tiercel._sync.cache import Cache
    from tiercel._sync.receipt import Receipt
    from tiercel._sync.region import Region
    from tiercel._sync.stores import FunctionStore, MemoryStore
    from tiercel._sync.tenant import Tenant
    from tiercel.matrix import Matrix

__all__ = [
    "DELETED",
    "GLOBAL",
    "MISS",
    "AsyncCache",
    "AsyncFunctionStore",
    "AsyncMemoryStore",
    "AsyncReceipt",
    "AsyncRegion",
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
    "Receipt",
    "Record",
    "Region",
    "RegionOptions",
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
    "read_your_writes",
    "time_left",
]

__version__ = "0.1.0"

_LAZY = {
    "AsyncCache": "tiercel._async.cache",
    "AsyncFunctionStore": "tiercel._async.stores",
    "AsyncMemoryStore": "tiercel._async.stores",
    "AsyncReceipt": "tiercel._async.receipt",
    "AsyncRegion": "tiercel._async.region",
    "AsyncTenant": "tiercel._async.tenant",
    "Cache": "tiercel._sync.cache",
    "FunctionStore": "tiercel._sync.stores",
    "Matrix": "tiercel.matrix",
    "MemoryStore": "tiercel._sync.stores",
    "Receipt": "tiercel._sync.receipt",
    "Region": "tiercel._sync.region",
    "Tenant": "tiercel._sync.tenant",
    "bounded": "tiercel._core.consistency",
    "read_your_writes": "tiercel._core.consistency",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value  # the next look finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
