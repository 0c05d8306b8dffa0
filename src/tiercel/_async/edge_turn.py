"""
The turn: the right to send purges to one distribution, lent by Redis to one machine at a time.

Each machine keeps its purges in a log of its own, and a distribution has one pace for all of them. So machines send in
turns: who has something to send takes the turn, sends, and gives it back with the pace that is left (`TokenBucket`).

The fence. Before each request the holder shows the fence that it was given; one that slept through its time finds
another one there, sends nothing more, and its idea of the pace is not taken:

    1. A takes the turn, fence 7, and freezes
    2. its time runs out; B takes the turn, fence 8, and sends
    3. A wakes: fence 7 is refused; what A has not sent stays in its log for its next turn

A request that A had begun to send in the moment it froze still goes out. It repeats nothing: it is A's own, under its
stored reference. Where Redis does not answer, machines send without turns, each at its full pace: a purge must not wait
for a cache, and a CDN that finds it too much says so. Cost: one round trip for a turn, one for each request, one back.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from tiercel._async.link import AsyncLink
from tiercel._core.keys import KeySpace
from tiercel._core.resp import Word
from tiercel.cdn.budget import TokenBucket
from tiercel.errors import TierError
from tiercel.scripts import load_script

PURGE_TURN = load_script("purge_turn")
PURGE_KEEP = load_script("purge_keep")

_log = logging.getLogger("tiercel.cdn")


class AsyncTurn:
    """
    One machine's turns at one distribution; for one purger.

    Args:
        link: The way to Redis.
        name: The turn's key there.
        life_s: How long a holder may be silent before another one takes over.
    """

    def __init__(self, link: AsyncLink, name: bytes, life_s: float) -> None:
        self._link = link
        self._name = name
        self._life_ms = max(1, int(life_s * 1000))
        self._owner = secrets.token_hex(8)
        self._fence = 0

    async def take(self, bucket: TokenBucket, now: float) -> float:
        """
        Take the turn, and go on with the pace of who had it before.

        Args:
            bucket: The purger's pace; filled as the last holder left it.
            now: The bucket's time.

        Returns:
            0 where it is ours, else the seconds until it may be free.
        """
        self._fence = 0
        try:
            reply = await self._link.script(PURGE_TURN, [self._name], [self._owner, self._life_ms])
        except TierError as error:
            _log.warning("purging without a turn, as Redis does not answer: %s", error)
            return 0.0
        fence, *rest = reply
        if not fence:
            return max(0.001, int(rest[0]) / 1000)
        self._fence = int(fence)
        tokens, age_ms, rest_ms = rest
        if tokens:
            bucket.resume(float(tokens), int(age_ms) / 1000, int(rest_ms) / 1000, now)
        return 0.0

    async def keep(self, bucket: TokenBucket, now: float) -> bool:
        """Say whether the turn is still ours, and prolong it; True where Redis does not say."""
        return await self._show(bucket, now, self._life_ms)

    async def give_back(self, bucket: TokenBucket, now: float) -> None:
        """Let others have their turn, at the pace that is left."""
        await self._show(bucket, now, 0)
        self._fence = 0

    async def _show(self, bucket: TokenBucket, now: float, life_ms: int) -> bool:
        if not self._fence:
            return True
        tokens, rest_s = bucket.left(now)
        arguments: list[Word] = [self._owner, self._fence, life_ms, f"{tokens:.6f}", int(rest_s * 1000)]
        try:
            return bool(await self._link.script(PURGE_KEEP, [self._name], arguments))
        except TierError as error:
            _log.warning("the turn of purging could not be kept, as Redis does not answer: %s", error)
            return True


def turns_by(link: AsyncLink, space: KeySpace) -> Callable[[str, float], AsyncTurn]:
    """Return what makes the turns of distributions in the namespace of *space*: by name, and seconds of a lease."""

    def turn(name: str, life_s: float) -> AsyncTurn:
        return AsyncTurn(link, space.own_key(name), life_s)

    return turn
