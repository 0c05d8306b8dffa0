"""
The live policy as an operator sees and changes it.

A change is checked by the whole matrix, stores included, also where the service runs beside the application without
them. What guard rails did by themselves, on whatever node, is put into the audit log when it is first seen here.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from tiercel._async.cache import AsyncCache
from tiercel._async.policybook import AsyncPolicyBook
from tiercel._async.policystore import AsyncFilePolicyStore, policy_file
from tiercel._core.clock import SystemClock
from tiercel._core.policy import Draft, Entry, Policy, PolicyDocument, Switch
from tiercel._core.policyfields import read_fields
from tiercel._core.policyguard import Guard
from tiercel._core.policynotes import NodeNote
from tiercel._core.policyplan import planned
from tiercel.errors import StoreError, TierError
from tiercel.matrix import Matrix
from tiercel.options import RegionOptions
from tiercel.service.audit import AuditLog, AuditRecord

__all__ = ["Policies", "PolicyChange", "PolicyRequest", "PolicyView", "PromoteRequest", "RollbackRequest", "TrialView"]

BY_GUARD: Final = "guard rails"
Setting: TypeAlias = str | float | bool


class PolicyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A change that is asked for.

    Attributes:
        regions: New settings by region, spelled as in a matrix file: ``{"product": {"ttl": "10m"}}``; ``"default"`` for
            the file's own.
        off: Layers to switch off.
        on: Switches to take away.
        share: Part of the nodes that try it first, (0, 1].
        guard: Guard rails, by which those nodes roll it back.
        promote_after_s: Put it in force everywhere by itself after so long without a breach.
        reason: Why.
        dry_run: Only say what would change; that is the default.
    """

    regions: dict[str, dict[str, Setting]] = {}
    off: list[Switch] = []
    on: list[Switch] = []
    share: float = 1.0
    guard: Guard | None = None
    promote_after_s: float | None = None
    reason: str = ""
    dry_run: bool = True


class PromoteRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why what is on trial is to be in force everywhere."""

    reason: str = ""


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to go back to: a version of the history, 0 for the matrix file, None for before the last change."""

    to: int | None = None
    reason: str = ""
    dry_run: bool = True


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed, or would be."""

    dry_run: bool
    version: int
    action: str
    changes: list[str]
    is_on_trial: bool


class TrialView(msgspec.Struct, frozen=True, kw_only=True):
    """The change on trial; ``nodes`` are those that try it, and what their guard rails say."""

    version: int
    changes: list[str]
    share: float
    guard: Guard | None
    promote_after_s: float | None
    started_s: float
    by: str
    reason: str
    nodes: dict[str, str]


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is in force, what is on trial, who follows which version, and the history, newest first.

    Where the policy cannot be reached, *problem* says why, and the rest is as it was last known.
    """

    version: int
    regions: dict[str, dict[str, Any]]
    switches: list[Switch]
    trial: TrialView | None
    nodes: list[NodeNote]
    history: list[Entry]
    problem: str = ""


class Policies:
    """
    The live policy of one cache.

    Args:
        cache: A started cache.
        matrix: The application's matrix, where that differs from the cache's.
        audit: Gets what guard rails did.
    """

    def __init__(self, cache: AsyncCache, matrix: Matrix, audit: AuditLog) -> None:
        self._cache = cache
        self._regions = matrix.regions
        self._audit = audit
        self._noted: int | None = None
        self._noting = threading.Lock()
        self._document: PolicyDocument = cache.policy.document
        is_beside = matrix.cache.redis is None and matrix.cache.state_dir != cache.matrix.cache.state_dir
        path = policy_file(Path(matrix.cache.state_dir), matrix.cache.namespace)
        self._book = AsyncPolicyBook(AsyncFilePolicyStore(path), SystemClock()) if is_beside else cache.policy.book

    async def change(self, asked: PolicyRequest, by: str) -> PolicyChange:
        """Carry a change out, or say what it would do; raises ConfigurationError for one that may not be."""
        draft = Draft(
            regions={name: read_fields(table, name) for name, table in asked.regions.items()},
            off=tuple(asked.off),
            on=tuple(asked.on),
            share=asked.share,
            guard=asked.guard,
            promote_after_s=asked.promote_after_s,
        )
        rows = self.rows()
        document = await self._book.propose(draft, rows, by=by, reason=asked.reason, dry_run=asked.dry_run)
        return self._changed(document, asked.dry_run)

    def rows(self) -> dict[str, RegionOptions]:
        """Return the matrix file's rows; where the application runs here, with the stores that it was given in code."""
        given = self._cache.policy.rows()
        return {name: row if row.store else given.get(name, row) for name, row in self._regions.items()}

    async def promote(self, asked: PromoteRequest, by: str) -> PolicyChange:
        """Put what is on trial in force everywhere."""
        return self._changed(await self._book.promote(by=by, reason=asked.reason), False)

    async def roll_back(self, asked: RollbackRequest, by: str) -> PolicyChange:
        """Go back."""
        document = await self._book.roll_back(by=by, reason=asked.reason, to=asked.to, dry_run=asked.dry_run)
        return self._changed(document, asked.dry_run)

    def _changed(self, document: PolicyDocument, dry_run: bool) -> PolicyChange:
        entry = document.history[-1]
        return PolicyChange(
            dry_run=dry_run,
            version=entry.version,
            action=entry.action,
            changes=list(entry.changes),
            is_on_trial=document.trial is not None,
        )

    async def document(self) -> PolicyDocument:
        """Return the policy as stored; as it was last known here where it cannot be reached."""
        with contextlib.suppress(TierError, StoreError):
            self._document = await self._book.read()
        return max(self._document, self._cache.policy.document, key=lambda one: one.version)

    async def view(self) -> PolicyView:
        """Return everything about the policy; as it was last known here, and why, where it cannot be reached."""
        document, nodes, problem = await self.document(), [], ""
        try:
            nodes = await self._book.nodes()
        except (TierError, StoreError) as error:
            problem = str(error)
        return PolicyView(
            version=document.version,
            regions=document.stable.regions,
            switches=list(document.stable.switches),
            trial=_trial(document, nodes),
            nodes=nodes,
            history=list(reversed(document.history)),
            problem=problem,
        )

    async def in_force(self) -> dict[str, RegionOptions]:
        """Return every region's row as it is in force everywhere."""
        policy: Policy = (await self.document()).stable
        return {name: planned(options, policy)[0].options for name, options in self._regions.items()}

    def note_automatic(self) -> None:
        """Put into the audit log what guard rails did since it was last looked at; blocking, safe on any thread."""
        document = max(self._document, self._cache.policy.document, key=lambda one: one.version)
        with self._noting:
            if self._noted is None:
                known = {record.id for record in self._audit.newest()}
            elif self._noted < document.version:
                known = set()
            else:
                return
            for entry in document.history:
                if entry.version > (self._noted or 0) and entry.by.startswith(BY_GUARD) and _id(entry) not in known:
                    self._audit.write(_record(entry))
            self._noted = document.version


def _id(entry: Entry) -> str:
    return f"policy-{entry.version}-{int(entry.at_s)}"


def _record(entry: Entry) -> AuditRecord:
    return AuditRecord(
        at_s=entry.at_s,
        id=_id(entry),
        user=entry.by,
        role="",
        address="",
        action="policy rolled back" if entry.action == "guard" else "policy promoted",
        target="; ".join(entry.changes),
        outcome=f"done: {entry.reason}",
    )


def _trial(document: PolicyDocument, nodes: list[NodeNote]) -> TrialView | None:
    trial = document.trial
    if trial is None:
        return None
    began = next((entry for entry in document.history if entry.version == trial.version), None)
    return TrialView(
        version=trial.version,
        changes=[] if began is None else list(began.changes),
        share=trial.share,
        guard=trial.guard,
        promote_after_s=trial.promote_after_s,
        started_s=trial.started_s,
        by=trial.by,
        reason=trial.reason,
        nodes={note.node: note.verdict or "no guard rails" for note in nodes if note.is_on_trial},
    )
