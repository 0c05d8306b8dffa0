"""
SQLAlchemy sessions: what a session writes falls as soon as it has committed, and nothing falls where it rolls back.

The session's own bookkeeping gives both images of a row, before and after; for an UPDATE or DELETE statement the rows
are looked up by its own condition, inside the transaction. What goes around the session (text, another program) is
seen by ``tiercel worker --cdc`` alone; both together are harmless, because what falls twice falls once.

    1. the session commits
    2. the process dies before it could tell the tiers
    3. a copy stays: only the worker, which reads the database's own log, closes this gap
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Table, and_, event, inspect, or_, select
from sqlalchemy.orm import LoaderCallableStatus, Mapper, ORMExecuteState, Session, SessionTransaction, sessionmaker
from sqlalchemy.util import await_only

from tiercel._async.cache import AsyncCache
from tiercel._async.changes.applier import AsyncApplier
from tiercel._core.changeoptions import ChangeRule
from tiercel._core.fallout import Fallout
from tiercel._core.graph import rule_named
from tiercel._core.rowfall import RowFall, RowRule, UnknownColumn
from tiercel._sync.cache import Cache
from tiercel._sync.changes.applier import Applier
from tiercel.errors import ConfigurationError

__all__ = ["SessionWatch", "invalidate_on_commit"]

Target: TypeAlias = "type[Session] | sessionmaker[Any] | Session"
Image: TypeAlias = Mapping[str, Any]
_NOTES = "tiercel.notes"


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Rows changed, and it cannot be said which."""

    rule: RowRule
    why: str


@dataclass(slots=True)
class _Level:
    """What was noted inside one transaction or savepoint."""

    transaction: SessionTransaction
    notes: list[RowFall | _Unknown] = field(default_factory=list)


def invalidate_on_commit(
    cache: Cache | AsyncCache, sessions: Target, rules: str | Iterable[ChangeRule], *, bulk_above: int = 1000
) -> SessionWatch:
    """
    Make what *sessions* change fall after each commit.

    Args:
        cache: A `Cache` for sessions; an `AsyncCache` for the ``sync_session_class`` under an ``AsyncSession``.
        sessions: A session class, a ``sessionmaker`` or one session.
        rules: What falls, by table; or the name of ``[changes.NAME]`` in the matrix, whose rules are taken.
        bulk_above: A statement that changes more rows than this makes their regions fall whole.

    Returns:
        The watch; ``remove()`` ends it.

    Raises:
        ConfigurationError: no such source, or a rule names an entity that the matrix does not have.

    A commit then takes as long as the invalidation; it raises `StoreError` where that could neither be sent nor
    journaled, although the database has committed.
    """
    if isinstance(rules, str):
        rules = cache.matrix.change_source(rules).rules
    entities = list(cache.matrix.entities.values())
    made = [
        RowRule(rule, rule_named(entities, rule.entity) if rule.entity else None, cache.matrix.regions)
        for rule in rules
    ]
    return SessionWatch(cache, sessions, {rule.table: rule for rule in made}, bulk_above)


class SessionWatch:
    """
    The listeners of one `invalidate_on_commit`; safe for any number of sessions and threads.

    Args:
        cache: Whose tiers.
        sessions: Whose events.
        rules: What falls, by table.
        bulk_above: Rows of one statement that are looked at one by one.
    """

    def __init__(
        self, cache: Cache | AsyncCache, sessions: Target, rules: Mapping[str, RowRule], bulk_above: int
    ) -> None:
        self._cache = cache
        self._sessions = sessions
        self._rules = rules
        self._bulk_above = bulk_above
        self._listeners: dict[str, Callable[..., Any]] = {
            "after_transaction_create": self._began,
            "before_flush": self._before_flush,
            "after_flush": self._after_flush,
            "do_orm_execute": self._executed,
            "after_commit": self._committed,
            "after_soft_rollback": self._rolled_back,
        }
        for name, listener in self._listeners.items():
            event.listen(sessions, name, listener)

    def remove(self) -> None:
        """Listen no more; what is under way in a transaction does not fall."""
        for name, listener in self._listeners.items():
            event.remove(self._sessions, name, listener)

    # -- transactions -----------------------------------------------------------------------------------------------

    def _levels(self, session: Session) -> list[_Level]:
        return session.info.setdefault((_NOTES, id(self)), [])  # type: ignore[no-any-return]

    def _began(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None or transaction.nested:
            self._levels(session).append(_Level(transaction))

    def _rolled_back(self, session: Session, previous: SessionTransaction) -> None:
        levels = self._levels(session)
        if previous.parent is None:
            levels.clear()
        elif levels and levels[-1].transaction is previous:
            levels.pop()

    def _committed(self, session: Session) -> None:
        levels = self._levels(session)
        if session.in_nested_transaction():
            released = levels.pop()
            levels[-1].notes += released.notes
            return
        notes = [note for level in levels for note in level.notes]
        levels.clear()
        fallout = Fallout(self._bulk_above)
        for note in notes:
            if isinstance(note, RowFall):
                fallout.add(note)
            else:
                fallout.add_unknown(note.rule.regions, note.why, everything=note.rule.has_tags)
        if fallout and isinstance(self._cache, AsyncCache):
            await_only(AsyncApplier(self._cache).apply(fallout))
        elif fallout:
            assert isinstance(self._cache, Cache)
            Applier(self._cache).apply(fallout)

    def _note(self, session: Session, rule: RowRule, image: Image, *, is_gone: bool = False) -> None:
        levels = self._levels(session)
        note: RowFall | _Unknown | None
        try:
            note = rule.fall_of(image, is_gone=is_gone)
        except UnknownColumn as error:
            note = _Unknown(rule, f"table {rule.table}: {error.args[0]} is not known")
        if note is not None and levels:
            levels[-1].notes.append(note)

    # -- objects ----------------------------------------------------------------------------------------------------

    def _before_flush(self, session: Session, context: object, instances: object) -> None:
        """Note what rows are before they change; what the object does not know is asked of the database."""
        for changed in [*filter(session.is_modified, session.dirty), *session.deleted]:
            for table, rule in self._rules_of(inspect(changed).mapper):
                image = _old_image(changed, table, rule)
                unknown = [name for name in rule.wanted if name not in image]
                if unknown:
                    image |= self._stored(session, changed, table, unknown)
                self._note(session, rule, image, is_gone=changed in session.deleted)

    def _after_flush(self, session: Session, context: object) -> None:
        """Note what rows have become, with what the database added to new ones."""
        for changed in [*session.new, *filter(session.is_modified, session.dirty)]:
            for table, rule in self._rules_of(inspect(changed).mapper):
                self._note(session, rule, _new_image(changed, table, rule))

    def _rules_of(self, mapper: Mapper[Any]) -> Iterator[tuple[Table, RowRule]]:
        for table in mapper.tables:
            if isinstance(table, Table):
                rule = self._rules.get(table.fullname) or self._rules.get(table.name)
                if rule is not None:
                    yield table, rule

    def _stored(self, session: Session, changed: object, table: Table, columns: Sequence[str]) -> dict[str, Any]:
        """Return *columns* of the row as it is in this transaction."""
        state = inspect(changed)
        if not state.identity:
            return {}
        mapper = state.mapper
        query = select(*(_column(table, name) for name in columns)).where(
            *(column == value for column, value in zip(mapper.primary_key, state.identity, strict=True))
        )
        row = session.connection(bind_arguments={"mapper": mapper}).execute(query).first()
        return {} if row is None else dict(zip(columns, row, strict=True))

    # -- statements -------------------------------------------------------------------------------------------------

    def _executed(self, execution: ORMExecuteState) -> Any:
        """Run a bulk statement between two looks at the rows that it concerns."""
        if not (execution.is_update or execution.is_delete or execution.is_insert) or execution.bind_mapper is None:
            return None
        rules = list(self._rules_of(execution.bind_mapper))
        if not rules:
            return None
        if execution.is_insert:
            return self._inserted(execution, rules)
        statement: Any = execution.statement
        concerned = [self._concerned(execution, table, rule, statement.whereclause) for table, rule in rules]
        result = execution.invoke_statement()
        for (table, rule), keys in zip(rules, concerned, strict=True):
            if keys and execution.is_update:
                self._look(execution, table, rule, _among(table, keys))
        return result

    def _inserted(self, execution: ORMExecuteState, rules: Sequence[tuple[Table, RowRule]]) -> Any:
        given = execution.parameters
        rows: Sequence[Any] = given if isinstance(given, Sequence) else [given] if given else []
        result = execution.invoke_statement()
        for _, rule in rules:
            for row in rows or [{}]:
                self._note(execution.session, rule, row)
        return result

    def _concerned(
        self, execution: ORMExecuteState, table: Table, rule: RowRule, condition: Any
    ) -> list[tuple[Any, ...]]:
        """Note the rows that *condition* meets now, and return their keys; none where there are too many."""
        found = self._look(execution, table, rule, condition)
        if len(found) <= self._bulk_above:
            return found
        levels = self._levels(execution.session)
        levels[-1].notes.append(_Unknown(rule, f"table {table.name}: one statement changes many rows"))
        return []

    def _look(self, execution: ORMExecuteState, table: Table, rule: RowRule, condition: Any) -> list[tuple[Any, ...]]:
        names = sorted(rule.wanted)
        keys = list(table.primary_key.columns)
        query = select(*keys, *(_column(table, name) for name in names)).limit(self._bulk_above + 1)
        if condition is not None:
            query = query.where(condition)
        connection = execution.session.connection(bind_arguments={"mapper": execution.bind_mapper})
        parameters = execution.parameters if isinstance(execution.parameters, Mapping) else {}
        rows = connection.execute(query, parameters).fetchall()
        if len(rows) <= self._bulk_above:
            for row in rows:
                self._note(execution.session, rule, dict(zip(names, row[len(keys) :], strict=True)))
        return [tuple(row[: len(keys)]) for row in rows]


def _among(table: Table, keys: Sequence[tuple[Any, ...]]) -> Any:
    """Return the condition that a row has one of *keys*."""
    columns = list(table.primary_key.columns)
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return or_(*(and_(*(column == part for column, part in zip(columns, key, strict=True))) for key in keys))


def _column(table: Table, name: str) -> Any:
    column = next((each for each in table.columns if each.name == name), None)
    if column is None:
        raise ConfigurationError(f"table {table.name} has no column {name}, which its rule of changes names")
    return column


def _old_image(changed: object, table: Table, rule: RowRule) -> dict[str, Any]:
    """Return what is known of the row before the change."""
    state = inspect(changed)
    image: dict[str, Any] = {}
    for name in rule.wanted:
        attribute = state.attrs[state.mapper.get_property_by_column(_column(table, name)).key]
        history = attribute.history
        if history.deleted:
            image[name] = history.deleted[0]
        elif history.unchanged:
            image[name] = history.unchanged[0]
    return image


def _new_image(changed: object, table: Table, rule: RowRule) -> dict[str, Any]:
    """Return what is known of the row after the change."""
    state = inspect(changed)
    image: dict[str, Any] = {}
    for name in rule.wanted:
        value = state.attrs[state.mapper.get_property_by_column(_column(table, name)).key].loaded_value
        if value is not LoaderCallableStatus.NO_VALUE:
            image[name] = value
    return image
