"""
What became of a backup's entries: how many came back, and why the others stayed out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class RestoreReport:
    """
    Counts of one restore.

    Attributes:
        restored: Entries put back; with ``is_dry_run``, that would have been.
        expired: Ended meanwhile.
        changed: Fell or were written since the backup.
        outdated: A tag of theirs was renewed, or its token is gone.
        erased: They, or what they were made from, were erased.
        occupied: The target has something of that name: it is newer, or may be.
        unprovable: Nobody can say whether they still hold; *gap* says why.
        taken_back: Fell while the restore went on, and were removed again.
        journal: Writes queued again.
        dead: Dead letters put back.
        journal_left: Writes and dead letters that stayed out.
        gap: What of the invalidation stream is lost.
        is_dry_run: Nothing was written.
        is_resumed: An interrupted restore was carried on; the counts are those of this run.
    """

    restored: int = 0
    expired: int = 0
    changed: int = 0
    outdated: int = 0
    erased: int = 0
    occupied: int = 0
    unprovable: int = 0
    taken_back: int = 0
    journal: int = 0
    dead: int = 0
    journal_left: int = 0
    gap: str = ""
    is_dry_run: bool = False
    is_resumed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)
