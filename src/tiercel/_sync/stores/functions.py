# Generated from src/tiercel/_async/stores/functions.py by tools/unasync.py. Do not edit.
"""
The function store: a user's own functions, or an object with such methods, in the place of a database.

The functions know no versions, so that this store remembers them, for the rows that it wrote last, in memory: the guard
holds among the writers of one process and not across processes or restarts. A database has the guard that lasts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from tiercel._core.storerows import (
    NO_ROW,
    PreparedChange,
    RowWrite,
    StoredKey,
    encode_key,
    fold,
    prepare,
    readable,
    spread,
)
from tiercel._core.storeurl import KeyType
from tiercel._paired import Lock, call, gather
from tiercel.errors import ConfigurationError, NotFound
from tiercel.typing import DELETED, MISS, Change, Key, Outcome, Record

__all__ = ["FunctionStore"]

VERBS: Final = ("load", "load_many", "save", "save_many", "delete")
STRIPES: Final = 64
MOST_VERSIONS: Final = 100_000


class FunctionStore:
    """
    A store of a user's functions, plain or awaitable; any of them may be missing.

    Args:
        load: ``load(tenant, key)`` returns the value, or raises `NotFound` where there is no such record.
        load_many: ``load_many(tenant, keys)`` returns a mapping of the records that exist.
        save: ``save(tenant, key, value)``.
        save_many: ``save_many(tenant, values)`` with a mapping of key to value; used for two rows or more.
        delete: ``delete(tenant, key)``; harmless where there is no such record.

    A function's own exception on a read passes through; on a write it is the row's outcome. Writes of one row come one
    after the other. A verb without its function raises `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        load: Callable[..., Any] | None = None,
        load_many: Callable[..., Any] | None = None,
        save: Callable[..., Any] | None = None,
        save_many: Callable[..., Any] | None = None,
        delete: Callable[..., Any] | None = None,
    ) -> None:
        if not any((load, load_many, save, save_many, delete)):
            raise ConfigurationError(f"a function store needs at least one of {', '.join(VERBS)}")
        self._load, self._load_many = load, load_many
        self._save, self._save_many, self._delete = save, save_many, delete
        self._versions: OrderedDict[tuple[str, StoredKey], int] = OrderedDict()
        self._stripes = [Lock() for _ in range(STRIPES)]

    @classmethod
    def of(cls, source: object) -> FunctionStore:
        """Return the store of *source*, an object with any of the methods ``load load_many save save_many delete``."""
        return cls(**{verb: getattr(source, verb) for verb in VERBS if callable(getattr(source, verb, None))})

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the record, or None where there is none."""
        return (self.read_many(tenant, [key])).get(key)

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the records that exist, by one call of ``load_many`` where there is one and more than one key."""
        wanted = [key for key, _ in readable(keys, "tagged")]
        if self._load_many is not None and (len(wanted) > 1 or self._load is None):
            found = call(self._load_many, tenant, wanted)
            values = [found.get(key, MISS) for key in wanted]
        else:
            values = gather(*[self._load_one(tenant, key) for key in wanted])
        return {
            key: value if isinstance(value, Record) else Record(value, self._version_of(tenant, key))
            for key, value in zip(wanted, values, strict=True)
            if value is not MISS
        }

    def _load_one(self, tenant: str, key: Key) -> Any:
        if self._load is None:
            raise ConfigurationError("this function store has no load: it can only be written to")
        try:
            return call(self._load, tenant, key)
        except NotFound:
            return MISS

    def _version_of(self, tenant: str, key: Key) -> int:
        return self._versions.get((tenant, encode_key(key, "tagged")), 0)

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (self.write_many([change], guard=guard))[0]

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply *changes*, those of one tenant by one call of ``save_many`` where there is one."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        prepared = prepare(changes, _CODEC, outcomes)
        with ExitStack() as held:
            for stripe in sorted({hash((change.tenant, change.key)) % STRIPES for change in prepared}):
                held.enter_context(self._stripes[stripe])
            self._apply(prepared, outcomes, guard=guard)
        return [outcome for outcome in outcomes if outcome is not None]

    def _apply(self, changes: Sequence[PreparedChange], outcomes: list[Outcome | None], *, guard: bool) -> None:
        winners: list[tuple[RowWrite, int]] = []
        for row in fold(changes, guard=guard):
            stored = self._versions.get((row.tenant, row.key), NO_ROW)
            version = row.result(stored, guard=guard)
            if version is None:
                spread(outcomes, row, applied=False, version=stored)
            else:
                winners.append((row, version))
        refused = self._save_rows([row for row, _ in winners])
        again: set[int] = set()
        for row, version in winners:
            error = refused.get((row.tenant, row.key))
            if error is None:
                self._remember(row, version)
                spread(outcomes, row, applied=True, version=version)
            elif len(row.leading) + len(row.overtaken) == 1:
                outcomes[row.leading[0]] = Outcome(False, 0, error)
            else:
                again.update((*row.leading, *row.overtaken))
        # One by one: a good change must not fall with the bad one that came after it.
        for change in changes:
            if change.position in again:
                self._apply([change], outcomes, guard=guard)

    def _save_rows(self, rows: Sequence[RowWrite]) -> dict[tuple[str, StoredKey], Exception]:
        """Call the user's functions for *rows*; return what they raised, by row."""
        refused: dict[tuple[str, StoredKey], Exception] = {}
        kept: dict[str, list[RowWrite]] = {}
        for row in rows:
            if row.value.content is DELETED or self._save_many is None:
                self._save_one(row, refused)
            else:
                kept.setdefault(row.tenant, []).append(row)
        for tenant_rows in kept.values():
            self._save_together(_given(self._save_many, "save_many"), tenant_rows, refused)
        return refused

    def _save_one(self, row: RowWrite, refused: dict[tuple[str, StoredKey], Exception]) -> None:
        key, content = row.value
        try:
            if content is DELETED:
                call(_given(self._delete, "delete"), row.tenant, key)
            else:
                call(_given(self._save, "save"), row.tenant, key, content)
        except ConfigurationError:
            raise
        except Exception as error:
            refused[row.tenant, row.key] = error

    def _save_together(
        self,
        save_many: Callable[..., Any],
        rows: Sequence[RowWrite],
        refused: dict[tuple[str, StoredKey], Exception],
    ) -> None:
        """Save *rows* of one tenant by one call; where it fails, halve until the refused row stands alone."""
        if len(rows) == 1 and self._save is not None:
            self._save_one(rows[0], refused)
            return
        try:
            values = {row.value.key: row.value.content for row in rows}
            call(save_many, rows[0].tenant, values)
        except Exception as error:
            if len(rows) == 1:
                refused[rows[0].tenant, rows[0].key] = error
                return
            middle = len(rows) // 2
            self._save_together(save_many, rows[:middle], refused)
            self._save_together(save_many, rows[middle:], refused)

    def _remember(self, row: RowWrite, version: int) -> None:
        self._versions[row.tenant, row.key] = version
        self._versions.move_to_end((row.tenant, row.key))
        if len(self._versions) > MOST_VERSIONS:
            self._versions.popitem(last=False)

    def ping(self) -> None:
        """Do nothing: there is no connection of this store's own."""

    def close(self) -> None:
        """Do nothing: what the functions use is their owner's to close."""


class _Content(NamedTuple):
    """A value with its key as the user spelled it."""

    key: Key
    content: Any


class _Codec:
    """Spells keys for the version table and hands values on as they are."""

    key_type: KeyType = "tagged"

    def tenant_of(self, tenant: str) -> str:
        return tenant

    def encode(self, key: Key, value: Any) -> Any:
        return _Content(key, value)


_CODEC: Final = _Codec()


def _given(function: Callable[..., Any] | None, verb: str) -> Callable[..., Any]:
    if function is None:
        raise ConfigurationError(f"this function store has no {verb}")
    return function
