"""
Whether reads are being collected: while they are, decorated calls take the slow way, which notes what was read.

One flag for the process, read by every decorated hit in both implementations. Plain reads (`LocalView.get`) do not look
at it; who calls them does.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

__all__ = ["reads_are_watched", "watch_reads"]

reads_are_watched = False


def watch_reads(is_watched: bool) -> None:
    """Send every decorated call the slow way, or let hits be plain again."""
    global reads_are_watched  # noqa: PLW0603  # one flag that hits may test
    reads_are_watched = is_watched
    switch = _native_switch()
    if switch is not None:
        switch(is_watched)


@functools.cache
def _native_switch() -> Callable[[bool], None] | None:
    """Return the accelerator's own flag; looked up late, because the accelerator imports from this room."""
    try:
        switch: Callable[[bool], None] = importlib.import_module("tiercel.local._native").watch_reads
    except ImportError:
        return None
    return switch
