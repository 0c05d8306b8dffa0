"""
What a forked child does with its parent's connections: nothing, as soon as it can.

Two processes that write to one socket mix their commands, and read each other's replies. So every lane is told in the
child, before anything else runs there, and starts without connections. The child's copies of the sockets are closed
without a word to the server; the parent's connections stand.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol

__all__ = ["watch"]


class Forkable(Protocol):
    """Something with connections."""

    def after_fork(self) -> list[Any]: ...


_watched: weakref.WeakSet[Any] = weakref.WeakSet()
# A transport of the parent's event loop must not be finalised here: that would unregister it from the selector that
# both processes share.
_inherited: list[Any] = []


def watch(lane: Forkable) -> None:
    """Tell *lane* in every child that is forked from now on, as long as it lives."""
    _watched.add(lane)


def _after_fork() -> None:
    for lane in list(_watched):
        _inherited.extend(lane.after_fork())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
