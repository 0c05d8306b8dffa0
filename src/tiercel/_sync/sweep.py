# Generated from src/tiercel/_async/sweep.py by tools/unasync.py. Do not edit.
"""
Sweeps: invalidation by a true glob, in the background, a page of names at a time.

A declared prefix is a tag and costs one write; a glob has to look at every name of the region. The walk goes in small
pages, so it never blocks the server, and entries made while it runs may or may not be seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tiercel._sync.invalidator import Invalidator
from tiercel._sync.node import Place
from tiercel._core.frame import Frame
from tiercel._core.keys import decode_key
from tiercel._paired import Event, spawn

PAGE = 500


class Sweep:
    """
    One walk over a region's names.

    Attributes:
        scanned: Names seen so far.
        matched: Of these, those that match.
        fallen: Of these, those invalidated; 0 in a dry run.
        is_done: Whether the walk has ended.
        error: What ended it early, if anything.
    """

    def __init__(self, place: Place, invalidator: Invalidator, glob: str, *, dry_run: bool) -> None:
        self.scanned = 0
        self.matched = 0
        self.fallen = 0
        self.error: Exception | None = None
        self._place = place
        self._invalidator = invalidator
        self._matches = re.compile(glob_to_regex(glob), re.DOTALL).fullmatch
        self._dry_run = dry_run
        self._done = Event()

    @property
    def is_done(self) -> bool:
        """Whether the walk has ended."""
        return self._done.is_set()

    def start(self) -> None:
        """Begin the walk in the background."""
        spawn("tiercel-sweep", self._run)

    def wait(self, timeout_s: float = 3600.0) -> int:
        """Wait for the end; return how many entries fell (would fall, in a dry run), or raise what ended it early."""
        self._done.wait_for(timeout_s)
        if self.error is not None:
            raise self.error
        return self.matched if self._dry_run else self.fallen

    def _run(self) -> None:
        try:
            self._walk()
        except Exception as error:
            self.error = error
        finally:
            self._done.set()

    def _walk(self) -> None:
        place = self._place
        if place.core.far is None:
            return
        prefix = place.prefix + b"="
        for names in place.core.far.scan(escaped(prefix) + b"*", PAGE):
            keys = [decode_key(name[len(prefix) - 1 :]) for name in names if name.startswith(prefix)]
            self.scanned += len(keys)
            found = [key for key in keys if isinstance(key, str) and self._matches(key)]
            self.matched += len(found)
            if found and not self._dry_run:
                self._invalidator.keys(place, found, self._invalidator.receipt())
                self.fallen += len(found)


def count_tagged(places: Sequence[Place], tags: Mapping[int, str]) -> dict[str, int]:
    """
    Count the live entries that carry each of *tags*: what an invalidation of it would make fall.

    It walks the names of the regions and looks at every record; for dry runs only.
    """
    counts = dict.fromkeys(tags.values(), 0)
    for place in places:
        if place.core.far is None:
            continue
        for names in place.core.far.scan(escaped(place.prefix) + b"[=#]*", PAGE):
            for frame in place.core.far.get_many(names):
                for tag in _carried(frame, tags):
                    counts[tag] += 1
    return counts


def _carried(frame: Frame | None, tags: Mapping[int, str]) -> list[str]:
    if frame is None or not frame.has_body:
        return []
    return [tags[tag] for tag, _ in frame.tags if tag in tags]


def glob_to_regex(glob: str) -> str:
    """Return the regular expression of a *glob*: ``*`` any text, ``?`` one character, all else itself."""
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in glob)


def escaped(prefix: bytes) -> bytes:
    """Return *prefix* so that the server's glob matches it literally."""
    return re.sub(rb"([\\*?\[\]^-])", rb"\\\1", prefix)
