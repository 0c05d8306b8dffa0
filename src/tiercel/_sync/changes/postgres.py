# Generated from src/tiercel/_async/changes/postgres.py by tools/unasync.py. Do not edit.
"""
PostgreSQL as a source of changes: a logical replication slot, streamed through ``pgoutput``.

The server pushes each transaction as soon as it has committed, and keeps its log until the position is confirmed. Two
connections: one streams, the other asks and sets up. A slot has one reader; whoever holds the source's lease ends the
one before, which may be frozen with the slot in its hands.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from tiercel._sync.changes.protocol import SourceFigures, Stretch
from tiercel._sync.changes.slot import Slot
from tiercel._core.changeoptions import ChangeSource
from tiercel._core.fallout import Fallout
from tiercel._core.pgoutput import (
    Begin,
    Commit,
    KeepAlive,
    LogPiece,
    Relation,
    RowChanged,
    Truncated,
    decode_copy,
    decode_message,
    format_lsn,
    parse_lsn,
    status_update,
)
from tiercel._core.rowfall import RowRule, UnknownColumn
from tiercel._walstream import next_frame, ready_frame, send_frame, start_streaming
from tiercel.errors import DecodeError, StoreError

__all__ = ["PostgresChanges"]

_MOST_FRAMES: Final = 1100
"""Frames read before the follower gets its turn: the lease is kept while a long transaction arrives."""
_PULSE_S: Final = 1.0
_SILENCE_S: Final = 15.0
_LOOK_S: Final = 5.0
_INTERVAL_S: Final = 0.05


class PostgresChanges:
    """
    Args:
        options: The source's.
        url: Its address.
        rules: What falls, by ``schema.table`` or ``table``.
        slot: Name of the slot and, unless the options name another, of the publication.
    """

    def __init__(self, options: ChangeSource, url: str, rules: Mapping[str, RowRule], slot: str) -> None:
        self.figures = SourceFigures()
        self._options = options
        self._url = url
        self._rules = rules
        self._slot = Slot(options, rules, slot, options.publication or slot, self.figures)
        self._stream: Connection[Any] | None = None
        self._control: Connection[Any] | None = None
        self._relations: dict[int, Relation] = {}
        self._rule_of: dict[int, RowRule] = {}
        self._committed_at_s = 0.0
        self._in_transaction = False
        self._confirmed = 0
        self._heard_at_s = self._pulsed_at_s = self._looked_at_s = 0.0

    def open(self, position: str) -> str:
        """Connect both ways, set up what is missing, end a former reader, and stream from *position*."""
        with self._errors("open"):
            self._control = Connection.connect(self._url, autocommit=True, connect_timeout=10)
            why = self._slot.prepare(self._control, position)
            start = 0 if why else parse_lsn(position)
            address = make_conninfo(self._url, replication="database", connect_timeout=10)
            self._stream = Connection.connect(address, autocommit=True)
            self._slot.take_over(self._control)
            command = self._slot.streaming(format_lsn(start))
            self._stream.wait(start_streaming(self._stream.pgconn, command), _INTERVAL_S)
        self._relations.clear()
        self._rule_of.clear()
        self._in_transaction, self._confirmed = False, start
        self._heard_at_s = self._pulsed_at_s = self._looked_at_s = time.monotonic()
        return why

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        """Turn the driver's errors into a store's."""
        try:
            yield
        except (psycopg.Error, DecodeError) as error:
            raise StoreError(f"changes {self._options.name!r}: {error}", tier="store", operation=operation) from error

    def receive(self, fallout: Fallout, wait_s: float) -> Stretch:
        """Read what is there, up to the end of a transaction after a while; wait for the first frame only."""
        with self._errors("receive"):
            self._pulse()
            return self._read(fallout, wait_s)

    def _read(self, fallout: Fallout, wait_s: float) -> Stretch:
        assert self._stream is not None
        position = 0
        ends = time.monotonic() + wait_s
        frame = self._stream.wait(next_frame(self._stream.pgconn, ends), min(wait_s, _INTERVAL_S))
        for _ in range(_MOST_FRAMES):
            if frame is None:
                break
            self._heard_at_s = time.monotonic()
            position = self._take(frame, fallout) or position
            frame = ready_frame(self._stream.pgconn)
        if self._in_transaction:
            return Stretch()
        return Stretch(format_lsn(position) if position else "", self._committed_at_s if fallout else 0.0)

    def _take(self, frame: bytes, fallout: Fallout) -> int:
        """Take one frame; return the position behind it where nothing is under way there, else 0."""
        part = decode_copy(frame)
        if isinstance(part, KeepAlive):
            self._pulsed_at_s = 0.0 if part.wants_reply else self._pulsed_at_s
            return 0 if self._in_transaction else part.end
        try:
            return self._message(part, fallout)
        except DecodeError as error:  # skipped, because it would come again for ever; whatever it was, has fallen
            self._unclear(fallout, str(error), self._rules)
            return 0

    def _message(self, piece: LogPiece, fallout: Fallout) -> int:
        message = decode_message(piece.message, self._relations)
        if isinstance(message, RowChanged):
            self._row(message, fallout)
        elif isinstance(message, Begin):
            self._in_transaction = True
        elif isinstance(message, Commit):
            self._in_transaction, self._committed_at_s = False, message.committed_at_s
            return message.end
        elif isinstance(message, Relation):
            self._describe(message)
        elif isinstance(message, Truncated):
            rules = {
                self._relations[each].table: self._rule_of[each] for each in message.relations if each in self._rule_of
            }
            if rules:
                self._unclear(fallout, f"emptied: {', '.join(rules)}", rules)
        return 0

    def _describe(self, relation: Relation) -> None:
        self._relations[relation.number] = relation
        rule = self._rules.get(f"{relation.schema}.{relation.table}") or self._rules.get(relation.table)
        if rule is not None:
            self._relations[relation.number] = dataclasses.replace(relation, wanted=rule.wanted)
            self._rule_of[relation.number] = rule

    def _row(self, row: RowChanged, fallout: Fallout) -> None:
        rule = self._rule_of.get(row.relation)
        if rule is None:
            return
        relation = self._relations[row.relation]
        hidden = frozenset() if row.is_insert else rule.columns - relation.known_of_old
        try:
            for image in (row.new,) if _same(row, rule.wanted) else (row.old, row.new):
                fall = rule.fall_of(image, is_gone=row.new is None) if image is not None else None
                if fall is not None:
                    fallout.add(fall)
            if hidden:
                raise UnknownColumn(", ".join(sorted(hidden)))
        except UnknownColumn as error:
            self._unclear(fallout, f"table {relation.table} does not show {error}", {relation.table: rule})

    def _unclear(self, fallout: Fallout, why: str, rules: Mapping[str, RowRule]) -> None:
        regions = {region for rule in rules.values() for region in rule.regions}
        fallout.add_unknown(regions, why, everything=any(rule.has_tags for rule in rules.values()))

    def _pulse(self) -> None:
        """Tell the server that we live, ask whether it does, and look at what it keeps for us."""
        now = time.monotonic()
        if now - self._pulsed_at_s >= _PULSE_S:
            self._tell(wants_reply=True)
        if now - self._heard_at_s > _SILENCE_S:
            raise StoreError(f"changes {self._options.name!r}: the server was silent for {_SILENCE_S:g} s")
        if now - self._looked_at_s >= _LOOK_S:
            assert self._control is not None
            self._looked_at_s = now
            self._slot.look(self._control)

    def _tell(self, *, wants_reply: bool) -> None:
        assert self._stream is not None
        self._pulsed_at_s = time.monotonic()
        frame = status_update(self._confirmed, time.time(), wants_reply=wants_reply)
        self._stream.wait(send_frame(self._stream.pgconn, frame), _INTERVAL_S)

    def confirm(self, position: str) -> None:
        """Let the server forget its log up to *position*."""
        self._confirmed = max(self._confirmed, parse_lsn(position))
        with self._errors("confirm"):
            self._tell(wants_reply=False)

    def close(self) -> None:
        """Close both connections."""
        for connection in (self._stream, self._control):
            if connection is not None:
                connection.close()
        self._stream = self._control = None


def _same(row: RowChanged, wanted: frozenset[str]) -> bool:
    """Say whether both images of a row name the same."""
    old, new = row.old, row.new
    return old is not None and new is not None and all(old.get(name) == new.get(name) for name in wanted)
