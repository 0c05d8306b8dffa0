"""
A bounded index from tags to URLs, for CDNs without tags whose objects come from the application and not from a bucket.

It may purge too much and never too little: wherever it does not surely know every URL of a tag, it says so (None), and
the purge is widened to everything. It knows surely only

- what one process serves alone: another node's pages are in another index. Unless that is declared (`complete_from_s`),
  nothing is sure, and every purge by tag is a wide one;
- from the time on when what was served before its start has ended at the CDN;
- tags with no more URLs than one may hold, and, for tags that it never saw, as long as none fell out.

Not thread-safe by itself. Adding and finding cost O(1) for each tag and URL.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class TagIndex:
    """
    URL paths by portable tag.

    Args:
        max_tags: Most tags held; the least recently used falls out.
        max_paths: Most paths of one tag; one more and the tag is open.
        complete_from_s: From when on it has seen whatever the CDN may hold, seconds since the epoch; None for never.
    """

    def __init__(self, *, max_tags: int = 50_000, max_paths: int = 200, complete_from_s: float | None = None) -> None:
        self._paths: OrderedDict[str, set[str] | None] = OrderedDict()
        self._max_tags = max_tags
        self._max_paths = max_paths
        self._complete_from_s = complete_from_s
        self.is_complete = True
        """Whether every tag that was ever added is still held."""

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, path: str, tags: Iterable[str]) -> None:
        """Note that the response at *path* carries *tags*."""
        for tag in tags:
            paths = self._paths.setdefault(tag, set())
            self._paths.move_to_end(tag)
            if paths is not None:
                paths.add(path)
                if len(paths) > self._max_paths:
                    self._paths[tag] = None
        while len(self._paths) > self._max_tags:
            self._paths.popitem(last=False)
            self.is_complete = False

    def open(self, tags: Iterable[str]) -> None:
        """Note that *tags* are carried by something that no path names."""
        for tag in tags:
            self.add("", [tag])
            if tag in self._paths:
                self._paths[tag] = None

    def find(self, tag: str, now: float) -> list[str] | None:
        """Return the paths that carry *tag* at *now*, sorted; None where they are not surely all known."""
        if self._complete_from_s is None or now < self._complete_from_s:
            return None
        if tag not in self._paths:
            return [] if self.is_complete else None
        paths = self._paths[tag]
        return None if paths is None else sorted(paths)

    def forget(self, tag: str) -> None:
        """Drop *tag* after its purge: what carries it will be added again when it is served."""
        self._paths.pop(tag, None)
