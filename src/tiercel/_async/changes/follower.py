"""
The follower: takes the lease of one source, follows it, and lets go when told or overtaken.

The order is what makes a kill harmless: changes are read, fall in Redis, are told to the other nodes, and only then is
the position moved. Whoever comes next begins at the position, so it repeats at most what had fallen already:

    1. worker A reads a change and is killed (or frozen) before, while, or after it makes it fall
    2. the lease runs out; worker B opens the source at the last confirmed position, which lies before the change
    3. B reads the change again and makes it fall; A, thawed, does the same once more, and learns at its next `keep`
       that it leads no longer
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from tiercel._async.changes.applier import AsyncApplier
from tiercel._async.changes.lease import AsyncChangeLease
from tiercel._async.changes.protocol import AsyncChangeFeed
from tiercel._core.backoff import Backoff
from tiercel._core.changeoptions import ChangeSource
from tiercel._core.fallout import Fallout
from tiercel._paired import AsyncEvent
from tiercel.errors import StoreError, TierError
from tiercel.typing import Clock

__all__ = ["AsyncFollower", "Events"]

Events: TypeAlias = Callable[[str, Mapping[str, Any]], None]

_WAIT_S = 0.2
_CONFIRM_S = 0.1
"""A busy source is confirmed this often; it bounds what is repeated after a kill, and costs one round trip each."""
_SETTLE_S = 10.0
_STANDBY_SHARE = 0.1
_BACKOFF = Backoff(0.1, 5.0)


class AsyncFollower:
    """
    Args:
        options: The source's.
        source: The database.
        lease: Who follows it.
        applier: Makes things fall.
        at_loss: Regions that fall where changes may have been missed; none means the whole namespace.
        clock: Source of time.
        events: Told what is rare; must not block.
        stopping: Set when it shall end.
    """

    def __init__(
        self,
        options: ChangeSource,
        source: AsyncChangeFeed,
        lease: AsyncChangeLease,
        applier: AsyncApplier,
        *,
        at_loss: Collection[str],
        clock: Clock,
        events: Events,
        stopping: AsyncEvent,
    ) -> None:
        self._options = options
        self._source = source
        self._lease = lease
        self._applier = applier
        self._at_loss = at_loss
        self._clock = clock
        self._events = events
        self._stopping = stopping
        self._applied = ""
        self._confirmed = ""
        self._failures = 0
        self._kept_at_s = 0.0
        self._drained_at_s = clock.monotonic()

    async def run(self) -> None:
        """Follow whenever the lease can be had, until told to stop."""
        while not self._stopping.is_set():
            try:
                if await self._lease.take():
                    await self._lead()
                    continue
                self._source.figures.lag_s = 0.0
                pause_s = self._options.lease_s * _STANDBY_SHARE
            except Exception as error:  # whatever it is: who ended here would leave every later change unseen
                self._failures += 1
                pause_s = min(_BACKOFF.pause_s(self._failures, random.random()), self._options.lease_s)
                self._failed(error)
            await self._stopping.wait_for(pause_s)

    def _failed(self, error: Exception) -> None:
        figures = self._source.figures
        figures.last_error = str(error)
        figures.reconnects += 1
        self._source.figures.lag_s = self._clock.monotonic() - self._drained_at_s
        self._events("changes_interrupted", {"source": self._options.name, "reason": str(error)})

    async def _lead(self) -> None:
        """Follow until told to stop, overtaken, or failed."""
        self._source.figures.is_leading = True
        try:
            await self._begin()
            self._source.figures.last_error = None
            while not self._stopping.is_set():
                if not await self._step():
                    break
            if self._stopping.is_set():
                await self._move()
            else:
                self._events("changes_overtaken", {"source": self._options.name})
        finally:
            self._source.figures.is_leading = False
            await self._let_go()

    async def _let_go(self) -> None:
        """Disconnect and give the lease back; where Redis is away it runs out by itself."""
        await self._source.aclose()
        try:
            await self._lease.release()
        except TierError as error:
            self._events("changes_not_released", {"source": self._options.name, "reason": str(error)})

    async def _begin(self) -> None:
        """Open the source where it was left; where that cannot be, make everything fall that it watches."""
        self._applied = self._confirmed = ""
        self._kept_at_s = self._clock.monotonic()
        why = await self._source.open(await self._lease.position())
        self._failures = 0
        self._events("changes_followed", {"source": self._options.name, "gap": why})
        for subject, caution in self._source.figures.cautions.items():
            self._events("changes_caution", {"source": self._options.name, "subject": subject, "caution": caution})
        if why:
            await self._missed(why)

    async def _missed(self, why: str) -> None:
        self._source.figures.missed += 1
        self._events("changes_missed", {"source": self._options.name, "reason": why})
        await self._applier.everything(self._at_loss)
        if not await self._applier.settle(_SETTLE_S):
            raise StoreError(f"changes {self._options.name!r}: what was missed has not fallen everywhere yet")

    async def _step(self) -> bool:
        """Read a stretch and make it fall; return False once somebody else leads."""
        fallout = Fallout(self._options.bulk_above)
        stretch = await self._source.receive(fallout, _WAIT_S)
        widenings = 0
        while not stretch.position and fallout:  # inside a transaction: single names wait for the rest of it
            if fallout.widenings > widenings:
                widenings = fallout.widenings
                await self._applier.apply(fallout.wide_part())
            if self._stopping.is_set() or not await self._kept():
                return False
            stretch = await self._source.receive(fallout, _WAIT_S)
        if fallout:
            await self._fall(fallout, stretch.changed_at_s)
        self._applied = stretch.position or self._applied
        if not fallout:
            self._source.figures.lag_s = 0.0
            self._drained_at_s = self._clock.monotonic()
        return await self._kept()

    async def _fall(self, fallout: Fallout, changed_at_s: float) -> None:
        figures = self._source.figures
        figures.rows += fallout.rows
        for why in fallout.reasons:
            self._events("changes_unclear", {"source": self._options.name, "reason": why})
        await self._applier.apply(fallout)
        figures.lag_s = max(0.0, self._clock.wall() - changed_at_s) if changed_at_s else 0.0

    async def _kept(self) -> bool:
        """Move the position and prolong the lease when it is time; return False once somebody else leads."""
        since_s = self._clock.monotonic() - self._kept_at_s
        if self._applied != self._confirmed and since_s >= _CONFIRM_S:
            return await self._move()
        if since_s < self._options.lease_s / 3:
            return True
        self._kept_at_s = self._clock.monotonic()
        return await self._lease.keep()

    async def _move(self) -> bool:
        """Confirm what was applied, once it is certain; return False once somebody else leads."""
        self._kept_at_s = self._clock.monotonic()
        position = self._applied
        if position == self._confirmed or not await self._applier.settle(self._options.lease_s / 2):
            return await self._lease.keep()
        if not await self._lease.keep(position):
            return False
        await self._source.confirm(position)
        self._confirmed = self._source.figures.position = position
        return True
