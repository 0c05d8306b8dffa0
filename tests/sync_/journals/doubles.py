# Generated from tests/async_/journals/doubles.py by tools/unasync.py. Do not edit.
"""
A store for the write-behind suites: rows in a dict under the version guard, faults on cue, what was applied in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tiercel._paired import Event
from tiercel.errors import StoreError
from tiercel.typing import DELETED, Change, Key, Outcome, Record

Row = tuple[str, Key]


class FaultyStore:
    """
    Rows by (tenant, key).

    ``refuses`` makes a row's outcome an error, ``raises`` makes the whole call fail before it changes anything,
    ``raises_after`` makes it fail once everything was applied, as when the answer is lost.
    """

    def __init__(self) -> None:
        self.rows: dict[Row, Record] = {}
        self.calls: list[list[Change]] = []
        self.applied: list[Change] = []
        self.refuses: Callable[[Change], bool] = lambda change: False
        self.raises: Callable[[Sequence[Change]], Exception | None] = lambda changes: None
        self.raises_after: Callable[[Sequence[Change]], Exception | None] = lambda changes: None
        self.is_down = False
        self.gate: Event | None = None
        self.entered = Event()

    def value(self, key: Key, tenant: str = "acme") -> object:
        """The stored value; None for no row."""
        row = self.rows.get((tenant, key))
        return None if row is None or row.value is DELETED else row.value

    def read(self, tenant: str, key: Key) -> Record | None:
        row = self.rows.get((tenant, key))
        return None if row is None or row.value is DELETED else row

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        return {key: self.rows[tenant, key] for key in keys if (tenant, key) in self.rows}

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        return (self.write_many([change], guard=guard))[0]

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        assert guard, "write-behind writes under the version guard"
        self.calls.append(list(changes))
        self.entered.set()
        if self.gate is not None:
            self.gate.wait()
        if self.is_down:
            raise StoreError("down")
        error = self.raises(changes)
        if error is not None:
            raise error
        outcomes = [self._apply(change) for change in changes]
        error = self.raises_after(changes)
        if error is not None:
            raise error
        return outcomes

    def _apply(self, change: Change) -> Outcome:
        if self.refuses(change):
            return Outcome(False, 0, StoreError("refused by a constraint"))
        stored = self.rows.get((change.tenant, change.key))
        if stored is not None and stored.version >= change.version:
            return Outcome(False, stored.version)
        self.rows[change.tenant, change.key] = Record(change.value, change.version)
        self.applied.append(change)
        return Outcome(True, change.version)

    def ping(self) -> None:
        if self.is_down:
            raise StoreError("down")

    def close(self) -> None:
        """Nothing to release."""
