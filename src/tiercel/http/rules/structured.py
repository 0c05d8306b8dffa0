"""
Structured Field dictionaries (RFC 9651), as far as cache directives need them.

Members may be items of every bare type, inner lists, and have parameters. Parsing is strict: one malformed member
makes the whole field invalid, as the RFC demands, and an invalid field counts as absent.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Item", "parse_dictionary"]

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_BARE_ITEM = re.compile(
    r"""
      (?P<decimal>-?\d{1,12}\.\d{1,3}(?!\d))
    | (?P<integer>-?\d{1,15}(?![\d.]))
    | "(?P<string>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"
    | (?P<token>[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)
    | :(?P<octets>[A-Za-z0-9+/=]*):
    | \?(?P<boolean>[01])
    | @(?P<date>-?\d{1,15})
    """,
    re.VERBOSE,
)
_SPACES = re.compile(r" *")
_OPTIONAL_SPACE = re.compile(r"[ \t]*")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


class Item(NamedTuple):
    """A member's value: int, bool, or its text for every other type; its parameters are checked and dropped."""

    value: int | bool | str


class _Malformed(ValueError):
    """The text is no dictionary."""


def parse_dictionary(text: str) -> dict[str, Item] | None:
    """Return the members of the dictionary in *text* by key, the last of equals; None where it is malformed."""
    try:
        return _Reader(text.strip(" ")).dictionary()
    except _Malformed:
        return None


class _Reader:
    """A cursor over the text of one field."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def dictionary(self) -> dict[str, Item]:
        members: dict[str, Item] = {}
        while self._position < len(self._text):
            key = self._take(_KEY)
            members.pop(key, None)
            members[key] = self._member()
            self._take(_OPTIONAL_SPACE)
            if self._position == len(self._text):
                return members
            self._take(_COMMA)
            if self._position == len(self._text):
                raise _Malformed("trailing comma")
        return members

    def _member(self) -> Item:
        item = self._value() if self._skip("=") else Item(True)
        self._parameters()
        return item

    def _value(self) -> Item:
        if not self._skip("("):
            return self._bare_item()
        start = self._position
        self._take(_SPACES)
        while not self._skip(")"):
            self._bare_item()
            self._parameters()
            if not self._text.startswith((" ", ")"), self._position):
                raise _Malformed("inner list")
            self._take(_SPACES)
        return Item(self._text[start : self._position - 1])

    def _bare_item(self) -> Item:
        match = _BARE_ITEM.match(self._text, self._position)
        if match is None:
            raise _Malformed("bare item")
        self._position = match.end()
        if match["integer"] is not None:
            return Item(int(match["integer"]))
        if match["boolean"] is not None:
            return Item(match["boolean"] == "1")
        return Item(match.group())

    def _parameters(self) -> None:
        while self._skip(";"):
            self._take(_SPACES)
            self._take(_KEY)
            if self._skip("="):
                self._bare_item()

    def _skip(self, literal: str) -> bool:
        found = self._text.startswith(literal, self._position)
        self._position += len(literal) if found else 0
        return found

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise _Malformed(pattern.pattern)
        self._position = match.end()
        return match.group()
