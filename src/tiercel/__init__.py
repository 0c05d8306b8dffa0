"""
Tiercel: multi-layer caching for multi-tenant platforms, true under concurrency.

`AsyncCache` and `Cache` open a strategy matrix; ``cache.tenant("acme").region("product")`` gives the verbs.
"""

from __future__ import annotations

from tiercel._async.cache import AsyncCache
from tiercel._async.receipt import AsyncReceipt
from tiercel._async.region import AsyncRegion
from tiercel._async.tenant import AsyncTenant
from tiercel._core.consistency import bounded, read_your_writes
from tiercel._sync.cache import Cache
from tiercel._sync.receipt import Receipt
from tiercel._sync.region import Region
from tiercel._sync.tenant import Tenant
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
from tiercel.matrix import Matrix
from tiercel.options import CacheOptions, EntityRule, JournalOptions, LocalOptions, RegionOptions
from tiercel.typing import DELETED, GLOBAL, MISS, AsyncStore, Change, Key, Outcome, Record, Store

__all__ = [
    "DELETED",
    "GLOBAL",
    "MISS",
    "AsyncCache",
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
    "JournalFull",
    "JournalOptions",
    "Key",
    "KeyRefused",
    "LoadTimeout",
    "LocalOptions",
    "LockTimeout",
    "Matrix",
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
    "read_your_writes",
]

__version__ = "0.1.0"
