"""
What a batch of changes asks of each row: the arithmetic that every store shares.

A store turns each `Change` into a `PreparedChange` (key and value spelled as the database wants them), folds those of
one row into one `RowWrite`, sends the row writes in bulk, and spreads the answers over the changes again.

Versions: guarded, the highest version of a row wins and applies where it is newer than the stored one. Unguarded, the
last value stays and the row's version becomes ``max(stored + 1, versions…)``: several changes are one write.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from tiercel._core.storeurl import KeyType
from tiercel.errors import CacheError, EncodeError, KeyRefused
from tiercel.typing import Change, Key, Outcome

__all__ = [
    "MAX_VERSION",
    "NO_ROW",
    "SHARED_TENANT",
    "KeyMismatch",
    "PreparedChange",
    "RowCodec",
    "RowWrite",
    "StoredKey",
    "are_distinct",
    "check_fields",
    "encode_key",
    "fold",
    "in_key_order",
    "prepare",
    "readable",
    "spread",
]

MAX_VERSION: Final = 2**63 - 1
StoredKey: TypeAlias = str | bytes | int
SHARED_TENANT: Final = ""
"""The tenant under which versions are kept where a table has no tenant column."""
NO_ROW: Final = -1
"""The stored version of a row that is not there: even version 0 is newer."""


class KeyMismatch(KeyRefused):
    """The key is no value of the key column's type: no row can have it."""


class PreparedChange(NamedTuple):
    """One change as the database wants it; ``position`` is its place in the caller's batch."""

    position: int
    tenant: str
    key: StoredKey
    value: Any
    version: int


class RowCodec(Protocol):
    """How one table spells keys, tenants and values."""

    @property
    def key_type(self) -> KeyType:
        """How keys are spelled."""

    def tenant_of(self, tenant: str) -> str:
        """Return the tenant under which rows of *tenant* are kept."""

    def encode(self, key: Key, value: Any) -> Any:
        """Return *value* as the table holds it (`DELETED` as it is); raises `EncodeError`."""


class RowWrite(NamedTuple):
    """
    All changes of one row, folded into one.

    Args:
        tenant: The row's tenant.
        key: The row's key, as the database holds it.
        value: The value that is left in the end, or `DELETED`.
        version: Guarded: the version to win with. Unguarded: the least version to end with, at least 1.
        leading: Positions of the changes that count as applied where the row write is.
        overtaken: Positions of the changes that an earlier one of the batch made too old.
    """

    tenant: str
    key: StoredKey
    value: Any
    version: int
    leading: tuple[int, ...]
    overtaken: tuple[int, ...]

    @property
    def place(self) -> int:
        """Position of the change whose value is written."""
        return self.leading[-1]

    @property
    def superseded(self) -> tuple[int, ...]:
        """Positions of the changes whose values are not written."""
        return (*self.leading[:-1], *self.overtaken)

    def result(self, stored: int, *, guard: bool) -> int | None:
        """Return the row's new version where *stored* is its present one (`NO_ROW` for none), or None to leave it."""
        if guard:
            return self.version if self.version > stored else None
        return max(stored + 1, self.version)


def encode_key(key: Key, key_type: KeyType) -> StoredKey:
    """
    Return *key* as a column of *key_type* holds it; two keys never share a spelling.

    Raises:
        KeyRefused: It is neither str nor bytes, or text that no database stores (NUL, lone surrogates).
        KeyMismatch: It is no value of that type, or not in its canonical spelling.
    """
    if isinstance(key, bytes):
        if key_type == "bytes":
            return key
        if key_type == "tagged":
            return "\\x" + key.hex()
        raise KeyMismatch(f"the store's key column holds {key_type}, not bytes", key=key)
    if not isinstance(key, str):
        raise KeyRefused(f"a store's key must be str or bytes, not {type(key).__name__}")
    check_text(key, "key")
    if key_type == "tagged":
        return "\\" + key if key.startswith("\\") else key
    return key if key_type == "text" else _typed_key(key, key_type)


def _typed_key(key: str, key_type: KeyType) -> StoredKey:
    if key_type == "integer" and key.removeprefix("-").isdecimal() and len(key) <= 20:
        number = int(key)
        if str(number) == key and -MAX_VERSION <= number <= MAX_VERSION:
            return number
    if key_type == "uuid" and len(key) == 36 and _is_uuid(key):
        return key
    if key_type == "objectid" and len(key) == 24 and set(key) <= set("0123456789abcdef"):
        return key
    raise KeyMismatch(f"the store's key column holds {key_type}: the key is not one, canonically spelled", key=key)


def _is_uuid(key: str) -> bool:
    try:
        return str(uuid.UUID(key)) == key
    except ValueError:
        return False


def check_text(text: str, noun: str) -> None:
    """Raise `KeyRefused` where *text* holds a NUL or a lone surrogate."""
    if "\0" in text:
        raise KeyRefused(f"a {noun} with a NUL character cannot be stored", key=text)
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise KeyRefused(f"a {noun} with a lone surrogate cannot be stored: {error.reason}") from None


def check_version(version: int) -> None:
    """Raise `EncodeError` where *version* does not fit 63 bits."""
    if not 0 <= version <= MAX_VERSION:
        raise EncodeError(f"version {version} must lie in [0, 2**63)")


def readable(keys: Iterable[Key], key_type: KeyType) -> list[tuple[Key, StoredKey]]:
    """Return each different key with its stored spelling, without those that no row can have; raises `KeyRefused`."""
    wanted: list[tuple[Key, StoredKey]] = []
    for key in dict.fromkeys(keys):
        with contextlib.suppress(KeyMismatch):
            wanted.append((key, encode_key(key, key_type)))
    return wanted


def prepare(
    changes: Sequence[Change],
    codec: RowCodec,
    outcomes: list[Outcome | None],
    places: Iterable[int] | None = None,
) -> list[PreparedChange]:
    """Return the changes at *places* (all) that can be sent, in that order; note in *outcomes* why others cannot."""
    prepared = []
    key_type, encode = codec.key_type, codec.encode
    tenants: dict[str, str] = {}
    for position in range(len(changes)) if places is None else places:
        tenant, key, value, version = changes[position]
        try:
            stored_tenant = tenants.get(tenant)
            if stored_tenant is None:
                check_text(tenant, "tenant")
                stored_tenant = tenants[tenant] = codec.tenant_of(tenant)
            check_version(version)
            stored = PreparedChange(position, stored_tenant, encode_key(key, key_type), encode(key, value), version)
        except CacheError as error:
            outcomes[position] = Outcome(False, 0, error)
        else:
            prepared.append(stored)
    return prepared


def in_key_order(changes: Sequence[Change]) -> Sequence[int] | None:
    """Return the places of *changes* ordered by tenant and key, or None where two share a row, or bytes are keys."""
    rows = [change[:2] for change in changes]
    if len(set(rows)) < len(rows) or not all(type(key) is str for _, key in rows):
        return None
    return sorted(range(len(rows)), key=rows.__getitem__)


def are_distinct(changes: Sequence[PreparedChange]) -> bool:
    """Say whether no two of *changes* meet in one row, so that there is nothing to fold."""
    return len({change[1:3] for change in changes}) == len(changes)


def check_fields(value: Any, fields: Sequence[str], key_column: str, key: Key) -> None:
    """Raise `EncodeError` unless *value* is a dict of *fields* whose key field, if it has one, names *key*."""
    if not isinstance(value, Mapping):
        raise EncodeError(f"a mapped row's value must be a dict of its columns, not {type(value).__name__}")
    unknown = [name for name in value if name not in fields and name != key_column]
    if unknown:
        raise EncodeError(f"the value has a field {unknown[0]!r}; the columns are {', '.join(fields)}")
    own_key = value.get(key_column, key)
    if own_key != key and str(own_key) != key:
        raise EncodeError(f"the value's {key_column!r} names another row than the key", key=key)


def fold(changes: Iterable[PreparedChange], *, guard: bool) -> list[RowWrite]:
    """Return one row write for each row, ordered by tenant and key, so that concurrent batches lock in one order."""
    alone: dict[tuple[str, StoredKey], PreparedChange] = {}
    several: dict[tuple[str, StoredKey], list[PreparedChange]] = {}
    for change in changes:
        row = (change.tenant, change.key)
        first = alone.setdefault(row, change)
        if first is not change:
            several.setdefault(row, [first]).append(change)
    fold_row = _fold_guarded if guard else _fold_unguarded
    return [
        fold_row(several[row]) if row in several else _only(change, guard=guard)
        for row, change in sorted(alone.items())
    ]


def _only(change: PreparedChange, *, guard: bool) -> RowWrite:
    position, tenant, key, value, version = change
    return RowWrite(tenant, key, value, version if guard else max(1, version), (position,), ())


def _fold_guarded(changes: Sequence[PreparedChange]) -> RowWrite:
    leading: list[int] = []
    overtaken: list[int] = []
    winner = changes[0]
    for change in changes:
        if change is winner or change.version > winner.version:
            winner = change
            leading.append(change.position)
        else:
            overtaken.append(change.position)
    return RowWrite(winner.tenant, winner.key, winner.value, winner.version, tuple(leading), tuple(overtaken))


def _fold_unguarded(changes: Sequence[PreparedChange]) -> RowWrite:
    last = changes[-1]
    version = max(1, *(change.version for change in changes))
    return RowWrite(last.tenant, last.key, last.value, version, tuple(change.position for change in changes), ())


def spread(outcomes: list[Outcome | None], row: RowWrite, *, applied: bool, version: int) -> None:
    """Note in *outcomes* what became of the changes that *row* was folded from."""
    for position in row.leading:
        outcomes[position] = Outcome(applied, version)
    for position in row.overtaken:
        outcomes[position] = Outcome(False, version)
