"""
The journals of a matrix, as an operator sees them: what waits, the dead letters, and what to do with those.

Journals are opened where the application keeps them, for the length of one question, so that the service may run beside
it. A journal in memory is seen by its own process alone: it has no dead letters here. Values are never shown.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from tiercel._async.journals.places import AsyncJournalPlaces, journal_options
from tiercel._async.journals.protocol import AsyncJournal
from tiercel._core.clock import SystemClock
from tiercel._core.journal import DeadLetter
from tiercel.errors import ConfigurationError, StoreError, TierError
from tiercel.matrix import Matrix

__all__ = ["DeadLetterView", "JournalView", "Journals"]

MOST_LETTERS: Final = 200


class DeadLetterView(msgspec.Struct, frozen=True, kw_only=True):
    """One write that the store refused for good."""

    id: str
    tenant: str
    key: str
    version: int
    reason: str
    accepted_s: float
    parked_s: float


class JournalView(msgspec.Struct, frozen=True, kw_only=True):
    """One region's journal; ``problem`` says why the figures are missing, where they are."""

    region: str
    kind: str
    durability: str
    waiting: int = 0
    waiting_bytes: int = 0
    lag_s: float = 0.0
    dead: int = 0
    problem: str = ""


class Journals:
    """
    The journals of one matrix.

    Args:
        matrix: With the stores and journals of the application.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix

    async def all(self) -> list[JournalView]:
        """Return every journal; one that cannot be reached says so and hides no other."""
        places = AsyncJournalPlaces(self._matrix, clock=SystemClock())
        return [await self._view(region) for region in places.regions()]

    async def dead_letters(self, region: str, after: str = "") -> list[DeadLetterView]:
        """Return up to 200 dead letters behind the id *after*."""
        async with self._opened(region) as journal:
            return [_letter(letter) for letter in await journal.dead_letters(MOST_LETTERS, after)]

    async def retry(self, region: str, ids: Sequence[str]) -> int:
        """Queue dead letters again and return how many there were; a newer write of the same key still wins."""
        async with self._opened(region) as journal:
            return await journal.retry(_named(ids))

    async def drop(self, region: str, ids: Sequence[str]) -> int:
        """Throw dead letters away and return how many there were: those writes are lost."""
        async with self._opened(region) as journal:
            return await journal.drop(_named(ids))

    async def _view(self, region: str) -> JournalView:
        options = journal_options(self._matrix, region)
        blank = JournalView(region=region, kind=options.kind, durability=options.durability)
        try:
            async with self._opened(region) as journal:
                size = await journal.size()
        except (ConfigurationError, StoreError, TierError) as error:
            return msgspec.structs.replace(blank, problem=str(error))
        lag_s = 0.0 if size.oldest_s is None else max(0.0, time.time() - size.oldest_s)
        return msgspec.structs.replace(
            blank, waiting=size.rows, waiting_bytes=size.size_bytes, lag_s=lag_s, dead=size.dead
        )

    @asynccontextmanager
    async def _opened(self, region: str) -> AsyncIterator[AsyncJournal]:
        if journal_options(self._matrix, region).kind == "memory":
            raise ConfigurationError(f"region {region!r}: a memory journal is seen by its own process alone")
        places = AsyncJournalPlaces(self._matrix, clock=SystemClock())
        try:
            journal = await places.journal(region)
            try:
                await journal.open()
                yield journal
            finally:
                await journal.aclose()
        finally:
            await places.aclose()


def _named(ids: Sequence[str]) -> list[str]:
    if not ids:
        raise ConfigurationError("ids is empty: name the dead letters")
    return list(ids)


def _letter(letter: DeadLetter) -> DeadLetterView:
    change = letter.entry.change
    return DeadLetterView(
        id=letter.id,
        tenant=change.tenant,
        key=change.key if isinstance(change.key, str) else change.key.hex(),
        version=change.version,
        reason=letter.reason,
        accepted_s=letter.entry.accepted_s,
        parked_s=letter.parked_s,
    )
