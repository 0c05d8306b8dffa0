"""
The local tier of one process: every region's table, shared by the blocking and the awaitable façade.

`LocalTier` chooses the implementation: the native one where it was built, else the reference. Both behave alike; the
environment is not asked.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol

from tiercel.errors import ConfigurationError
from tiercel.local._reference import ReferenceTable
from tiercel.local.contract import LocalTable
from tiercel.local.seal import Seal, seal_for
from tiercel.local.ticker import time_source
from tiercel.options import LocalOptions
from tiercel.typing import Clock

try:
    from tiercel.local.accelerated import NativeTable
except ImportError:  # not built, or not the main interpreter: the reference serves
    NativeTable = None  # type: ignore[assignment,misc]

__all__ = ["LocalTier"]

Implementation = Literal["native", "reference"]
RICH_PART = 4
MOST_ROUNDS = 15


class Configurable(LocalTable, Protocol):
    """A table whose bounds may change."""

    def configure(self, options: LocalOptions, seal: Seal | None) -> None: ...


class LocalTier:
    """
    All local copies of one process.

    Args:
        clock: Where time comes from; None for the system's.
        implementation: ``"auto"`` takes the native one where it is built; ``"native"`` insists on it.

    Raises:
        ConfigurationError: ``implementation="native"`` and the accelerator was not built.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        implementation: Literal["auto", "native", "reference"] = "auto",
    ) -> None:
        self.implementation: Implementation = _choose(implementation)
        self._clock = clock
        self._lock = threading.Lock()
        self._trusted_until_s = math.inf
        self._tables: dict[str, Configurable] = {}

    def table(self, region: str, options: LocalOptions, decode: Callable[[bytes], Any] | None = None) -> LocalTable:
        """
        Return the region's table: the same object each time; other *options* reconfigure it.

        Args:
            region: Its name.
            options: Its bounds. Entries outlive a change of bounds; a change of the unit, of ``copy`` or of
                ``detect_mutation`` starts the table afresh.
            decode: The decoder where ``copy = "decode"``.
        """
        seal = seal_for(options, decode)
        with self._lock:
            table = self._tables.get(region)
            if table is None:
                table = self._tables[region] = self._new_table(options, seal)
                table.trust_until(self._trusted_until_s)
                return table
        table.configure(options, seal)
        return table

    def _new_table(self, options: LocalOptions, seal: Seal | None) -> Configurable:
        if self.implementation == "native":
            assert NativeTable is not None  # _choose saw to it
            return NativeTable(options, self._clock, seal)
        return ReferenceTable(options, time_source(self._clock), seal)

    def tables(self) -> Mapping[str, LocalTable]:
        """Return every region's table by name; a live, read-only mapping."""
        return MappingProxyType(self._tables)

    def bump_epoch(self) -> None:
        """Make every entry of every region suspect: the backplane was lost."""
        for table in list(self._tables.values()):
            table.bump_epoch()

    def trust_until(self, moment_s: float) -> None:
        """
        Serve hits of every region, and of regions to come, before *moment_s* on the monotonic clock only.

        Each sign of life of the backplane moves it on. So a process that was frozen serves nothing old when it wakes:
        the clock that every hit looks at has passed the moment. Infinity takes the limit away.
        """
        with self._lock:
            self._trusted_until_s = moment_s
            for table in self._tables.values():
                table.trust_until(moment_s)

    def sweep(self, budget: int = 20) -> int:
        """
        Remove some of what is dead in every table; return how many entries went.

        Call it about ten times a second. Each table is looked at *budget* places at a time, again while more than a
        quarter of them were dead, so that a mass expiry is cleared soon and no call takes long.
        """
        removed = 0
        for table in list(self._tables.values()):
            for _ in range(MOST_ROUNDS):
                found = table.sweep(budget)
                removed += found
                if found * RICH_PART <= budget:
                    break
        return removed


def _choose(implementation: Literal["auto", "native", "reference"]) -> Implementation:
    if NativeTable is not None:
        return "reference" if implementation == "reference" else "native"
    if implementation == "native":
        raise ConfigurationError("implementation='native': the accelerator tiercel.local._native was not built")
    return "reference"
