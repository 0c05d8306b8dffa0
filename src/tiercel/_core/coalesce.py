"""
Coalescing: many writes of a key become one row, and nothing valid is thrown away with a bad one.

Entries of a key form a *slot*: its newest entry is the *candidate* that goes to the store, the older ones wait behind
it. Only when the store has the candidate are the older ones needless.

The race that the chain closes:

1. a valid write v1 and a later one v2 of the same key are taken together, v1 is dropped as superseded;
2. the store refuses v2 (it breaks a constraint) and v2 is parked as a dead letter;
3. the row is now without v1, which was acknowledged and valid.

Here `Slot.refuse` brings v1 back as the candidate. A deletion is an entry like any other: the last writer wins, and no
write moves across it, because versions grow along the chain and the store applies only newer ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from tiercel._core.journal import JournalEntry
from tiercel.typing import Change, Key

__all__ = ["Identity", "Slot", "coalesce"]

Identity: TypeAlias = tuple[str, Key]
"""What names a row: tenant and key."""


class Slot:
    """The waiting writes of one key, and how often the newest was tried."""

    __slots__ = ("_older", "candidate", "due_s", "identity", "tries")

    def __init__(self, identity: Identity, entry: JournalEntry) -> None:
        self.identity = identity
        self.candidate = entry
        """The newest write."""
        self._older: list[JournalEntry] | None = None
        self.tries = 0
        self.due_s = 0.0

    def __len__(self) -> int:
        return 1 if self._older is None else 1 + len(self._older)

    @property
    def change(self) -> Change:
        """What the store is asked to apply."""
        return self.candidate.change

    @property
    def entries(self) -> list[JournalEntry]:
        """Every write of the slot, oldest first."""
        return [self.candidate] if self._older is None else [*self._older, self.candidate]

    def add(self, entry: JournalEntry) -> None:
        """Put a write in its place; a new newest one starts with no tries and is due at once."""
        older = self._older = self._older or []
        if entry.change.version >= self.candidate.change.version:
            older.append(self.candidate)
            self.candidate = entry
            self.tries, self.due_s = 0, 0.0
        else:
            older.append(entry)
            older.sort(key=lambda waiting: waiting.change.version)

    def refuse(self) -> tuple[JournalEntry, bool]:
        """
        Give the candidate up.

        Returns:
            The refused write, and whether an older one is the candidate now.
        """
        refused = self.candidate
        if not self._older:
            return refused, False
        self.candidate = self._older.pop()
        self.tries, self.due_s = 0, 0.0
        return refused, True


def coalesce(entries: Iterable[JournalEntry], slots: dict[Identity, Slot]) -> None:
    """Add *entries* to *slots*, one slot a key."""
    for entry in entries:
        identity = entry.change[:2]
        slot = slots.get(identity)
        if slot is None:
            slots[identity] = Slot(identity, entry)
        else:
            slot.add(entry)
