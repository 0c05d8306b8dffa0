# Generated from src/tiercel/_async/backupschedule.py by tools/unasync.py. Do not edit.
"""
The backup schedule: a backup every so often into a folder, the oldest removed, by one of however many processes run it.

Whose turn it is says a key in Redis that lives for one interval: the first to set it makes the backup. Files are named
by their time, so that the newest sorts last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiercel._sync.recovery import Recovery
from tiercel._backups.writer import PART
from tiercel._core.backupscope import Scope
from tiercel._paired import Event, Job, run_blocking, spawn
from tiercel.errors import CacheError

SUFFIX = ".tcb"
PAUSE_S = 30.0
"""Longest pause between two looks at whose turn it is."""

Tell = Callable[[str, dict[str, Any]], None]


class BackupSchedule:
    """
    Args:
        recovery: Makes the backups.
        folder: Where they go.
        scope: What they cover.
        every_s: Seconds from one to the next.
        keep: How many are kept.
        tell: Told ``backed_up`` with the report, and ``backup_failed`` with why.
    """

    def __init__(
        self, recovery: Recovery, folder: Path, scope: Scope, *, every_s: float, keep: int, tell: Tell
    ) -> None:
        self._recovery = recovery
        self._folder = folder
        self._scope = scope
        self._every_s = every_s
        self._keep = keep
        self._tell = tell
        self._stopping = Event()
        self._job: Job | None = None

    def start(self) -> None:
        """Make backups in the background."""
        self._job = spawn("tiercel-backups", self._run)

    def close(self, deadline_s: float = 60.0) -> None:
        """Stop; a backup in progress is finished within *deadline_s*, or carried on by the next turn."""
        self._stopping.set()
        if self._job is not None:
            self._job.join(deadline_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn()
            except CacheError as error:
                self._tell("backup_failed", {"why": str(error)})
            self._stopping.wait_for(min(PAUSE_S, self._every_s / 4))

    def turn(self) -> dict[str, Any] | None:
        """Make a backup if it is this process's turn, and return its report; None where it is not."""
        unfinished = run_blocking(self._unfinished)
        if unfinished is None and not self._recovery.claim_turn(self._every_s):
            return None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = unfinished or self._folder / f"{self._recovery.namespace}-{stamp}{SUFFIX}"
        report = self._recovery.backup(path, self._scope)
        removed = run_blocking(self._prune)
        self._tell("backed_up", {**report, "removed": removed})
        return report

    def _unfinished(self) -> Path | None:
        parts = sorted(self._folder.glob(f"{self._recovery.namespace}-*{SUFFIX}{PART}"))
        return parts[0].with_name(parts[0].name.removesuffix(PART)) if parts else None

    def _prune(self) -> int:
        """Remove all but the newest *keep*; return how many that was."""
        old = sorted(self._folder.glob(f"{self._recovery.namespace}-*{SUFFIX}"))[: -self._keep]
        for path in old:
            path.unlink()
        return len(old)
