"""
Where in a TOML text a table or a key stands, so that a message can name the line.

``tomllib`` keeps no positions. This looks only for what people write (one header or one ``key = value`` a line) and
answers None where it cannot say: a missing line number is a lesser evil than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["line_of"]

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"""\s*([A-Za-z0-9_\-."' ]+?)\s*=""")
_PART: Final = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")


def line_of(text: str, path: Sequence[str]) -> int | None:
    """
    Return the 1-based line of the table or key at *path*, or of the nearest table around it.

    The parts of *path* are table names; the n-th element of an array of tables is the part ``"#n"``, from 1.
    """
    lines: dict[tuple[str, ...], int] = {}
    for position, number in _positions(text):
        lines[position] = number
        for length in range(1, len(position)):  # [a.b] also stands for [a], which may have no header of its own
            lines.setdefault(position[:length], number)
    for length in range(len(path), 0, -1):
        found = lines.get(tuple(path[:length]))
        if found is not None:
            return found
    return None


def _positions(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    elements: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header[2])
            if header[1] == "[[":
                elements[table] = elements.get(table, 0) + 1
            table = _with_elements(table, elements)
            yield table, number
        elif key := _KEY.match(line):
            yield table + _parts(key[1]), number


def _with_elements(table: tuple[str, ...], elements: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """Put ``#n`` after each part of *table* that is an array of tables."""
    result: list[str] = []
    for length, part in enumerate(table, 1):
        result.append(part)
        if count := elements.get(table[:length]):
            result.append(f"#{count}")
    return tuple(result)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(next(part for part in match.groups() if part is not None) for match in _PART.finditer(dotted))
