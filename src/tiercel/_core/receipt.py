"""
A receipt: what an invalidation did, and when each tier was clean of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ReceiptState:
    """
    What is known of one invalidation; times are seconds since the epoch.

    Attributes:
        started_s: When it was asked for.
        keys: Entries that fell, as (region, key text).
        tags: Tags whose tokens were renewed.
        paths: Paths purged at the CDN.
        clean_s: When each tier was clean: ``redis``, ``local`` (this node), ``cdn``. A tier that is still at work, or
            that could not be reached, is missing.
        queued: Tiers that could not be reached: their invalidation is kept and sent again until they take it.
    """

    started_s: float
    keys: list[tuple[str, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    clean_s: dict[str, float] = field(default_factory=dict)
    queued: list[str] = field(default_factory=list)
