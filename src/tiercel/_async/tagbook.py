"""
The tag book: a node's memo of tag tokens, and the way to renew them.

A token in the memo is trusted while the backplane would have told of its renewal: always while the backplane is up, and
for ``max_staleness_s`` after it was read otherwise. A message about a tag makes the book forget the token, never learn
it: two renewals may be told in another order than they happened, and a forgotten token is simply read again.

    1. reader asks the tier for the token of T, gets t1
    2. another node renews T to t2 and says so; the message is handled here: T is forgotten
    3. the reader writes t1 into the memo, and would believe it for ever

A token in the memo is read again after a quarter of its life in the tier, so that it never outlives it there: two nodes
that believe different tokens would throw each other's entries away.

So an answer that was under way while its tag was forgotten is used once and not remembered (`TokenMemo.forgotten`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from tiercel._async.tier import AsyncFarTier
from tiercel._core.frame import TagToken
from tiercel._core.keys import KeySpace
from tiercel._core.tags import fresh_token, generation_hashes, mix
from tiercel._gates import async_gate
from tiercel._process import TokenMemo
from tiercel.typing import Clock

GENERATION = 0
"""The hash under which an entry carries the mixed tokens of its four implied scopes."""
DOUBT = 1
"""The hash under which a local copy carries how often messages may have been missed before it was made."""
MEMO_LIMIT = 200_000


class AsyncTagBook:
    """
    Args:
        tier: Where tokens are kept; None where nothing is shared, and tokens live in the memo alone.
        space: Names in the tier.
        clock: Clock of the memo's ages.
        max_staleness_s: How long a token is trusted while the backplane is down.
        is_live: Whether the backplane is up.
        memo: What all caches of the process know; its own where None.
    """

    def __init__(
        self,
        tier: AsyncFarTier | None,
        space: KeySpace,
        clock: Clock,
        max_staleness_s: float,
        is_live: Callable[[], bool] = lambda: False,
        memo: TokenMemo | None = None,
    ) -> None:
        self._tier = tier
        self._space = space
        self._clock = clock
        self._max_staleness_s = max_staleness_s if tier is not None else math.inf
        self._is_live = is_live
        self.memo = memo or TokenMemo()
        self._scopes: dict[tuple[str, str], tuple[int, int, int, int]] = {}

    def trusted_from(self, now: float) -> float:
        """Return the moment that a token must have been read after to be trusted at *now*."""
        return -math.inf if self._is_live() else now - self._max_staleness_s

    def __len__(self) -> int:
        return len(self.memo.tokens)

    def known(self, tag: int) -> int | None:
        """Return the tag's token if the memo has one that is trusted, else None."""
        return self._trusted(tag, self._clock.monotonic(), self._is_live())

    def _trusted(self, tag: int, now: float, is_live: bool) -> int | None:
        found = self.memo.tokens.get(tag)
        if found is None:
            return None
        token, read_at, ends = found
        return token if now < ends and (is_live or now - read_at < self._max_staleness_s) else None

    def scopes(self, tenant: str, region: str) -> tuple[int, int, int, int]:
        """Return the hashes of the four implied scopes of a region in a tenant."""
        found = self._scopes.get((tenant, region))
        if found is None:
            if len(self._scopes) >= MEMO_LIMIT:
                self._scopes.clear()
            found = self._scopes[tenant, region] = generation_hashes(self._space, tenant, region)
        return found

    async def tokens(self, tags: Iterable[int], life_ms: int, *, fresh: bool = False) -> dict[int, int]:
        """
        Return the token of each tag, from the memo or else from the tier in one round trip a node.

        Args:
            tags: Hashes.
            life_ms: Least life of the tokens in the tier: that of the entries which will carry them.
            fresh: Ask the tier for all of them (strong reads).

        Raises:
            TierError: the tier is needed and does not answer.
        """
        found: dict[int, int] = {}
        wanted: list[int] = []
        now, is_live = self._clock.monotonic(), self._is_live()
        for tag in tags:
            token = None if fresh and self._tier is not None else self._trusted(tag, now, is_live)
            if token is None:
                wanted.append(tag)
            else:
                found[tag] = token
        if wanted:
            found.update(await self._fetch(wanted, life_ms))
        return found

    def known_tokens(self, tags: Sequence[int]) -> tuple[TagToken, ...]:
        """Return tags with their tokens without asking anybody; 0, which never holds, for one not known here."""
        if self._tier is None:
            return tuple(self._invent(tags).items())
        now, is_live = self._clock.monotonic(), self._is_live()
        return tuple((tag, self._trusted(tag, now, is_live) or 0) for tag in tags)

    async def _fetch(self, tags: Sequence[int], life_ms: int) -> dict[int, int]:
        if self._tier is None:
            return self._invent(tags)
        before, read_at = self.memo.forgotten, self._clock.monotonic()
        fetched = await self._tier.tag_tokens({tag: self._space.tag_key(tag) for tag in tags}, life_ms)
        await async_gate("tags.fetched")
        with self.memo.lock:
            if before == self.memo.forgotten:
                self._make_room(len(fetched))
                ends = read_at + life_ms / 4000
                self.memo.tokens.update({tag: (token, read_at, ends) for tag, token in fetched.items()})
            else:
                self._distrust(fetched)
        return fetched

    def _distrust(self, fetched: Mapping[int, int]) -> None:
        """
        End the trust in tokens that differ from what the tier said, which cannot be kept: something fell meanwhile.

        Else a strong read would see a change, and the eventual one after it would not. The entries stay, because
        `forget` has to say that they were here.
        """
        for tag, token in fetched.items():
            known = self.memo.tokens.get(tag)
            if known is not None and known[0] != token:
                self.memo.tokens[tag] = (known[0], known[1], -math.inf)

    def _invent(self, tags: Sequence[int]) -> dict[int, int]:
        """Return tokens that live in the memo alone, made now where there are none."""
        with self.memo.lock:
            self._make_room(len(tags))
            return {tag: self.memo.tokens.setdefault(tag, (fresh_token(), 0.0, math.inf))[0] for tag in tags}

    def _make_room(self, count: int) -> None:
        if len(self.memo.tokens) + count > MEMO_LIMIT:
            self.memo.tokens.clear()

    async def stamps(
        self, tenant: str, region: str, tags: Sequence[int], life_ms: int, *, fresh: bool = False
    ) -> tuple[TagToken, ...]:
        """Return what an entry of *region* with *tags* carries: the generation, then its tags with their tokens."""
        scopes = self.scopes(tenant, region)
        found = await self.tokens((*scopes, *tags), life_ms, fresh=fresh)
        generation = _mixed(tuple(found[scope] for scope in scopes))
        return ((GENERATION, generation), *((tag, found[tag]) for tag in tags))

    async def hold(
        self, tenant: str, region: str, stamps: Sequence[TagToken], life_ms: int, *, fresh: bool = False
    ) -> bool:
        """Say whether an entry with *stamps* still holds; raises `TierError` where that cannot be known."""
        if not fresh:
            held = self.hold_by_memo(tenant, region, stamps)
            if held is not None:
                return held
        stamps = [stamp for stamp in stamps if stamp[0] != DOUBT]
        tags = [tag for tag, _ in stamps if tag != GENERATION]
        return tuple(stamps) == await self.stamps(tenant, region, tags, life_ms, fresh=fresh)

    def hold_by_memo(self, tenant: str, region: str, stamps: Sequence[TagToken]) -> bool | None:
        """Say whether an entry with *stamps* still holds, from the memo alone; None where the memo does not know."""
        now, is_live = self._clock.monotonic(), self._is_live()
        for tag, token in stamps:
            if tag == DOUBT:
                continue
            if tag == GENERATION:
                current = self._generation(self.scopes(tenant, region), now, is_live)
            else:
                current = self._trusted(tag, now, is_live)
            if current is None:
                return None
            if current != token:
                return False
        return True

    def _generation(self, scopes: tuple[int, ...], now: float, is_live: bool) -> int | None:
        tokens = tuple(self._trusted(scope, now, is_live) for scope in scopes)
        return None if None in tokens else _mixed(tokens)

    async def renew(self, tags: Sequence[int], life_ms: int) -> None:
        """
        Give each tag a fresh token, here and in the tier.

        Raises:
            TierError: the tier did not take them all; here they are forgotten all the same.
        """
        self.forget(tags)
        if self._tier is None:
            return  # forgotten is renewed: the next use makes a fresh token
        try:
            await self._tier.renew_tags({tag: self._space.tag_key(tag) for tag in tags}, life_ms)
        finally:
            self.forget(tags)

    def forget(self, tags: Iterable[int]) -> bool:
        """
        Drop what the memo knows of *tags*, and of whatever is being read at this moment.

        Returns:
            Whether any of them was in the memo: only then can an entry here carry it.
        """
        with self.memo.lock:
            self.memo.forgotten += 1
            known = [self.memo.tokens.pop(tag, None) for tag in tags]
        return any(entry is not None for entry in known)

    def forget_all(self) -> None:
        """Drop the memo: messages may have been missed."""
        with self.memo.lock:
            self.memo.forgotten += 1
            if self._tier is not None:
                self.memo.tokens.clear()


@functools.lru_cache(maxsize=65_536)
def _mixed(tokens: tuple[int, ...]) -> int:
    """Remember the mix: a region's four tokens seldom change."""
    return mix(tokens)
