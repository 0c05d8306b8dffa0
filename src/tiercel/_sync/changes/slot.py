# Generated from src/tiercel/_async/changes/slot.py by tools/unasync.py. Do not edit.
"""
A replication slot and its publication: made where they are missing, watched, and given up before they fill the disk.

A slot keeps PostgreSQL's log until it is read, without bound unless ``max_slot_wal_keep_size`` says otherwise. So the
worker says what it finds: no bound, a slot that lags, one that was lost. What lies behind a lost slot cannot be read
any more; then a new one is made, and everything that is watched falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from tiercel._sync.changes.protocol import SourceFigures
from tiercel._core.changeoptions import ChangeSource, SlotFacts
from tiercel._core.pgoutput import parse_lsn
from tiercel._core.rowfall import RowRule
from tiercel._paired import sleep
from tiercel.errors import ConfigurationError, StoreError

__all__ = ["Slot", "slot_facts"]

_STATE: Final = """
SELECT plugin, database = current_database(), active_pid, wal_status, confirmed_flush_lsn::text,
       coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn), 0)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""
_TABLE: Final = """
SELECT CASE WHEN relation.relkind <> 'p' THEN relation.relreplident::text
            WHEN (SELECT bool_and(relreplident = 'f') FROM pg_class
                  WHERE oid IN (SELECT relid FROM pg_partition_tree(relation.oid) WHERE isleaf)) THEN 'f' ELSE 'd' END,
       array(SELECT attname::text FROM pg_attribute WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped),
       array(SELECT attribute.attname::text FROM pg_index JOIN pg_attribute attribute
             ON attribute.attrelid = indrelid AND attribute.attnum = ANY(indkey)
             WHERE indrelid = relation.oid
               AND CASE relation.relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident END)
FROM pg_class relation WHERE relation.oid = to_regclass(%s)
"""
_PUBLISHED: Final = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s"
_PUBLISHES: Final = """
SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE pubname = %s
"""
_CREATION_LIMIT: Final = "30s"
_TAKE_OVER_TRIES: Final = 100
_TAKE_OVER_PAUSE_S: Final = 0.05


class Slot:
    """
    Args:
        options: The source's.
        rules: What falls, by table.
        name: The slot's.
        publication: The publication's.
        figures: Gets what the server keeps, and cautions.
    """

    def __init__(
        self, options: ChangeSource, rules: Mapping[str, RowRule], name: str, publication: str, figures: SourceFigures
    ) -> None:
        self._options = options
        self._rules = rules
        self._name = name
        self._publication = publication
        self._figures = figures

    def streaming(self, start: str) -> bytes:
        """Return the command that streams from *start*."""
        settings = f"proto_version '1', publication_names '{self._publication}'"
        return f"START_REPLICATION SLOT {self._name} LOGICAL {start} ({settings})".encode()

    def prepare(self, control: Connection[Any], position: str) -> str:
        """
        Check tables, publication and slot, and make what is missing.

        Returns:
            Empty, or why changes may have been missed since *position*.

        Raises:
            ConfigurationError: Something has to be set that a worker must not set by itself.
        """
        self._check_server(control)
        self._check_tables(control)
        self._publish(control)
        return self._check_slot(control, position)

    def _check_server(self, control: Connection[Any]) -> None:
        row = _row(
            control, "SELECT current_setting('wal_level'), current_setting('max_slot_wal_keep_size', true)"
        )
        wal_level, keep = row or ("", None)
        if wal_level != "logical":
            raise self._wrong(f"wal_level is {wal_level}: set wal_level = logical and restart PostgreSQL")
        self._figures.cautions.pop("max_slot_wal_keep_size", None)
        if keep == "-1":
            self._figures.cautions["max_slot_wal_keep_size"] = (
                "a slot that nobody reads keeps the log without bound, until the disk is full: "
                "ALTER SYSTEM SET max_slot_wal_keep_size = '8GB'"
            )

    def _check_tables(self, control: Connection[Any]) -> None:
        """Say which tables do not show enough of a row as it was."""
        for table, rule in self._rules.items():
            found = _row(control, _TABLE, _identifier(table).as_string())
            if found is None:
                raise self._wrong(f"there is no table {table}")
            identity, columns, identifying = found
            unknown = rule.columns - set(columns)
            if unknown:
                raise self._wrong(f"table {table} has no column {', '.join(sorted(unknown))}")
            hidden = rule.columns - set(columns if identity == "f" else identifying)
            if hidden:
                raise self._wrong(
                    f"a change of table {table} does not show what {', '.join(sorted(hidden))} was before, so the"
                    f" old one would not fall: ALTER TABLE {table} REPLICA IDENTITY FULL"
                )

    def _publish(self, control: Connection[Any]) -> None:
        """Make the publication, or add what it lacks."""
        name = sql.Identifier(self._publication)
        found = _row(control, _PUBLISHES, self._publication)
        tables = [_identifier(table) for table in self._rules]
        if found is None:
            control.execute(
                sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)").format(
                    name, sql.SQL(", ").join(tables)
                )
            )
            return
        covers_all, publishes_all = found
        if not publishes_all:
            raise self._wrong(
                f"publication {self._publication} leaves changes out: ALTER PUBLICATION {self._publication}"
                " SET (publish = 'insert, update, delete, truncate')"
            )
        published = {
            name for row in _rows(control, _PUBLISHED, self._publication) for name in (row[1], ".".join(row))
        }
        for table in () if covers_all else self._rules:
            if table not in published:
                addition = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(name, _identifier(table))
                control.execute(addition)

    def _check_slot(self, control: Connection[Any], position: str) -> str:
        found = _row(control, _STATE, self._name)
        if found is None:
            self._create(control)
            return "the slot is new"
        plugin, is_here, _, status, confirmed, retained_bytes = found
        if plugin != "pgoutput" or not is_here:
            raise self._wrong(f"slot {self._name} belongs to another database or reader: name another with slot = …")
        if status == "lost":
            why = "the slot was lost: PostgreSQL threw away log that was not read"
        elif retained_bytes > self._options.max_lag_bytes:
            why = f"the slot kept {retained_bytes} bytes of log, more than max_lag_bytes"
        elif not position:
            return "nothing is known of how far the changes have fallen"
        elif parse_lsn(position) < parse_lsn(confirmed or "0/0"):
            return "Redis was rolled back behind what PostgreSQL was told"
        else:
            return ""
        self.take_over(control)
        control.execute("SELECT pg_drop_replication_slot(%s)", (self._name,))
        self._create(control)
        return why

    def _create(self, control: Connection[Any]) -> None:
        """Make the slot; that waits for transactions which are older."""
        control.execute(f"SET statement_timeout = '{_CREATION_LIMIT}'".encode())
        try:
            control.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (self._name,))
        except psycopg.errors.QueryCanceled as error:
            raise StoreError(
                f"changes {self._options.name!r}: slot {self._name} waits for a transaction that is older than"
                f" {_CREATION_LIMIT}; see pg_stat_activity"
            ) from error
        finally:
            control.execute("SET statement_timeout = 0")

    def take_over(self, control: Connection[Any]) -> None:
        """End whoever reads the slot, and wait until it is free."""
        for _ in range(_TAKE_OVER_TRIES):
            found = _row(control, _STATE, self._name)
            if found is None or found[2] is None:
                return
            control.execute("SELECT pg_terminate_backend(%s)", (found[2],))
            sleep(_TAKE_OVER_PAUSE_S)
        raise StoreError(f"changes {self._options.name!r}: slot {self._name} stays in use by another reader")

    def look(self, control: Connection[Any]) -> None:
        """Note how much log is kept for us; raise `StoreError` where the slot must be given up and made anew."""
        found = _row(control, _STATE, self._name)
        if found is None or found[3] == "lost":
            raise StoreError(f"changes {self._options.name!r}: slot {self._name} is gone")
        self._figures.retained_bytes = found[5]
        if found[5] > self._options.max_lag_bytes:
            raise StoreError(f"changes {self._options.name!r}: slot {self._name} keeps {found[5]} bytes of log")

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"changes {self._options.name!r}: {what}")


def slot_facts(url: str, name: str) -> SlotFacts:
    """
    Ask the database at *url* about the slot *name*, without reading it.

    Raises:
        StoreError: it does not answer.
    """
    try:
        with Connection.connect(url, autocommit=True, connect_timeout=5) as control:
            found = _row(control, _STATE, name)
            bound = _row(control, "SELECT current_setting('max_slot_wal_keep_size', true)")
    except psycopg.Error as error:
        raise StoreError(str(error), tier="store", operation="slot") from error
    keep = str(bound[0]) if bound and bound[0] is not None else ""
    if found is None:
        return SlotFacts(False, False, "", 0, keep)
    return SlotFacts(True, found[2] is not None, found[3] or "", found[5], keep)


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split(".", 1))


def _row(control: Connection[Any], query: str, *arguments: object) -> tuple[Any, ...] | None:
    cursor = control.execute(query.encode(), arguments)
    return cursor.fetchone()


def _rows(control: Connection[Any], query: str, *arguments: object) -> list[tuple[Any, ...]]:
    cursor = control.execute(query.encode(), arguments)
    return cursor.fetchall()
