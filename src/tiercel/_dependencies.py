"""
Dependency tracking: the tags of what is read while something is computed.

A computed value (a cached function, a loader, an HTTP response) depends on every entry that was read to make it.
While a `Collector` is open in the current context, reads add their tags and tokens to it; contexts follow awaits and
are copied into threads that Tiercel starts. With no collector open anywhere a hit pays one integer test
(`open_collectors`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tiercel._core.frame import TagToken
from tiercel.local.watch import watch_reads

MAX_TOKENS = 256
open_collectors = 0
_count_lock = threading.Lock()
_current: ContextVar[Collector | None] = ContextVar("tiercel_collector", default=None)


class Collector:
    """
    What was read inside one computation.

    Attributes:
        tokens: Tag hash to the token that it had when the entry was made; two tokens for one tag make it 0, which
            never holds: the computation mixed two generations.
        tags: Tags by name, for the edge; in order of first use.
        uncacheable: Set where a private entry (a session, say) was read: the result must not be shared.
        overflowed: Set where more than 256 tags were read; the result must not be cached.
        left_s: The least time that anything read stays fresh; infinite where nothing was read.
    """

    __slots__ = ("_names", "left_s", "overflowed", "parent", "tokens", "uncacheable")

    def __init__(self, parent: Collector | None = None) -> None:
        self.parent = parent
        self.tokens: dict[int, int] = {}
        self._names: dict[str, None] = {}
        self.uncacheable = False
        self.overflowed = False
        self.left_s = math.inf

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the tags read, in order of first use."""
        return tuple(self._names)

    def why_not_shared(self, own: tuple[TagToken, ...] | None) -> str:
        """Say in a word or two why a result that carries *own* must not be shared; empty where it may."""
        before = dict(own or ())
        reasons = {
            "private read": self.uncacheable,
            "too many dependencies": self.overflowed,
            # Two generations of one thing went into it, or it is not known which.
            "mixed read": any(not token or before.get(tag, token) != token for tag, token in self.tokens.items()),
            "tags unknown": own is None,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def stamps_with(self, own: tuple[TagToken, ...] | None) -> tuple[TagToken, ...] | None:
        """Return *own* and what was read, as what a result carries; None where `why_not_shared` says a word."""
        if own is None or self.why_not_shared(own):
            return None
        before = dict(own)
        return (*own, *((tag, token) for tag, token in self.tokens.items() if tag not in before))

    def add(
        self,
        tokens: tuple[TagToken, ...],
        names: tuple[str, ...] = (),
        *,
        private: bool = False,
        left_s: float = math.inf,
    ) -> None:
        """Note one read, here and in every computation around this one."""
        collector: Collector | None = self
        while collector is not None:
            collector.take(tokens, names, private, left_s)
            collector = collector.parent

    def take(self, tokens: tuple[TagToken, ...], names: tuple[str, ...], private: bool, left_s: float) -> None:
        """Note one read in this computation alone."""
        self.uncacheable = self.uncacheable or private
        self.left_s = min(self.left_s, left_s)
        for name in names:
            self._names[name] = None
        for tag, token in tokens:
            self.tokens[tag] = token if self.tokens.get(tag, token) == token else 0
        if len(self.tokens) > MAX_TOKENS:
            self.overflowed = True
            self.tokens.clear()


@contextmanager
def collecting(*, isolated: bool = False) -> Iterator[Collector]:
    """
    Collect the tags of every read made inside the block.

    Args:
        isolated: Do not pass what is read on to a computation around this one.
    """
    outer = _current.get()
    collector = Collector(None if isolated else outer)
    mark = _current.set(collector)
    _count(1)
    try:
        yield collector
    finally:
        _count(-1)
        _current.reset(mark)


def _count(step: int) -> None:
    global open_collectors  # noqa: PLW0603  # one integer that hits may test
    with _count_lock:
        was_open = open_collectors > 0
        open_collectors += step
        if was_open != (open_collectors > 0):
            watch_reads(open_collectors > 0)


def note(
    tokens: tuple[TagToken, ...],
    names: tuple[str, ...] = (),
    *,
    private: bool = False,
    left_s: float = math.inf,
) -> None:
    """Add a read to the open collector, if there is one."""
    collector = _current.get()
    if collector is not None:
        collector.add(tokens, names, private=private, left_s=left_s)


def current() -> Collector | None:
    """Return the collector of the computation that this is called in; None outside of any."""
    return _current.get()


def is_collecting() -> bool:
    """Say whether a read made here is collected."""
    return open_collectors > 0 and _current.get() is not None
