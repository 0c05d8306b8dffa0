"""
The watch: keeps a follower at every source of changes that a matrix names.

Any number of processes may watch the same sources: each source is followed by one of them, the others stand by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from tiercel._async.cache import AsyncCache
from tiercel._async.changes.applier import AsyncApplier
from tiercel._async.changes.follower import AsyncFollower, Events
from tiercel._async.changes.lease import AsyncChangeLease
from tiercel._async.changes.protocol import AsyncChangeFeed, SourceFigures
from tiercel._async.link import AsyncLink, open_link
from tiercel._async.writebehind import ignore_event, worker_name
from tiercel._core.changeoptions import ChangeSource, kind_of, slot_name
from tiercel._core.graph import rule_named
from tiercel._core.rowfall import RowRule
from tiercel._paired import AsyncEvent, AsyncJob, async_spawn
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.typing import Clock

__all__ = ["AsyncWatch"]

_EXTRAS: Final = {"postgres": "postgres", "mongodb": "mongo", "elasticsearch": "elasticsearch"}


class AsyncWatch:
    """
    Args:
        matrix: Sources, regions, Redis.
        clock: Source of time.
        events: Told what is rare; must not block.
        sources: Names of the sources to watch; none for all.
        name: Unique name of this worker; None to make one.

    Raises:
        ConfigurationError: There is no source, no shared tier, or a rule names what is not there.
    """

    def __init__(
        self,
        matrix: Matrix,
        *,
        clock: Clock,
        events: Events = ignore_event,
        sources: Sequence[str] = (),
        name: str | None = None,
    ) -> None:
        if matrix.cache.redis is None:
            raise ConfigurationError("changes are watched for a shared tier: give [cache] a redis url")
        if not matrix.changes:
            raise ConfigurationError("no [changes.NAME] in this matrix: there is nothing to watch")
        self.name = name or worker_name()
        self._matrix = matrix
        self._clock = clock
        self._events = events
        self._cache = AsyncCache(_invalidating(matrix))
        self._link: AsyncLink | None = None
        self._stopping = AsyncEvent()
        self._jobs: list[AsyncJob] = []
        wanted = [matrix.change_source(each) for each in sources or matrix.changes]
        self._rules = {source.name: _rules(source, matrix) for source in wanted}
        self._sources = {source.name: self._open_source(source) for source in wanted}

    def _open_source(self, options: ChangeSource) -> AsyncChangeFeed:
        url, rules = self._matrix.change_url(options.name), self._rules[options.name]
        kind = kind_of(url)
        if kind is None:
            raise ConfigurationError(f"changes {options.name!r}: no changes can be read from this kind of database")
        try:
            if kind == "postgres":
                from tiercel._async.changes.postgres import AsyncPostgresChanges

                return AsyncPostgresChanges(options, url, rules, slot_name(options, self._matrix.cache.namespace))
            if kind == "mongodb":
                from tiercel._async.changes.mongo import AsyncMongoChanges

                return AsyncMongoChanges(options, url, rules)
            from tiercel._async.changes.search import AsyncSearchChanges

            return AsyncSearchChanges(options, url, rules)
        except ImportError as error:
            raise ConfigurationError(
                f"changes {options.name!r} need a driver: pip install tiercel[{_EXTRAS[kind]}]"
            ) from error

    async def start(self) -> None:
        """
        Connect to Redis and begin; sources are connected in the background, again and again.

        Raises:
            TierUnavailable: Redis is down.
        """
        await self._cache.start()
        self._link = await open_link(self._matrix.cache.redis or "")
        for name, source in self._sources.items():
            options = self._matrix.change_source(name)
            lease = AsyncChangeLease(self._link, self._matrix.cache.namespace, name, self.name, options.lease_s)
            follower = AsyncFollower(
                options,
                source,
                lease,
                AsyncApplier(self._cache, self._stopping),
                at_loss=_at_loss(self._rules[name]),
                clock=self._clock,
                events=self._events,
                stopping=self._stopping,
            )
            self._jobs.append(async_spawn(f"tiercel-changes-{name}", follower.run))

    def figures(self) -> dict[str, SourceFigures]:
        """Return what each source did and has to do."""
        return {name: source.figures for name, source in self._sources.items()}

    def gauges(self) -> dict[str, float]:
        """Return the figures that alerts watch: the worst of the sources that this process follows."""
        led = [
            source.figures
            for source in self._sources.values()
            if source.figures.is_leading or source.figures.last_error
        ]
        return {
            "changes_lag": max((figures.lag_s for figures in led), default=0.0),
            "changes_retained": float(max((figures.retained_bytes for figures in led), default=0)),
        }

    async def aclose(self, deadline_s: float = 10.0) -> None:
        """Finish what was read, hand the sources over, and disconnect."""
        self._stopping.set()
        for job in self._jobs:
            await job.join(deadline_s)
        self._jobs.clear()
        await self._cache.aclose()
        if self._link is not None:
            await self._link.aclose()
            self._link = None


def _invalidating(matrix: Matrix) -> Matrix:
    """Return *matrix* without stores, journals and keys: who only makes copies fall needs none of them."""
    regions = [
        dataclasses.replace(region, store=None, strategy="write-through", journal=None, encrypt=None)
        for region in matrix.regions.values()
    ]
    return matrix.overlay(*regions)


def _rules(source: ChangeSource, matrix: Matrix) -> Mapping[str, RowRule]:
    entities = list(matrix.entities.values())
    return {
        rule.table: RowRule(rule, rule_named(entities, rule.entity) if rule.entity else None, matrix.regions)
        for rule in source.rules
    }


def _at_loss(rules: Mapping[str, RowRule]) -> frozenset[str]:
    """Return the regions that fall where changes may have been missed; none where tags can be on entries of any."""
    if any(rule.has_tags for rule in rules.values()):
        return frozenset()
    return frozenset(region for rule in rules.values() for region in rule.regions)
