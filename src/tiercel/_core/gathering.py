"""
Gathering: what falls due within a moment and can be done in one go.

The first member of a group is told so, and whoever put it there comes back after a pause and takes the whole group. A
group is cut into batches of a bounded size; what is left waits for the next turn of the same taker.

Pure, and not thread-safe.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Gathering"]

G = TypeVar("G", bound=Hashable)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Gathering(Generic[G, K, V]):
    """
    Args:
        most: Largest batch.
    """

    __slots__ = ("_groups", "most")

    def __init__(self, most: int = 500) -> None:
        self.most = most
        self._groups: dict[G, dict[K, V]] = {}

    def add(self, group: G, key: K, item: V) -> bool:
        """Add *item* to *group* under *key*; return whether it is the first, so that the caller must take the group."""
        members = self._groups.get(group)
        if members is None:
            self._groups[group] = {key: item}
            return True
        members[key] = item
        return False

    def take(self, group: G) -> dict[K, V]:
        """Remove and return a batch of *group*, oldest first; empty, and the group is closed, once none is left."""
        members = self._groups.get(group, {})
        batch = {key: members.pop(key) for key in list(members)[: self.most]}
        if not batch:
            self._groups.pop(group, None)
        return batch
