"""
The entity graph: what falls when an entity changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tiercel.errors import ConfigurationError
from tiercel.options import EntityRule


@dataclass(frozen=True, slots=True)
class Fall:
    """
    What one change makes fall.

    Attributes:
        keys: (region, key) of each entry.
        tags: Tags, in the tenant's scope.
        paths: URL paths at the CDN.
    """

    keys: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def fall_of(rule: EntityRule, entity_id: str, regions: Collection[str]) -> Fall:
    """
    Return what falls with the entity *entity_id* by *rule*.

    Args:
        rule: The entity's row of the graph.
        entity_id: Its key; stands for ``{id}``.
        regions: Regions of the matrix. A reference to another name falls as the tag of its spelling.
    """
    keys: list[tuple[str, str]] = []
    tags = [_filled(tag, entity_id) for tag in rule.tags]
    for reference in rule.regions:
        region, _, template = reference.partition(":")
        if region in regions:
            keys.append((region, _filled(template or "{id}", entity_id)))
        else:
            tags.append(_filled(reference, entity_id))
    paths = tuple(_filled(path, entity_id) for path in rule.paths)
    return Fall(tuple(dict.fromkeys(keys)), tuple(dict.fromkeys(tags)), paths)


def _filled(template: str, entity_id: str) -> str:
    return template.replace("{id}", entity_id)


def rule_named(rules: Collection[EntityRule], name: str) -> EntityRule:
    """Return the rule of entity *name*; raise `ConfigurationError` that lists the known ones."""
    for rule in rules:
        if rule.name == name:
            return rule
    known = ", ".join(sorted(rule.name for rule in rules)) or "none"
    raise ConfigurationError(f"unknown entity {name!r}; the matrix defines: {known}")
