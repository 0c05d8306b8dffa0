"""
Named points in the code at which a test may hold an actor, so that races are forced and never waited for.

Nothing is installed outside tests: a gate then costs one comparison, and gates stand on slow paths only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

async_hook: Callable[[str], Awaitable[None]] | None = None
hook: Callable[[str], None] | None = None


async def async_gate(name: str) -> None:
    """Let a test hold the task here."""
    if async_hook is not None:
        await async_hook(name)


def gate(name: str) -> None:
    """Let a test hold the thread here."""
    if hook is not None:
        hook(name)
