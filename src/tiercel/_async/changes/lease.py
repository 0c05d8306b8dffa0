"""
The lease of a change source: who follows it, and how far it was followed.

Lease and position live in the Redis that holds the copies, in one hash: a Redis that was rolled back or emptied forgets
the position together with the invalidations that it stood for, so they are made again. A lease is counted by Redis's
clock; each change of owner raises the fence, and whoever comes with an old one changes nothing.
"""

from __future__ import annotations

from tiercel._async.link import AsyncLink
from tiercel.scripts import load_script

__all__ = ["AsyncChangeLease"]


class AsyncChangeLease:
    """
    Args:
        link: The way to Redis.
        namespace: Prefix of every key.
        source: Name of the source.
        owner: Name of this worker, unique.
        ttl_s: After this long without a sign of life somebody else may follow.

    Every method may raise `TierError`.
    """

    def __init__(self, link: AsyncLink, namespace: str, source: str, owner: str, ttl_s: float) -> None:
        self._link = link
        self._key = f"{{{namespace}:~changes:{source}}}:state".encode()
        self._owner = owner
        self._ttl_ms = int(ttl_s * 1000)
        self._fence = 0

    async def take(self) -> bool:
        """Take the lease; return False while somebody else has it."""
        fence = await self._link.script(load_script("journal_lease"), [self._key], (self._owner, self._ttl_ms))
        self._fence = max(0, fence)
        return self._fence > 0

    async def position(self) -> str:
        """Return how far the source was followed, empty where nothing is known."""
        found = await self._link.execute("HGET", self._key, "position")
        return found.decode() if found else ""

    async def keep(self, position: str = "") -> bool:
        """Prolong the lease and note *position*, if one is given; False where it went to somebody else."""
        args = (self._owner, self._fence, position, self._ttl_ms)
        return bool(await self._link.script(load_script("changes_save"), [self._key], args))

    async def release(self) -> None:
        """Give the lease back; harmless where it was lost already."""
        await self._link.script(load_script("journal_release"), [self._key], (self._owner, self._fence))
