"""
An estimate of the memory that a value keeps alive, in bytes.

Containers, dataclasses, slotted and plain objects are followed; an object met twice counts once. Modules, classes and
functions count nothing, for they live anyway; nor do the names of fields, which all records of a kind share: the str
keys of a dictionary of at most `MOST_FIELDS`. The walk stops after `LARGEST_WALK` objects and extrapolates: a list of a
million rows is measured by its first thousands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

__all__ = ["weigh", "weigh_pair", "weigh_stamps"]

LARGEST_WALK = 4096
ATOMS = frozenset({int, float, bool, complex, type(None), str, bytes, bytearray})
SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)
LARGEST_SHARED_INT = 256
MOST_FIELDS = 64
EXTRA_BYTES = 32
TAGS_BYTES = 64
TAG_BYTES = 144


def weigh(value: Any) -> int:
    """Return about how many bytes *value* and all that only it holds take; at least 1."""
    if type(value) in ATOMS:
        return _size(value)
    total = 0
    walked = 0
    seen: set[int] = set()
    waiting = [value]
    while waiting and walked < LARGEST_WALK:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, SHARED):
            continue
        walked += 1
        total += _size(item)
        if type(item) not in ATOMS:
            seen.add(id(item))
            waiting.extend(_parts(item))
    if waiting:
        total += total * len(waiting) // walked
    return max(total, 1)


def weigh_pair(key: str | bytes, value: Any) -> int:
    """Return about how many bytes an entry's key and value take."""
    return _size(key) + weigh(value)


def weigh_stamps(tags: int, *, has_extra: bool) -> int:
    """Return the bytes of what most entries lack: a version or a time to be kept, and *tags* tags."""
    return EXTRA_BYTES * has_extra + (TAGS_BYTES + TAG_BYTES * tags if tags else 0)


def _size(item: Any) -> int:
    """Return the object's own bytes as the allocator rounds them; small shared constants are free."""
    if item is None or item is True or item is False or (type(item) is int and -5 <= item <= LARGEST_SHARED_INT):
        return 1
    return (sys.getsizeof(item, 64) + 15) & ~15


def _parts(item: Any) -> Iterable[Any]:
    if isinstance(item, Mapping):
        has_fields = len(item) <= MOST_FIELDS
        keys = [key for key in item if not (has_fields and type(key) is str)]
        return [*keys, *item.values()]
    if isinstance(item, (list, tuple, set, frozenset)):
        return list(item)
    parts = [vars(item)] if hasattr(item, "__dict__") else []
    for kind in type(item).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        parts.extend(getattr(item, name) for name in names if hasattr(item, name))
    return parts
