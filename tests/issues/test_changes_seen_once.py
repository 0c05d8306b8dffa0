"""
What a strong read has seen, the eventual read after it sees too.

The strong read asked for the tag's token while another tag fell. What it got could not be kept then, and the memo went
on with the old token: the next eventual read took the old entry for good until the tag's own message came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercel._async.tagbook import AsyncTagBook
from tiercel._core.clock import ManualClock
from tiercel._core.keys import KeySpace

TAG, OTHER = 11, 12


class Tier:
    """Keeps tokens; while it is asked, something may happen."""

    def __init__(self) -> None:
        self.tokens = {TAG: 1, OTHER: 2}
        self.meanwhile: Any = lambda: None

    async def tag_tokens(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        found = {tag: self.tokens[tag] for tag in tags}
        self.meanwhile()
        return found


async def test_a_token_that_was_seen_to_be_another_is_not_trusted_again() -> None:
    tier: Any = Tier()
    book = AsyncTagBook(tier, KeySpace("test"), ManualClock(), 5.0, lambda: True)
    assert await book.tokens([TAG], 60_000) == {TAG: 1}
    tier.tokens[TAG] = 7
    tier.meanwhile = lambda: book.forget([OTHER])
    assert await book.tokens([TAG], 60_000, fresh=True) == {TAG: 7}
    tier.meanwhile = lambda: None
    assert await book.tokens([TAG], 60_000) == {TAG: 7}


async def test_that_it_was_here_is_not_forgotten_with_it() -> None:
    tier: Any = Tier()
    book = AsyncTagBook(tier, KeySpace("test"), ManualClock(), 5.0, lambda: True)
    await book.tokens([TAG], 60_000)
    tier.tokens[TAG] = 7
    tier.meanwhile = lambda: book.forget([OTHER])
    await book.tokens([TAG], 60_000, fresh=True)
    assert book.forget([TAG]), "entries of this process may carry it"
