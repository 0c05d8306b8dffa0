"""
How a batch of rows reaches PostgreSQL and settles versions there: the SQL that both layouts share.

A batch reaches the server as one JSON parameter, or for large ones by COPY into a temporary table; both look like a
relation ``batch(place, tenant, key, value, version, deleted)`` to the statements here. *Claiming* settles which rows
win and locks them by key, in key order; in a mapped table the winners are then *applied* by later statements, whose
snapshots see what the claim waited for. Keys travel as text and are cast to the key column's type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from tiercel._core.storerows import PreparedChange, RowWrite, StoredKey
from tiercel.typing import DELETED

__all__ = [
    "COPY_BATCH",
    "CREATE_BATCH",
    "FROM_COPY",
    "FROM_JSON",
    "IN_KEY_ORDER",
    "claim",
    "copy_block",
    "copy_rows",
    "counted_claim",
    "json_batch",
    "key_text",
    "on_conflict",
    "quote",
]

FROM_JSON: Final = (
    "jsonb_to_recordset(%(batch)s::jsonb)"
    " AS sent(place int, tenant text, key text, value jsonb, version bigint, deleted boolean)"
)
FROM_COPY: Final = "tiercel_batch AS sent"
IN_KEY_ORDER: Final = ' ORDER BY batch.tenant COLLATE "C", batch.key COLLATE "C"'
"""Rows are locked in one order by every batch, so that no two of them wait for each other."""
CREATE_BATCH: Final = (
    b'CREATE TEMP TABLE tiercel_batch (place int, tenant text COLLATE "C", key text COLLATE "C", value jsonb,'
    b" version bigint, deleted boolean) ON COMMIT DROP"
)
COPY_BATCH: Final = b"COPY tiercel_batch FROM STDIN"


def quote(*names: str) -> str:
    """Return *names* as one quoted SQL identifier."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def key_text(key: StoredKey) -> str:
    """Return *key* as text that casts to the key column's type."""
    return "\\x" + key.hex() if isinstance(key, bytes) else str(key)


def json_batch(rows: Sequence[RowWrite]) -> str:
    """Return *rows* as the parameter of `FROM_JSON`; their values are JSON text already."""
    return "[" + ",".join(_json_rows(rows)) + "]"


def _json_rows(rows: Sequence[RowWrite]) -> Iterator[str]:
    for row in rows:
        deleted = row.value is DELETED
        head = f'{{"place":{row.place},"tenant":{json.dumps(row.tenant)},"key":{json.dumps(key_text(row.key))},'
        value = "null" if deleted else row.value
        yield f'{head}"version":{row.version},"deleted":{"true" if deleted else "false"},"value":{value}}}'


def copy_block(changes: Sequence[PreparedChange]) -> bytes:
    """Return *changes* as lines of `COPY_BATCH`; the place of each is its position in the caller's batch."""
    lines = [f"{change.position}\t{line}" for change, line in zip(changes, _copy_lines(changes), strict=True)]
    return "".join(lines).encode()


def copy_rows(changes: Sequence[PreparedChange]) -> bytes:
    """Return *changes* as lines of a COPY into a table of the managed layout."""
    return "".join(_copy_lines(changes)).encode()


def _copy_lines(changes: Sequence[PreparedChange]) -> list[str]:
    lines = []
    tenants: dict[str, str] = {}
    for _, tenant, key, value, version in changes:
        shown = tenants.get(tenant) or tenants.setdefault(tenant, _copy_text(tenant))
        stored = _copy_text(key if type(key) is str else key_text(key))
        if value is DELETED:
            lines.append(f"{shown}\t{stored}\t\\N\t{version}\tt\n")
        else:
            # JSON text has no raw tabs or line ends: the backslash is the only character to escape.
            content = value.replace("\\", "\\\\")
            lines.append(f"{shown}\t{stored}\t{content}\t{version}\tf\n")
    return lines


def _copy_text(text: str) -> str:
    if text.isprintable() and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


KEEP_NOTE = (
    "INSERT INTO tiercel_outbox (payload, claimed_until)"
    " VALUES (%(note)s, clock_timestamp() + make_interval(secs => %(hold_s)s))"
)


def claim(upsert: str, source: str, *, noted: bool) -> bytes:
    """
    Return the statement that runs *upsert* from ``batch`` and yields what became other than asked.

    It yields ``(place, None)`` for a row that lost and ``(place, version)`` for one whose version became another
    than asked. With *noted* it keeps the parameter ``note`` too, held for ``hold_s`` seconds.
    """
    note = f", noted AS ({KEEP_NOTE})" if noted else ""
    return (
        f"WITH batch AS (SELECT * FROM {source}), written AS ({upsert} RETURNING tenant, key, version){note}"
        " SELECT batch.place, written.version FROM batch LEFT JOIN written USING (tenant, key)"
        " WHERE written.version IS DISTINCT FROM batch.version"
    ).encode()


def counted_claim(upsert: str, source: str) -> bytes:
    """Return the cheaper statement that only counts: where its row count is the batch's, every row won as asked."""
    return f"WITH batch AS (SELECT * FROM {source}) {upsert}".encode()


def on_conflict(target: str, *, guard: bool, with_value: bool) -> str:
    """Return the end of an upsert of versions whose table goes by the name ``stored``."""
    value = "value = excluded.value, " if with_value else ""
    if guard:
        version, condition = "excluded.version", " WHERE stored.version < excluded.version"
    else:
        version, condition = "GREATEST(stored.version + 1, excluded.version)", ""
    return f" ON CONFLICT ({target}) DO UPDATE SET {value}version = {version}, deleted = excluded.deleted{condition}"
