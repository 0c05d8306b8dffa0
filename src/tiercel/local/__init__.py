"""The in-process tier: one synchronous, thread-safe object that both façades of a process share."""

from __future__ import annotations

from tiercel.local.contract import LocalTable, LocalView
from tiercel.local.entry import LocalEntry, LocalStats, TenantStats
from tiercel.local.tier import LocalTier

__all__ = ["LocalEntry", "LocalStats", "LocalTable", "LocalTier", "LocalView", "TenantStats"]
