"""
Waiting for something to become true, with a deadline: no test waits for a time in the hope that it will do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE_S = 0.01


async def until(condition: Callable[[], Awaitable[bool]], what: str, deadline_s: float = 20.0) -> None:
    """Return once *condition* holds; fail naming *what* where it does not within *deadline_s*."""
    ends = time.monotonic() + deadline_s
    while not await condition():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        await asyncio.sleep(PAUSE_S)
