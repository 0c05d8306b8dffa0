"""
The strategy matrix: which data type is cached where, for how long, how it is written, and what falls when an entity
changes.

It comes from TOML, from objects, or from both: a file is laid over a base, by default the eight built-in data types,
and a table that names a region of the base changes only the fields that it sets. A matrix is immutable; all mistakes
of a file are reported together in one `ConfigurationError`, each with its line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tiercel._core.alertoptions import AlertingOptions
from tiercel._core.alertrules import DEFAULT_RULES, AlertRule
from tiercel._core.changeoptions import ChangeSource, kind_of
from tiercel._core.matrixfile import Problem, nearest
from tiercel._core.matrixlint import Caution, lint
from tiercel._core.matrixread import Part, read_matrix
from tiercel._core.matrixtoml import write_matrix
from tiercel._core.redisurl import parse_redis_url
from tiercel._core.rowfall import RowRule
from tiercel._core.storeurl import parse_store_url
from tiercel._core.tomllines import line_of
from tiercel.cdn.edgeurl import parse_edge_url
from tiercel.errors import ConfigurationError
from tiercel.options import CacheOptions, EntityRule, KeyOptions, RegionOptions

__all__ = ["Matrix"]

_HOUR_S = 3600.0
_MINUTE_S = 60.0

BUILT_IN = (
    RegionOptions(name="session", tiers=("redis",), ttl_s=_HOUR_S, strategy="write-through", private=True),
    RegionOptions(
        name="profile", tiers=("local", "redis"), ttl_s=30 * _MINUTE_S, strategy="write-behind", private=True
    ),
    RegionOptions(name="product", tiers=("local", "redis"), ttl_s=_HOUR_S, strategy="write-through"),
    RegionOptions(name="search", tiers=("redis",), ttl_s=15 * _MINUTE_S, strategy="write-behind"),
    RegionOptions(name="static", tiers=("cdn",), ttl_s=24 * _HOUR_S, strategy="write-through"),
    RegionOptions(name="api", tiers=("cdn",), ttl_s=5 * _MINUTE_S, strategy="write-behind"),
    RegionOptions(name="query", tiers=("local",), ttl_s=5 * _MINUTE_S, strategy="write-behind"),
    RegionOptions(name="analytics", tiers=("redis",), ttl_s=_HOUR_S, strategy="write-behind"),
)
"""The eight built-in data types; none has a store, because only a platform knows its URLs."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """
    Regions, entities, alerts and what they share.

    Args:
        regions: Region policies by name.
        entities: What falls with an entity, by entity name.
        cache: What all regions share.
        alerts: Alert rules.
        alerting: Where alerts are sent, and how often.
        keys: What regions are encrypted with, by name.
        changes: Databases that are watched for changes, by name.
    """

    regions: Mapping[str, RegionOptions] = field(default_factory=dict)
    entities: Mapping[str, EntityRule] = field(default_factory=dict)
    cache: CacheOptions = field(default_factory=CacheOptions)
    alerts: tuple[AlertRule, ...] = ()
    alerting: AlertingOptions = field(default_factory=AlertingOptions)
    keys: Mapping[str, KeyOptions] = field(default_factory=dict)
    changes: Mapping[str, ChangeSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))
        object.__setattr__(self, "changes", MappingProxyType(dict(self.changes)))
        object.__setattr__(self, "regions", MappingProxyType(dict(self.regions)))
        object.__setattr__(self, "entities", MappingProxyType(dict(self.entities)))

    @classmethod
    def defaults(cls) -> Matrix:
        """Return the eight built-in data types (session, profile, product, …, analytics) and the default alerts."""
        return cls.of(*BUILT_IN, *DEFAULT_RULES)

    @classmethod
    def of(cls, *parts: Part) -> Matrix:
        """Return a matrix of exactly these objects; of two with one name the later counts."""
        return cls().overlay(*parts)

    @classmethod
    def from_toml(
        cls, path: str | PathLike[str], *, base: Matrix | None = None, env: Mapping[str, str] | None = None
    ) -> Matrix:
        """
        Read a file and lay it over *base*.

        Args:
            path: The TOML file.
            base: What the file overrides or adds to; None for `defaults`, ``Matrix()`` for nothing.
            env: Values for ``${NAME}`` and ``${NAME:-default}`` in URLs; None leaves placeholders as they are.

        Raises:
            ConfigurationError: The file cannot be read, or anything in it is wrong; the message names every mistake.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path}: is not UTF-8 text (byte {error.start})") from error
        return cls.from_text(text, base=base, env=env, source=str(path))

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        base: Matrix | None = None,
        env: Mapping[str, str] | None = None,
        source: str = "matrix",
    ) -> Matrix:
        """Read TOML text and lay it over *base*; like `from_toml`, *source* stands for the path in messages."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{source}: bad TOML: {_positioned(error, text)}") from error
        return cls._from_document(document, text, base, env, source)

    @classmethod
    def _from_document(
        cls, document: Mapping[str, Any], text: str, base: Matrix | None, env: Mapping[str, str] | None, source: str
    ) -> Matrix:
        base = cls.defaults() if base is None else base
        parts, problems = read_matrix(document, base.regions, base.entities, base.cache, base.alerting, env)
        matrix = base.overlay(*parts)
        problems += (
            [*_wrong_urls(matrix, document), *_unknown_keys(matrix), *_wrong_changes(matrix)] if not problems else []
        )
        if problems:
            raise ConfigurationError("\n".join(_located(source, text, problems)))
        return matrix

    def overlay(self, *parts: Matrix | Part) -> Matrix:
        """Return this matrix with *parts* added; a part replaces what has its name, whole."""
        regions, entities, keys = dict(self.regions), dict(self.entities), dict(self.keys)
        cache, alerting, changes = self.cache, self.alerting, dict(self.changes)
        alerts = {rule.name: rule for rule in self.alerts}
        for part in _flat(parts):
            if isinstance(part, RegionOptions):
                regions[part.name] = part
            elif isinstance(part, EntityRule):
                entities[part.name] = part
            elif isinstance(part, AlertRule):
                alerts[part.name] = part
            elif isinstance(part, KeyOptions):
                keys[part.name] = part
            elif isinstance(part, ChangeSource):
                changes[part.name] = part
            elif isinstance(part, AlertingOptions):
                alerting = part
            else:
                cache = part
        return Matrix(regions, entities, cache, tuple(alerts.values()), alerting, keys, changes)

    def region(self, name: str) -> RegionOptions:
        """Return the policy of region *name*; an unknown name raises `ConfigurationError` with the nearest one."""
        policy = self.regions.get(name)
        if policy is None:
            raise ConfigurationError(f"no region {name!r} in the matrix{nearest(name, self.regions)}")
        return policy

    def entity(self, name: str) -> EntityRule:
        """Return the rule of entity *name*; an unknown name raises `ConfigurationError` with the nearest one."""
        rule = self.entities.get(name)
        if rule is None:
            raise ConfigurationError(f"no entity {name!r} in the matrix{nearest(name, self.entities)}")
        return rule

    def key(self, name: str) -> KeyOptions:
        """Return the key called *name*; an unknown name raises `ConfigurationError` with the nearest one."""
        key = self.keys.get(name)
        if key is None:
            raise ConfigurationError(f"no key {name!r} in the matrix{nearest(name, self.keys)}")
        return key

    def change_source(self, name: str) -> ChangeSource:
        """Return the source of changes called *name*; an unknown name raises `ConfigurationError` with the nearest."""
        source = self.changes.get(name)
        if source is None:
            raise ConfigurationError(f"no changes {name!r} in the matrix{nearest(name, self.changes)}")
        return source

    def change_url(self, name: str) -> str:
        """Return the full address of a source of changes, without a fragment: a name stands for its store's URL."""
        url = self.change_source(name).url
        return self.cache.stores.get(url, url).partition("#")[0]

    def store_url(self, region: str) -> str | None:
        """Return the full store URL of a region: ``"shop#products"`` becomes the URL of ``shop`` with that fragment."""
        store = self.region(region).store
        if store is None:
            return None
        name, separator, fragment = store.partition("#")
        url = self.cache.stores.get(name)
        return store if url is None else f"{url.partition('#')[0]}{separator}{fragment}" if separator else url

    def warnings(self) -> list[Caution]:
        """Return what is allowed but probably not meant."""
        return lint(self.regions, self.entities, self.cache, self.alerts)

    def to_toml(self) -> str:
        """
        Return the matrix as TOML that `from_text` reads back to an equal one.

        Placeholders that were expanded stay expanded, so the text may hold passwords. A ``value_type`` is code and
        is left out.
        """
        built_in = {region.name: region for region in BUILT_IN}
        return write_matrix(
            self.regions, self.entities, self.cache, self.alerts, self.alerting, built_in, self.keys, self.changes
        )


def _flat(
    parts: Iterable[Matrix | Part],
) -> Iterable[Part]:
    for part in parts:
        if isinstance(part, Matrix):
            yield from part.regions.values()
            yield from part.entities.values()
            yield from part.alerts
            yield from (part.cache, part.alerting)
            yield from part.keys.values()
            yield from part.changes.values()
        else:
            yield part


def _wrong_urls(matrix: Matrix, document: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each URL of *document* that no tier or store could be opened by; placeholders pass."""
    urls: list[tuple[tuple[str, ...], str | None, Callable[[str], object]]] = [
        (("cache", "redis"), matrix.cache.redis, parse_redis_url),
        (("cache", "gutter"), matrix.cache.gutter, _parse_gutter),
        (("cache", "cdn"), matrix.cache.cdn, parse_edge_url),
    ]
    urls += [
        (("regions", name, "store"), matrix.store_url(name), parse_store_url) for name in document.get("regions", {})
    ]
    for path, url, parse in urls:
        if url is None or "${" in url or ("://" not in url and path[-1] != "gutter"):
            continue  # a store without a scheme is a name, to be given in code
        try:
            parse(url)
        except ConfigurationError as error:
            yield Problem(path, f"{path[-1]}: {error}")


def _parse_gutter(url: str) -> object:
    """Refuse what is neither this process nor a Redis."""
    if url == "local":
        return url
    if "://" not in url:
        raise ConfigurationError(f"{url!r} is neither 'local' nor the URL of a Redis")
    return parse_redis_url(url)


def _unknown_keys(matrix: Matrix) -> Iterator[Problem]:
    """Yield a problem for each region that is encrypted with a key that nobody defines."""
    for region in matrix.regions.values():
        if region.encrypt is not None and region.encrypt not in matrix.keys:
            yield Problem(
                ("regions", region.name, "encrypt"),
                f"encrypt: no key {region.encrypt!r} in the matrix{nearest(region.encrypt, matrix.keys)}",
            )


def _wrong_changes(matrix: Matrix) -> Iterator[Problem]:
    """Yield a problem for each source of changes that cannot be read, or whose entity nobody defines."""
    for source in matrix.changes.values():
        url = matrix.change_url(source.name)
        if "${" not in url and kind_of(url) is None:
            yield Problem(
                ("changes", source.name, "url"),
                "url: name a postgres://, mongodb:// or elasticsearch:// database, or one of [cache.stores]",
            )
        for rule in source.rules:
            path = ("changes", source.name, "tables", rule.table)
            if rule.entity and rule.entity not in matrix.entities:
                hint = nearest(rule.entity, matrix.entities)
                yield Problem((*path, "entity"), f"entity: no entity {rule.entity!r} in the matrix{hint}")
                continue
            try:
                RowRule(rule, matrix.entities.get(rule.entity), matrix.regions)
            except ConfigurationError as error:
                yield Problem(path, str(error))


def _located(source: str, text: str, problems: Iterable[Problem]) -> list[str]:
    """Return a line for each problem, in the order in which they stand in the file."""
    placed = sorted(((line_of(text, problem.path) or 0, problem.message) for problem in problems), key=itemgetter(0))
    return [f"{source}:{line}: {message}" if line else f"{source}: {message}" for line, message in placed]


def _positioned(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return the parser's message with a line and column, also where it only says that the text ended too early."""
    line = text.count("\n") + 1
    column = len(text) - (text.rfind("\n") + 1) + 1
    return str(error).replace("(at end of document)", f"(at line {line}, column {column}, the end of the file)")
