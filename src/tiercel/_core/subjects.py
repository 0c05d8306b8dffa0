"""
Subjects: whose data an entry is, by the entity graph read backwards.

``[entities.user] regions = ["profile:{id}", "session:user:{id}"]`` says that the entry ``user:7`` of region ``session``
belongs to the subject ``user:7``: the entity's name, a colon, its key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tiercel.errors import KeyRefused
from tiercel.options import EntityRule
from tiercel.typing import Key


class SubjectBook:
    """
    Args:
        rules: The entities of the matrix.
    """

    __slots__ = ("_patterns",)

    def __init__(self, rules: Iterable[EntityRule]) -> None:
        self._patterns: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        for rule in rules:
            for reference in rule.regions:
                region, _, template = reference.partition(":")
                if template and "{id}" not in template:
                    continue  # one entry for all entities is nobody's
                self._patterns.setdefault(region, []).append((rule.name, _pattern(template or "{id}")))

    def subject_of(self, region: str, key: Key) -> str | None:
        """Return the subject that an entry belongs to, None where it is nobody's."""
        if isinstance(key, str):
            for entity, pattern in self._patterns.get(region, ()):
                match = pattern.fullmatch(key)
                if match is not None:
                    return f"{entity}:{match['id']}"
        return None


def split_subject(subject: str) -> tuple[str, str]:
    """Return (entity, id) of a subject; raise `KeyRefused` unless it reads ``entity:id``."""
    entity, separator, entity_id = subject.partition(":")
    if not (entity and separator and entity_id):
        raise KeyRefused(f"subject {subject!r}: write entity:id, for example user:42")
    return entity, entity_id


def _pattern(template: str) -> re.Pattern[str]:
    before, _, rest = template.partition("{id}")
    again = "(?P=id)".join(re.escape(part) for part in rest.split("{id}"))
    return re.compile(f"{re.escape(before)}(?P<id>.+){again}", re.DOTALL)
