"""
The native table as a `LocalTable`: the C type, with its options, seals and counters in Python's terms.

Importing this module raises ImportError where the accelerator was not built; `tiercel.local.tier` asks and decides.
"""

from __future__ import annotations

import sys
import threading

from tiercel._core.clock import SystemClock
from tiercel.local._native import Table, View
from tiercel.local.entry import LocalStats, TenantStats
from tiercel.local.seal import Seal
from tiercel.options import LocalOptions
from tiercel.typing import Clock

__all__ = ["ENTRY_OVERHEAD_BYTES", "NativeTable"]

ENTRY_OVERHEAD_BYTES = 112
HAS_COARSE_CLOCK = sys.platform.startswith("linux")


class NativeTable(Table):
    """
    All entries of one region, in C.

    Args:
        options: Its bounds.
        clock: Where time comes from; None for the system's.
        seal: What is done to values on the way in and out; None where they are shared as they are.
        overhead_bytes: What an entry costs beside its weight, where bytes bound the table.
    """

    def __init__(
        self,
        options: LocalOptions,
        clock: Clock | None = None,
        seal: Seal | None = None,
        *,
        overhead_bytes: int = ENTRY_OVERHEAD_BYTES,
    ) -> None:
        is_system = clock is None or type(clock) is SystemClock
        read = None if is_system and HAS_COARSE_CLOCK else (clock or SystemClock()).monotonic
        super().__init__(read, overhead_bytes)
        self._lock = threading.Lock()
        self._apply(options, seal)

    def _apply(self, options: LocalOptions, seal: Seal | None) -> None:
        self.options = options
        by_bytes = options.max_bytes is not None
        self.bound(
            options.bound,
            options.tenant_share,
            by_bytes,
            by_bytes and options.objective == "objects",
            None if seal is None else seal.seal,
            None if seal is None else seal.unseal,
        )

    def configure(self, options: LocalOptions, seal: Seal | None) -> None:
        """Take other bounds; entries are kept where they mean the same under both."""
        with self._lock:
            if options == self.options:
                return
            if not options.counts_like(self.options):
                self.clear()
                self._apply(options, seal)
                self.forget()
            else:
                self._apply(options, seal)
                self.shrink()

    def stats(self) -> LocalStats:
        """Return the counters as they are now."""
        sets, evictions, expirations, rejections, suspects, size_bytes, views = self.counts()
        tenants = {tenant: tenant_stats(view) for tenant, view in views.items()}
        return LocalStats(
            hits=sum(tenant.hits for tenant in tenants.values()),
            misses=sum(tenant.misses for tenant in tenants.values()),
            sets=sets,
            evictions=evictions,
            expirations=expirations,
            rejections=rejections,
            suspects=suspects,
            entries=sum(tenant.entries for tenant in tenants.values()),
            size_bytes=size_bytes,
            tenants=tenants,
        )


def tenant_stats(view: View) -> TenantStats:
    """Return one native view's part."""
    return TenantStats(*view.counts())
