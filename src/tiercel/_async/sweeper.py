"""
The sweeper: removes dead local copies a few at a time, so that what nobody asks for again does not keep its memory.

A read finds an expired entry by itself; this finds the others. Ten times a second it looks at a handful of places of
each region's table, more while many of them were dead, so a million entries that end together stall nobody.
"""

from __future__ import annotations

from tiercel._paired import AsyncEvent, AsyncJob, async_spawn
from tiercel._process import Process

PAUSE_S = 0.1


class AsyncSweeper:
    """
    Args:
        process: Whose local copies it looks after; several sweepers of one process do no harm.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stopping = AsyncEvent()
        self._job: AsyncJob | None = None

    def start(self) -> None:
        """Begin in the background."""
        self._job = async_spawn("tiercel-sweeper", self._run)

    async def aclose(self) -> None:
        """Stop."""
        self._stopping.set()
        if self._job is not None:
            await self._job.join(2.0)

    async def _run(self) -> None:
        while not await self._stopping.wait_for(PAUSE_S):
            self._process.local.sweep()
            self._process.absent.sweep()
