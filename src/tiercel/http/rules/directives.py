"""
Cache directives: ``Cache-Control`` (RFC 9111 section 5.2) and its targeted siblings (RFC 9213), parsed.

A doubtful directive is read the cautious way: a duration that is malformed, or that is given twice with different
values, is zero, so that what carries it is stale.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tiercel.http.rules.headers import Headers
from tiercel.http.rules.structured import Item, parse_dictionary

__all__ = ["MAX_SECONDS", "Directives", "delta_seconds", "parse_age", "response_directives"]

MAX_SECONDS = 2**31
"""Durations beyond this are cut to it (RFC 9111 section 1.2.2)."""

_MEMBER = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')


class Directives:
    """The directives of one message; names in lower case."""

    __slots__ = ("_values", "is_targeted")

    def __init__(self, values: dict[str, list[str | None]], *, is_targeted: bool = False) -> None:
        self._values = values
        self.is_targeted = is_targeted
        """True where a targeted field spoke, which makes ``Cache-Control`` and ``Expires`` irrelevant here."""

    @classmethod
    def parse(cls, text: str | None) -> Directives:
        """Return the directives of a ``Cache-Control`` value; none for None."""
        values: dict[str, list[str | None]] = {}
        for member in _MEMBER.findall(text or ""):
            name, separator, argument = member.strip().partition("=")
            if name:
                values.setdefault(name.lower(), []).append(_unquoted(argument) if separator else None)
        return cls(values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def seconds(self, name: str) -> int | None:
        """Return the duration of directive *name*: None where it is absent, 0 where it cannot be trusted."""
        arguments = self._values.get(name)
        if arguments is None:
            return None
        durations = {delta_seconds(argument) for argument in arguments}
        return (durations.pop() or 0) if len(durations) == 1 else 0

    def is_bare(self, name: str) -> bool:
        """Say whether directive *name* is there at least once without a list of fields."""
        return any(argument is None or not argument.strip() for argument in self._values.get(name, ()))

    def fields(self, name: str) -> frozenset[str]:
        """Return the field names, in lower case, that directive *name* lists, as in ``no-cache="a, b"``."""
        listed = ",".join(argument for argument in self._values.get(name, ()) if argument)
        return frozenset(member.strip(' "').lower() for member in listed.split(",") if member.strip(' "'))


def delta_seconds(text: str | None) -> int | None:
    """Return *text* as a non-negative number of seconds, at most `MAX_SECONDS`, or None where it is none."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return MAX_SECONDS if len(digits) > 10 else min(int(digits or "0"), MAX_SECONDS)


def parse_age(headers: Headers) -> int:
    """
    Return the value of ``Age``, 0 where there is none that is valid (RFC 9111 section 5.1).

    Of several the first counts. A parameter, which the grammar does not know, is cut off: reading the number makes
    the response older, and older is the safe side.
    """
    first = (headers.get("age") or "").partition(",")[0].partition(";")[0]
    return delta_seconds(first.strip()) or 0


def response_directives(headers: Headers, targets: Sequence[str]) -> Directives:
    """
    Return what a response says to this cache.

    Args:
        headers: The response's fields.
        targets: Targeted fields that address this cache, the most specific first, in lower case. The first that
            is there, valid and not empty replaces ``Cache-Control`` altogether (RFC 9213 section 2.2).
    """
    for target in targets:
        text = headers.get(target)
        members = parse_dictionary(text) if text is not None else None
        if members:
            values = {name: [_as_argument(item)] for name, item in members.items()}
            return Directives(values, is_targeted=True)
    return Directives.parse(headers.get("cache-control"))


def _as_argument(item: Item) -> str | None:
    # A duration must be an Integer there: a String keeps its quotes, so that it reads as malformed, which is zero.
    return None if item.value is True else str(item.value)


def _unquoted(argument: str) -> str:
    if len(argument) >= 2 and argument[0] == argument[-1] == '"':
        return re.sub(r"\\(.)", r"\1", argument[1:-1])
    return argument
