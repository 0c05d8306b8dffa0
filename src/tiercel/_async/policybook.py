"""
The book of the live policy: reads it, and carries out changes so that of two at once one wins and the other is told.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from tiercel._async.policystore import AsyncPolicyStore
from tiercel._core.policy import Draft, PolicyDocument, Stamp, promoted, proposed, rolled_back
from tiercel._core.policyfields import check_draft, check_policy
from tiercel._core.policynotes import NodeNote, unpack_notes
from tiercel.errors import StoreConflict, TierError
from tiercel.options import RegionOptions
from tiercel.typing import Clock

__all__ = ["AsyncPolicyBook"]

TRIES: Final = 5


class AsyncPolicyBook:
    """
    Args:
        store: Where the policy is kept.
        clock: Source of time.
        announce: Told each document that was stored, so that nodes hear of it.
    """

    def __init__(
        self, store: AsyncPolicyStore, clock: Clock, announce: Callable[[PolicyDocument], None] = lambda _: None
    ) -> None:
        self.store = store
        self._clock = clock
        self._announce = announce

    async def read(self) -> PolicyDocument:
        """Return the policy as stored."""
        return await self.store.read()

    async def propose(
        self,
        draft: Draft,
        regions: Mapping[str, RegionOptions],
        *,
        by: str,
        reason: str = "",
        dry_run: bool = False,
    ) -> PolicyDocument:
        """
        Put a change in force, or on trial where it asks for that.

        Args:
            draft: What is to change.
            regions: The matrix that it must fit.
            by: Who asks.
            reason: Why.
            dry_run: Return what would be stored, and store nothing.

        Raises:
            ConfigurationError: it does not fit, contradicts what is in force, or another change is on trial.
            StoreConflict: others change the policy all the time.
        """
        check_draft(draft, regions)

        def change(document: PolicyDocument, stamp: Stamp) -> PolicyDocument:
            after = proposed(document, draft, stamp)
            for policy in after.policies():
                check_policy(policy, regions)
            return after

        return await self._carry_out(change, by, reason, dry_run=dry_run)

    async def promote(self, *, by: str, reason: str = "", only: int | None = None) -> PolicyDocument:
        """Put the change on trial in force everywhere; with *only*, the trial that this version began, or nothing."""

        def change(document: PolicyDocument, stamp: Stamp) -> PolicyDocument:
            return document if _is_other(document, only) else promoted(document, stamp)

        return await self._carry_out(change, by, reason)

    async def roll_back(
        self, *, by: str, reason: str = "", to: int | None = None, only: int | None = None, dry_run: bool = False
    ) -> PolicyDocument:
        """
        Undo the trial, or else the last change; or go back to version *to*, 0 for the matrix file alone.

        Args:
            by: Who asks.
            reason: Why.
            to: A version of the history.
            only: The trial that this version began, or nothing: how guard rails ask.
            dry_run: Store nothing.
        """

        def change(document: PolicyDocument, stamp: Stamp) -> PolicyDocument:
            if _is_other(document, only):
                return document
            return rolled_back(document, stamp, to, by_guard=only is not None)

        return await self._carry_out(change, by, reason, dry_run=dry_run)

    async def nodes(self) -> list[NodeNote]:
        """Return what each living node says; what is left of dead ones is removed."""
        living, gone = unpack_notes(await self.store.notes(), self._clock.wall())
        await self.store.drop_notes(gone)
        return living

    async def _carry_out(
        self, change: Callable[[PolicyDocument, Stamp], PolicyDocument], by: str, reason: str, *, dry_run: bool = False
    ) -> PolicyDocument:
        stamp = Stamp(by=by, at_s=self._clock.wall(), token=secrets.token_hex(8), reason=reason)
        for _ in range(TRIES):
            before = await self.store.read()
            after = change(before, stamp)
            if after is before or dry_run:
                return after
            if await self._swapped(before.version, after):
                self._announce(after)
                return after
        raise StoreConflict("the policy was changed by others each time that it was to be changed here: try again")

    async def _swapped(self, expected: int, after: PolicyDocument) -> bool:
        """Store *after*; where the answer was lost, look whether it was taken."""
        try:
            return await self.store.swap(expected, after)
        except TierError:
            if (await self.store.read()).token == after.token:
                return True
            raise


def _is_other(document: PolicyDocument, only: int | None) -> bool:
    return only is not None and (document.trial is None or document.trial.version != only)
