"""
The reader of option tables: plain TOML values to the fields of an option class, with every mistake collected.

A duration field ``ttl_s`` is spelled ``ttl`` in a file and takes ``"30m"``; a ``*_bytes`` field takes ``"64 MB"``; a
field that may be None takes ``"none"``. Unknown keys are mistakes and come with the nearest known name. Nothing is
raised for a mistake in the file: it becomes a `Problem`, so that one run names them all.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union

from tiercel._core.durations import parse_duration, parse_size
from tiercel.errors import ConfigurationError

__all__ = ["FieldSpec", "Problem", "TableReader", "field_specs", "near_miss", "nearest"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the path of the table or key, and what is wrong with it."""

    path: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """How one field of an option class is spelled in a file."""

    key: str
    name: str
    hint: Any
    is_optional: bool


@cache
def field_specs(options: type) -> dict[str, FieldSpec]:
    """Return the fields of an option class that a file can set, by their spelling in the file."""
    hints = typing.get_type_hints(options)
    specs: dict[str, FieldSpec] = {}
    for field in dataclasses.fields(options):
        hint, is_optional = _without_none(hints[field.name])
        is_code = hint is Any or typing.get_origin(hint) is Callable
        are_tables = any(map(dataclasses.is_dataclass, typing.get_args(hint)))
        if is_code or are_tables or dataclasses.is_dataclass(hint):
            continue
        key = field.name.removesuffix("_s")
        specs[key] = FieldSpec(key, field.name, hint, is_optional)
    return specs


class TableReader:
    """Reads tables of one file; `problems` holds what was wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def fail(self, path: tuple[str, ...], message: str) -> None:
        """Note a mistake."""
        self.problems.append(Problem(path, message))

    def table(self, value: object, path: tuple[str, ...]) -> Mapping[str, Any]:
        """Return *value* as a table; an empty one, and a problem, where it is something else."""
        if isinstance(value, Mapping):
            return value
        self.fail(path, f"{'.'.join(path)} must be a table, not {_kind(value)}")
        return {}

    def unknown(self, table: Mapping[str, Any], known: Iterable[str], path: tuple[str, ...]) -> None:
        """Note every key of *table* that is not *known*."""
        names = sorted(known)
        for key in table:
            if key not in names:
                where = f" in [{'.'.join(path)}]" if path else ""
                self.fail((*path, key), f"unknown key {key!r}{where}{nearest(key, names)}")

    def fields(
        self, options: type, table: Mapping[str, Any], path: tuple[str, ...], *, also: Iterable[str] = ()
    ) -> dict[str, Any]:
        """
        Return the constructor arguments that *table* gives for the class *options*.

        Args:
            options: A dataclass of `tiercel.options`.
            table: The table as parsed.
            path: Where it stands.
            also: Keys that the caller reads itself.
        """
        specs = field_specs(options)
        also = set(also)
        self.unknown(table, specs.keys() | also, path)
        arguments: dict[str, Any] = {}
        for key, value in table.items():
            spec = specs.get(key)
            if spec is None or key in also:
                continue
            try:
                arguments[spec.name] = _convert(value, spec)
            except ValueError as error:
                self.fail((*path, key), f"{key}: {error}")
        return arguments

    def build(self, options: type[T], arguments: Mapping[str, Any], path: tuple[str, ...], base: T | None) -> T | None:
        """Make the object from *base* (or the defaults) and *arguments*; None, and a problem, where they contradict."""
        try:
            if base is None:
                return options(**arguments)
            return dataclasses.replace(base, **arguments)  # type: ignore[type-var]  # every option class is one
        except ConfigurationError as error:
            self.fail(path, str(error))
        except TypeError as error:
            self.fail(path, f"{'.'.join(path)}: {error}")
        return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'?"`` for a near miss, else the list of what is allowed."""
    names = sorted(known)
    allowed = f": allowed are {', '.join(names)}" if names else ""
    return near_miss(name, names) or allowed


def near_miss(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``": did you mean 'x'?"`` where a known name is near, else nothing."""
    close = difflib.get_close_matches(name, sorted(known), 1, cutoff)
    return f": did you mean {close[0]!r}?" if close else ""


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _convert(value: object, spec: FieldSpec) -> Any:
    if spec.is_optional and value == "none":
        return None
    if spec.name.endswith("_s"):
        return parse_duration(value)
    if spec.name.endswith("_bytes"):
        return parse_size(value)
    origin = typing.get_origin(spec.hint)
    if origin is Literal:
        return _one_of(value, typing.get_args(spec.hint))
    if origin is tuple:
        return _strings(value, typing.get_args(spec.hint)[0])
    if origin is not None:
        return _string_map(value)
    return _plain(value, spec.hint)


def _one_of(value: object, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        hint = nearest(value, allowed) if isinstance(value, str) else f": allowed are {', '.join(allowed)}"
        raise ValueError(f"{value!r} is not allowed{hint}")
    return value


def _strings(value: object, element: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _mismatch('a list such as ["a", "b"]', value)
    if typing.get_origin(element) is Literal:
        return tuple(_one_of(part, typing.get_args(element)) for part in value)
    return tuple(_plain(part, str) for part in value)


def _string_map(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _mismatch("a table of strings", value)
    return {key: _plain(part, str) for key, part in value.items()}


def _plain(value: object, expected: type) -> Any:
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise _mismatch(_NAMES[expected], value)
    return value


_NAMES: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _mismatch(expected: str, value: object) -> ValueError:
    return ValueError(f"must be {expected}, not {_kind(value)}")


def _kind(value: object) -> str:
    if isinstance(value, (str, int, float, bool)):
        return f"{_NAMES[type(value)]} ({value!r})"
    return _NAMES.get(type(value), type(value).__name__)
