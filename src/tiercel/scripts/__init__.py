"""
The server-side scripts: each a Lua file of its own in this folder, read once.

A script's first comment says what it does. A line ``-- repeatable`` in it means that the script may run twice with the
same arguments to the same effect, so that it is sent again after a lost connection.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from importlib import resources

__all__ = ["Script", "load_script"]


@dataclass(frozen=True, slots=True)
class Script:
    """
    A server-side script.

    Args:
        name: For errors and figures.
        source: Lua; every key that it touches comes in KEYS.
    """

    name: str
    source: str = field(repr=False)
    sha: str = field(init=False)
    """SHA-1 of the source, by which the server knows it."""
    is_repeatable: bool = field(init=False)
    """Running it twice has the effect of running it once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())
        lines = (line.strip() for line in self.source.splitlines())
        object.__setattr__(self, "is_repeatable", "-- repeatable" in lines)


@functools.cache
def load_script(name: str) -> Script:
    """Return the script in ``name.lua``; raises FileNotFoundError where there is none."""
    path = resources.files(__name__).joinpath(f"{name}.lua")
    return Script(name, path.read_text(encoding="utf-8"))
