"""
CloudFront's invalidations as requests, and its errors as ours.

A tag is an item ``#tag``, a prefix ends in ``*``, everything is ``/*``; one item each, whatever it covers. A repeated
``CallerReference`` with the same items returns the first invalidation instead of making another; with other items it
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiercel.cdn.faults import SendRefused, SendThrottled
from tiercel.cdn.paths import quoted
from tiercel.cdn.purge import PurgeItem
from tiercel.errors import TierError, TierUnavailable

THROTTLES = frozenset(
    {
        "TooManyInvalidationsInProgress",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "SlowDown",
        "RequestLimitExceeded",
    }
)
ITEM_FAULTS = frozenset({"InvalidArgument", "InconsistentQuantities", "BatchTooLarge", "MissingBody"})


def invalidation_items(items: Sequence[PurgeItem]) -> list[str]:
    """Return the ``Paths.Items`` that name *items*."""
    return [_item(item) for item in items]


def invalidation_batch(reference: str, items: Sequence[PurgeItem]) -> dict[str, Any]:
    """Return the ``InvalidationBatch`` for *items* under *reference*."""
    names = invalidation_items(items)
    return {"Paths": {"Quantity": len(names), "Items": names}, "CallerReference": reference}


def translate(code: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> TierError:
    """Return the error that *code* of AWS stands for."""
    text = f"{code}: {message}"
    if code in THROTTLES or status == 429:
        retry_after = (headers or {}).get("retry-after", "")
        return SendThrottled(text, retry_after_s=float(retry_after) if retry_after.isdigit() else None)
    if 400 <= status < 500:
        return SendRefused(text, items_at_fault=code in ITEM_FAULTS)
    return TierUnavailable(text, tier="cdn", operation="purge")


def _item(item: PurgeItem) -> str:
    if item.kind == "tag":
        return "#" + item.value
    if item.kind == "prefix":
        return quoted(item.value) + "*"
    if item.kind == "all":
        return "/*"
    if item.kind == "path":
        return quoted(item.value)
    raise SendRefused(f"CloudFront cannot purge by {item.kind}")
