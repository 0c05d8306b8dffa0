"""
Sweeps: invalidation by a true glob, in the background, a page of names at a time.

A declared prefix is a tag and costs one write; a glob has to look at every name of the region. The walk goes in small
pages, so it never blocks the server, and entries made while it runs may or may not be seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tiercel._async.invalidator import AsyncInvalidator
from tiercel._async.node import AsyncPlace
from tiercel._core.frame import Frame
from tiercel._core.keys import decode_key
from tiercel._paired import AsyncEvent, async_spawn

PAGE = 500


class AsyncSweep:
    """
    One walk over a region's names.

    Attributes:
        scanned: Names seen so far.
        matched: Of these, those that match.
        fallen: Of these, those invalidated; 0 in a dry run.
        is_done: Whether the walk has ended.
        error: What ended it early, if anything.
    """

    def __init__(self, place: AsyncPlace, invalidator: AsyncInvalidator, glob: str, *, dry_run: bool) -> None:
        self.scanned = 0
        self.matched = 0
        self.fallen = 0
        self.error: Exception | None = None
        self._place = place
        self._invalidator = invalidator
        self._matches = re.compile(glob_to_regex(glob), re.DOTALL).fullmatch
        self._dry_run = dry_run
        self._done = AsyncEvent()

    @property
    def is_done(self) -> bool:
        """Whether the walk has ended."""
        return self._done.is_set()

    def start(self) -> None:
        """Begin the walk in the background."""
        async_spawn("tiercel-sweep", self._run)

    async def wait(self, timeout_s: float = 3600.0) -> int:
        """Wait for the end; return how many entries fell (would fall, in a dry run), or raise what ended it early."""
        await self._done.wait_for(timeout_s)
        if self.error is not None:
            raise self.error
        return self.matched if self._dry_run else self.fallen

    async def _run(self) -> None:
        try:
            await self._walk()
        except Exception as error:
            self.error = error
        finally:
            self._done.set()

    async def _walk(self) -> None:
        place = self._place
        if place.core.far is None:
            return
        prefix = place.prefix + b"="
        async for names in place.core.far.scan(escaped(prefix) + b"*", PAGE):
            keys = [decode_key(name[len(prefix) - 1 :]) for name in names if name.startswith(prefix)]
            self.scanned += len(keys)
            found = [key for key in keys if isinstance(key, str) and self._matches(key)]
            self.matched += len(found)
            if found and not self._dry_run:
                await self._invalidator.keys(place, found, self._invalidator.receipt())
                self.fallen += len(found)


async def count_tagged(places: Sequence[AsyncPlace], tags: Mapping[int, str]) -> dict[str, int]:
    """
    Count the live entries that carry each of *tags*: what an invalidation of it would make fall.

    It walks the names of the regions and looks at every record; for dry runs only.
    """
    counts = dict.fromkeys(tags.values(), 0)
    for place in places:
        if place.core.far is None:
            continue
        async for names in place.core.far.scan(escaped(place.prefix) + b"[=#]*", PAGE):
            for frame in await place.core.far.get_many(names):
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
