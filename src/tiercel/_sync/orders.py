# Generated from src/tiercel/_async/orders.py by tools/unasync.py. Do not edit.
"""
Orders: what a caller wants loaded, and how it is to be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiercel.typing import Key


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a caller wants loaded, and how it is to be kept.

    Attributes:
        load: Gives the value: a plain or awaitable function of the key; `NotFound` says that there is none.
        tags: Hashes of the tags that the entry carries.
        ttl_s: Its ttl; None for the region's.
        is_strong: Pass over everything that may lag.
        least_version: Pass over copies of an older version.
        load_many: Gives the values of several such keys in one call, by key; None where there is no such way.
    """

    load: Callable[[Key], Any]
    tags: tuple[int, ...] = ()
    ttl_s: float | None = None
    is_strong: bool = False
    least_version: int = 0
    load_many: Callable[[list[Any]], Any] | None = None


@dataclass(frozen=True, slots=True)
class ManyOrder:
    """
    Like `Order`, for many keys: ``load_many`` returns the values that exist, by key.

    Two orders are equal where one call may serve both.
    """

    load_many: Callable[[list[Any]], Any]
    tags: tuple[int, ...] = ()
    ttl_s: float | None = None
