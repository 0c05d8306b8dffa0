"""
What falls with a row: a rule's templates, filled from the row's columns.

A column that is null names nothing: the template it stands in is left out. A column that the image of a row does not
show at all leaves open what fell, and raises `UnknownColumn`; then whatever the rule could mean has to fall.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tiercel._core.changeoptions import ChangeRule
from tiercel._core.keys import check_tag, check_tenant, encode_key
from tiercel.errors import ConfigurationError, KeyRefused
from tiercel.options import EntityRule, RegionOptions
from tiercel.typing import GLOBAL

__all__ = ["RowFall", "RowRule", "Template", "UnknownColumn"]

_FIELD: Final = re.compile(r"\{([^{}]*)\}")


class UnknownColumn(KeyError):
    """The image of a row does not show a column that a template needs."""


class Template:
    """
    Text with columns in braces.

    Args:
        text: ``"category:{category}"``; a dot reaches into a document: ``{vendor.id}``.

    Raises:
        ConfigurationError: A brace without its partner, or nothing between two.
    """

    __slots__ = ("_pieces", "columns", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        pieces = _FIELD.split(text)
        self._pieces = list(zip(pieces[::2], [*pieces[1::2], ""], strict=True))
        self.columns = frozenset(pieces[1::2])
        if any("{" in literal or "}" in literal for literal in pieces[::2]) or "" in self.columns:
            raise ConfigurationError(f"{text!r} is no template: name columns in braces, such as {{category}}")

    def fill(self, row: Mapping[str, Any]) -> str | None:
        """Return the text with the row's values, None where one of them is null; raises `UnknownColumn`."""
        parts: list[str] = []
        for literal, column in self._pieces:
            parts.append(literal)
            if column:
                value = _value_of(row, column)
                if value is None:
                    return None
                parts.append(value)
        return "".join(parts)


def _value_of(row: Mapping[str, Any], column: str) -> str | None:
    if column in row:
        value = row[column]
    else:
        value = row
        for part in column.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise UnknownColumn(column)
            value = value[part]
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class RowFall:
    """
    What one image of a row names.

    Attributes:
        tenant: Whose it is.
        keys: (tenant, region, key) of each entry: a region of scope ``global`` has its entries in `GLOBAL`.
        tags: In the tenant's scope.
        paths: At the CDN.
        floor: The row's version, 0 where unknown.
    """

    tenant: str
    keys: tuple[tuple[str, str, str], ...]
    tags: tuple[str, ...]
    paths: tuple[str, ...]
    floor: int


class RowRule:
    """
    A rule with its entity's row of the graph worked in.

    Args:
        rule: What the matrix says of the table.
        entity: The entity that it names, or None.
        regions: Regions of the matrix. A reference to another name falls as the tag of its spelling.

    Attributes:
        columns: Every column that some template needs.
        wanted: These and the version.
        regions: Names of the regions whose entries it makes fall by key.
        has_tags: Whether it also makes tags or paths fall.
    """

    def __init__(self, rule: ChangeRule, entity: EntityRule | None, regions: Mapping[str, RegionOptions]) -> None:
        self.table = rule.table
        references = [*rule.regions]
        tags, paths = [*rule.tags], [*rule.paths]
        if entity is not None:
            references += [_of_row(each, rule.id) for each in entity.regions]
            tags += [_of_row(each, rule.id) for each in entity.tags]
            paths += [_of_row(each, rule.id) for each in entity.paths]
        self._tenant = Template(rule.tenant)
        self._keys = [_key_template(each, rule.id) for each in references if each.partition(":")[0] in regions]
        tags += [each for each in references if each.partition(":")[0] not in regions]
        self._tags = [Template(each) for each in dict.fromkeys(tags)]
        self._paths = [Template(each) for each in dict.fromkeys(paths)]
        self._shared = frozenset(name for name, options in regions.items() if options.scope == "global")
        self._version = rule.version
        self.regions = tuple(dict.fromkeys(region for region, _ in self._keys))
        self.has_tags = bool(self._tags or self._paths)
        named = [self._tenant, *(template for _, template in self._keys), *self._tags, *self._paths]
        self.columns: frozenset[str] = frozenset().union(*(template.columns for template in named))
        self.wanted = self.columns | {rule.version} if rule.version else self.columns

    def fall_of(self, row: Mapping[str, Any], *, is_gone: bool = False) -> RowFall | None:
        """
        Return what falls with *row*, None where it can have no copies: no tenant, or one that no key can exist in.

        Args:
            row: The values of one image.
            is_gone: The row is no more: versions up to its last one are refused.

        Raises:
            UnknownColumn: The image does not show a column that is needed.
        """
        tenant = self._tenant.fill(row)
        if tenant is None or not _is_usable(check_tenant, tenant):
            return None
        keys = []
        for region, template in self._keys:
            key = template.fill(row)
            if key is not None and _is_usable(encode_key, key):
                keys.append((GLOBAL if region in self._shared else tenant, region, key))
        tags = [tag for tag in (template.fill(row) for template in self._tags) if tag and _is_usable(check_tag, tag)]
        paths = [path for path in (template.fill(row) for template in self._paths) if path]
        return RowFall(tenant, tuple(keys), tuple(tags), tuple(paths), self._floor(row, is_gone))

    def _floor(self, row: Mapping[str, Any], is_gone: bool) -> int:
        """Return the version below which copies are refused, 0 where the row tells none."""
        version = row.get(self._version) if self._version else None
        try:
            return max(0, int(version) + is_gone) if version is not None else 0
        except (TypeError, ValueError):
            return 0


def _of_row(template: str, row_id: str) -> str:
    return template.replace("{id}", row_id)


def _key_template(reference: str, row_id: str) -> tuple[str, Template]:
    region, _, template = reference.partition(":")
    return region, Template(template or row_id)


@functools.lru_cache(maxsize=4096)
def _is_usable(check: Any, name: str) -> bool:
    """Say whether *name* can exist in the cache; where it cannot, no copy of it does either."""
    try:
        check(name)
    except KeyRefused:
        return False
    return True
