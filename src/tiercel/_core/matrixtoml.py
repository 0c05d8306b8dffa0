"""
The writer of matrix files: option objects to TOML that reads back to equal ones, leaving out what is default.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tiercel._core.alertoptions import AlertingOptions
from tiercel._core.alertrules import AlertRule
from tiercel._core.changeoptions import ChangeSource
from tiercel._core.durations import format_duration, parse_duration
from tiercel._core.matrixfile import field_specs
from tiercel.options import CacheOptions, EntityRule, KeyOptions, RegionOptions

__all__ = ["write_matrix"]

_ALWAYS = frozenset({"tiers", "ttl", "strategy", "metric", "kind"})


def write_matrix(
    regions: Mapping[str, RegionOptions],
    entities: Mapping[str, EntityRule],
    cache: CacheOptions,
    alerts: Sequence[AlertRule],
    alerting: AlertingOptions,
    base: Mapping[str, RegionOptions],
    keys: Mapping[str, KeyOptions],
    changes: Mapping[str, ChangeSource],
) -> str:
    """Return the TOML text of a matrix that reads back the same over the regions *base*, and over none."""
    lines = list(_cache(cache))
    for region in regions.values():
        lines += _region(region, base.get(region.name))
    for key in keys.values():
        lines += ["", f"[keys.{_key(key.name)}]", *_fields(key, skip={"name"})]
    for rule in entities.values():
        lines += ["", f"[entities.{_key(rule.name)}]", *_fields(rule, skip={"name"})]
    for source in changes.values():
        lines += _changes(source)
    for alert in alerts:
        lines += ["", "[[alerts]]", f"name = {_string(alert.name)}", *_fields(alert, skip={"name"})]
    lines += _alerting(alerting)
    return "\n".join(lines).strip() + "\n"


def _cache(cache: CacheOptions) -> Iterator[str]:
    yield "[cache]"
    yield from _fields(cache, skip={"stores"})
    if cache.stores:
        yield from ("", "[cache.stores]")
        yield from (f"{_key(name)} = {_string(url)}" for name, url in cache.stores.items())
    yield from _table("cache.backplane", cache.backplane)


def _region(region: RegionOptions, base: RegionOptions | None) -> Iterator[str]:
    header = f"regions.{_key(region.name)}"
    yield from ("", f"[{header}]", *_fields(region, skip={"name"}, base=base))
    yield from _table(f"{header}.local", region.local)
    if region.journal is not None:
        yield from ("", f"[{header}.journal]", *_fields(region.journal))


def _changes(source: ChangeSource) -> Iterator[str]:
    header = f"changes.{_key(source.name)}"
    yield from ("", f"[{header}]", *_fields(source, skip={"name", "rules"}))
    for rule in source.rules:
        yield from ("", f"[{header}.tables.{_key(rule.table)}]", *_fields(rule, skip={"table"}))


def _alerting(alerting: AlertingOptions) -> Iterator[str]:
    yield from _table("alerting", alerting, skip={"sinks"})
    for sink in alerting.sinks:
        yield from ("", "[[alerting.sinks]]", *_fields(sink))


def _table(header: str, options: Any, skip: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    fields = list(_fields(options, skip))
    if fields:
        yield from ("", f"[{header}]", *fields)


def _fields(options: Any, skip: frozenset[str] | set[str] = frozenset(), base: Any = None) -> Iterator[str]:
    """Yield every setting that differs from its default, or from *base*, which a reader may start from."""
    options_class: type = type(options)
    specs = field_specs(options_class)
    defaults = {field.name: _default(field) for field in dataclasses.fields(options)}
    for key, spec in specs.items():
        value = getattr(options, spec.name)
        is_default = value == defaults[spec.name] and (base is None or value == getattr(base, spec.name))
        if key in skip or (is_default and key not in _ALWAYS):
            continue
        yield f"{key} = {_value(value, spec.name)}"


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _value(value: Any, name: str) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_string(part) for part in value)}]"
    if name.endswith("_s"):
        text = format_duration(value)
        return _string(text) if parse_duration(text) == value else repr(value)
    return repr(value)


def _key(name: str) -> str:
    is_bare = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    return name if is_bare else _string(name)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
