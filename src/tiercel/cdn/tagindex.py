"""
A bounded index from tags to URLs, for CDNs without tags whose objects come from the application and not from a bucket.

Both sides are bounded. A tag with more URLs than it may hold becomes *open*: it no longer knows all of its URLs, and
says so (None), so that its purge is widened instead of missing some. The same goes for a tag that was never seen, or
that fell out, once anything fell out at all. So the index may purge too much and never too little.

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
    """

    def __init__(self, *, max_tags: int = 50_000, max_paths: int = 200) -> None:
        self._paths: OrderedDict[str, set[str] | None] = OrderedDict()
        self._max_tags = max_tags
        self._max_paths = max_paths
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

    def find(self, tag: str) -> list[str] | None:
        """Return the paths that carry *tag*, sorted; None where they are not all known."""
        if tag not in self._paths:
            return [] if self.is_complete else None
        paths = self._paths[tag]
        return None if paths is None else sorted(paths)

    def forget(self, tag: str) -> None:
        """Drop *tag* after its purge: what carries it will be added again when it is served."""
        self._paths.pop(tag, None)
