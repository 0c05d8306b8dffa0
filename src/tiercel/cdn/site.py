"""
A static site on its way to an edge: how it is published, and what a run did.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tiercel.cdn.assets import FIXED_NAMES
from tiercel.cdn.purge import PurgeTicket
from tiercel.typing import GLOBAL


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """
    How a site is published.

    Args:
        base: URL path of its root, with slashes at both ends.
        tenant: Whose tags and quota.
        tags: Tags that every object carries.
        ttl_s: How long the edge keeps what has a fixed name; hashed names are kept for ever.
        browser_ttl_s: How long browsers keep what has a fixed name.
        grace_s: Stale while revalidating, for fixed names.
        fixed: Patterns of names that are not hashed; ``("*",)`` hashes nothing.
        rewrite: Whether references in style sheets and pages become hashed names.
        keep: Generations that stay whatever their age.
        keep_s: Replaced generations that are younger than this stay too.
        concurrency: Files under way at once.
    """

    base: str = "/"
    tenant: str = GLOBAL
    tags: tuple[str, ...] = ()
    ttl_s: float = 86_400.0
    browser_ttl_s: float | None = 60.0
    grace_s: float = 60.0
    fixed: tuple[str, ...] = FIXED_NAMES
    rewrite: bool = True
    keep: int = 3
    keep_s: float = 7 * 86_400.0
    concurrency: int = 8


@dataclass(slots=True)
class SiteReport:
    """What a run did, or would do."""

    published: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    tickets: list[PurgeTicket] = field(default_factory=list)
    manifest: dict[str, str] = field(default_factory=dict)
