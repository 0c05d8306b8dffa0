"""
The reverse dictionary of portable tags: what a hashed name stands for, for people who read purge reports.

It is filled by whoever makes names (`TagCodec`): publishing, purging, the page cache. Bounded, the least recently made
fall; a name that has fallen out, or that another process made, is simply not known.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple


class Meaning(NamedTuple):
    """Whose tag it is, and which."""

    tenant: str
    tag: str


class TagDictionary:
    """
    Meanings by portable name; safe to share between threads. Remembering what is known costs one look and one move.

    Args:
        limit: Most names held.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._meanings: OrderedDict[str, Meaning] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._meanings)

    def remember(self, name: str, tenant: str, tag: str) -> None:
        """Note that *name* stands for *tag* of *tenant*."""
        with self._lock:
            self._meanings[name] = Meaning(tenant, tag)
            self._meanings.move_to_end(name)
            if len(self._meanings) > self._limit:
                self._meanings.popitem(last=False)

    def lookup(self, name: str) -> Meaning | None:
        """Return what *name* stands for, or None where it was never seen or has fallen out."""
        return self._meanings.get(name)
