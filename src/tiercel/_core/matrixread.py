"""
From a parsed matrix file to option objects: the tables, how they nest, and how a region's table refines a built-in one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from tiercel._core.alertoptions import AlertingOptions, SinkOptions
from tiercel._core.alertrules import AlertRule
from tiercel._core.changeoptions import ChangeRule, ChangeSource
from tiercel._core.matrixfile import Problem, TableReader, nearest
from tiercel.options import (
    BackplaneOptions,
    CacheOptions,
    EntityRule,
    JournalOptions,
    KeyOptions,
    LocalOptions,
    RegionOptions,
)

__all__ = ["Part", "read_matrix"]

Part: TypeAlias = RegionOptions | EntityRule | AlertRule | CacheOptions | AlertingOptions | KeyOptions | ChangeSource

_TABLES: Final = ("regions", "entities", "cache", "alerts", "alerting", "keys", "changes")
_PLACEHOLDER: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_TEMPLATE_FIELD: Final = re.compile(r"\{([^{}]*)\}")


def read_matrix(
    document: Mapping[str, Any],
    regions: Mapping[str, RegionOptions],
    entities: Mapping[str, EntityRule],
    cache: CacheOptions,
    alerting: AlertingOptions,
    env: Mapping[str, str] | None,
) -> tuple[list[Part], list[Problem]]:
    """
    Return the objects that *document* describes, and every mistake in it.

    Args:
        document: The parsed TOML.
        regions: What the regions are laid over: a table of the same name changes only the fields it sets.
        entities: The same for entities.
        cache: The same for what is shared.
        alerting: The same for notifications.
        env: Values of ``${NAME}`` in URLs; None leaves them alone.
    """
    reader = MatrixReader(env)
    reader.unknown(document, _TABLES, ())
    parts: list[Part | None] = []
    if "cache" in document:
        parts.append(reader.cache(document["cache"], cache))
    for name, table in reader.table(document.get("regions", {}), ("regions",)).items():
        parts.append(reader.region(name, table, regions.get(name)))
    for name, table in reader.table(document.get("entities", {}), ("entities",)).items():
        parts.append(reader.entity(name, table, entities.get(name)))
    parts += [reader.key(name, table) for name, table in reader.table(document.get("keys", {}), ("keys",)).items()]
    changes = reader.table(document.get("changes", {}), ("changes",))
    parts += [reader.changes(name, table) for name, table in changes.items()]
    parts += reader.alerts(document.get("alerts", []))
    if "alerting" in document:
        parts.append(reader.alerting(document["alerting"], alerting))
    return [part for part in parts if part is not None], reader.problems


class MatrixReader(TableReader):
    """Reads the tables of one matrix file."""

    def __init__(self, env: Mapping[str, str] | None) -> None:
        super().__init__()
        self._env = env

    def cache(self, value: object, base: CacheOptions) -> CacheOptions | None:
        """Read ``[cache]`` with its tables ``backplane`` and ``stores``."""
        path = ("cache",)
        table = self.table(value, path)
        arguments = self.fields(CacheOptions, table, path, also=["backplane"])
        for name in ("redis", "gutter", "cdn", "state_dir"):
            if isinstance(arguments.get(name), str):
                arguments[name] = self._expanded(arguments[name], (*path, name))
        if "stores" in arguments:
            expanded = {name: self._expanded(url, (*path, "stores", name)) for name, url in arguments["stores"].items()}
            arguments["stores"] = {**base.stores, **expanded}
        if "backplane" in table:
            inner = (*path, "backplane")
            settings = self.fields(BackplaneOptions, self.table(table["backplane"], inner), inner)
            arguments["backplane"] = self.build(BackplaneOptions, settings, inner, base.backplane) or base.backplane
        return self.build(CacheOptions, arguments, path, base)

    def region(self, name: str, value: object, base: RegionOptions | None) -> RegionOptions | None:
        """Read ``[regions.NAME]`` with its tables ``local`` and ``journal``."""
        path = ("regions", name)
        table = self.table(value, path)
        if base is None and not {"tiers", "ttl"} <= table.keys():
            missing = " and ".join(key for key in ("tiers", "ttl") if key not in table)
            self.fail(path, f"region {name!r} is not built in and needs {missing}")
        before = len(self.problems)
        arguments = self.fields(RegionOptions, table, path, also=["local", "journal", "name"])
        if "name" in table:
            self.fail((*path, "name"), f"region {name!r}: the table's header names the region, drop the key 'name'")
        if isinstance(arguments.get("store"), str):
            arguments["store"] = self._expanded(arguments["store"], (*path, "store"))
        self._nested(table, arguments, path, base)
        if len(self.problems) > before:
            return None  # a wrong field was reported; contradictions that follow from its absence would mislead
        return self.build(RegionOptions, {**arguments, "name": name}, path, base)

    def _nested(
        self, table: Mapping[str, Any], arguments: dict[str, Any], path: tuple[str, ...], base: RegionOptions | None
    ) -> None:
        if "local" in table:
            inner = (*path, "local")
            settings = self.fields(LocalOptions, self.table(table["local"], inner), inner)
            _choose_bound(settings)
            arguments["local"] = self.build(LocalOptions, settings, inner, base.local if base else None)
        if "journal" in table:
            inner = (*path, "journal")
            settings = self.fields(JournalOptions, self.table(table["journal"], inner), inner)
            _pair_memory(settings)
            arguments["journal"] = self.build(JournalOptions, settings, inner, base.journal if base else None)
        elif arguments.get("strategy") == "write-through":
            arguments["journal"] = None

    def key(self, name: str, value: object) -> KeyOptions | None:
        """Read ``[keys.NAME]``."""
        path = ("keys", name)
        table = self.table(value, path)
        before = len(self.problems)
        arguments = self.fields(KeyOptions, table, path, also=["name"])
        if "source" not in table:
            self.fail(path, f"key {name!r} needs source")
        elif isinstance(arguments.get("source"), str):
            arguments["source"] = self._expanded(arguments["source"], (*path, "source"))
        return self.build(KeyOptions, {**arguments, "name": name}, path, None) if len(self.problems) == before else None

    def changes(self, name: str, value: object) -> ChangeSource | None:
        """Read ``[changes.NAME]`` and its ``[changes.NAME.tables.TABLE]``."""
        path = ("changes", name)
        table = self.table(value, path)
        before = len(self.problems)
        arguments = self.fields(ChangeSource, table, path, also=["name", "tables"])
        if "url" not in table:
            self.fail(path, f"changes {name!r} need url: an address, or a name of [cache.stores]")
        elif isinstance(arguments.get("url"), str):
            arguments["url"] = self._expanded(arguments["url"], (*path, "url"))
        rules: list[ChangeRule | None] = []
        for key, inner in self.table(table.get("tables", {}), (*path, "tables")).items():
            place = (*path, "tables", key)
            settings = self.fields(ChangeRule, self.table(inner, place), place, also=["table"])
            rules.append(self.build(ChangeRule, {**settings, "table": key}, place, None))
        if len(self.problems) > before:
            return None
        arguments["rules"] = tuple(rule for rule in rules if rule is not None)
        return self.build(ChangeSource, {**arguments, "name": name}, path, None)

    def entity(self, name: str, value: object, base: EntityRule | None) -> EntityRule | None:
        """Read ``[entities.NAME]``."""
        path = ("entities", name)
        table = self.table(value, path)
        arguments = self.fields(EntityRule, table, path, also=["name"])
        if "name" in table:
            self.fail((*path, "name"), f"entity {name!r}: the table's header names the entity, drop the key 'name'")
        for key, templates in arguments.items():
            for template in templates:
                self._check_template(template, (*path, key))
        return self.build(EntityRule, {**arguments, "name": name}, path, base)

    def _check_template(self, template: str, path: tuple[str, ...]) -> None:
        fields = _TEMPLATE_FIELD.findall(template)
        rest = _TEMPLATE_FIELD.sub("", template)
        if not template or "{" in rest or "}" in rest:
            self.fail(path, f"{template!r} is no template: write text with {{id}} where the entity's key goes")
        for field in fields:
            if field != "id":
                self.fail(path, f"{template!r} has the placeholder {{{field}}}: only {{id}} is known")

    def alerts(self, value: object) -> list[AlertRule | None]:
        """Read ``[[alerts]]``."""
        if not isinstance(value, list):
            self.fail(("alerts",), "alerts must be written as [[alerts]], one table an alert")
            return []
        rules = [self._alert(element, ("alerts", f"#{number}")) for number, element in enumerate(value, 1)]
        seen: set[str] = set()
        for number, rule in enumerate(rules, 1):
            if rule is not None and rule.name in seen:
                self.fail(("alerts", f"#{number}"), f"alert {rule.name!r} is defined twice")
            seen.add(rule.name if rule else "")
        return rules

    def _alert(self, value: object, path: tuple[str, ...]) -> AlertRule | None:
        table = self.table(value, path)
        before = len(self.problems)
        arguments = self.fields(AlertRule, table, path)
        missing = [key for key in ("name", "metric") if key not in table]
        if missing:
            self.fail(path, f"an alert needs {' and '.join(missing)}")
        return self.build(AlertRule, arguments, path, None) if len(self.problems) == before else None

    def alerting(self, value: object, base: AlertingOptions) -> AlertingOptions | None:
        """Read ``[alerting]`` and its ``[[alerting.sinks]]``."""
        path = ("alerting",)
        table = self.table(value, path)
        arguments = self.fields(AlertingOptions, table, path, also=["sinks"])
        sinks = table.get("sinks", [])
        if not isinstance(sinks, list):
            self.fail((*path, "sinks"), "sinks must be written as [[alerting.sinks]], one table a sink")
        elif sinks:
            read = [self._sink(one, (*path, "sinks", f"#{number}")) for number, one in enumerate(sinks, 1)]
            arguments["sinks"] = tuple(sink for sink in read if sink is not None)
        return self.build(AlertingOptions, arguments, path, base)

    def _sink(self, value: object, path: tuple[str, ...]) -> SinkOptions | None:
        table = self.table(value, path)
        before = len(self.problems)
        arguments = self.fields(SinkOptions, table, path)
        if "kind" not in table:
            self.fail(path, "an alert sink needs kind")
        if isinstance(arguments.get("url"), str):
            arguments["url"] = self._expanded(arguments["url"], (*path, "url"))
        return self.build(SinkOptions, arguments, path, None) if len(self.problems) == before else None

    def _expanded(self, text: str, path: tuple[str, ...]) -> str:
        env = self._env
        if env is None:
            return text

        def value(match: re.Match[str]) -> str:
            name, fallback = match[1], match[2]
            found = env.get(name, fallback)
            if found is None:
                self.fail(path, f"${{{name}}} is not set{nearest(name, env) if len(env) < 20 else ''}")
                return ""
            return found

        return _PLACEHOLDER.sub(value, text)


def _choose_bound(settings: dict[str, Any]) -> None:
    """A file that sets one bound of the local copies means that bound alone."""
    for given, other in (("max_bytes", "max_entries"), ("max_entries", "max_bytes")):
        if settings.get(given) is not None:
            settings.setdefault(other, None)


def _pair_memory(settings: dict[str, Any]) -> None:
    """A memory journal and durability "memory" are one choice; a file may spell it either way."""
    for given, other in (("kind", "durability"), ("durability", "kind")):
        if settings.get(given) == "memory":
            settings.setdefault(other, "memory")
