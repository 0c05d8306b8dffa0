"""
Consistency of one read: how far behind a copy may be.

========================  ==================================================================================
``"eventual"``            any copy in force; behind by the backplane's lag, by ``max_staleness_s`` at worst
`bounded(seconds)`        as above while messages are no older than that, else as strong
`read_your_writes(v)`     a copy of version *v* or later, as the write's handle gave it, else as strong
``"strong"``              no local copy; the far tier's record, with its tags asked in the far tier
========================  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tiercel.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Bounded:
    """Made by `bounded`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadYourWrites:
    """Made by `read_your_writes`."""

    version: int


ReadConsistency: TypeAlias = Literal["eventual", "strong"] | Bounded | ReadYourWrites


def bounded(seconds: float) -> Bounded:
    """Read what is at most *seconds* behind."""
    if not seconds > 0:
        raise ConfigurationError(f"bounded({seconds}): must be greater than 0 seconds")
    return Bounded(seconds)


def read_your_writes(version: int) -> ReadYourWrites:
    """Read nothing older than the write whose handle has *version*; it may have been made on another node."""
    if version < 0:
        raise ConfigurationError(f"read_your_writes({version}): a version is not negative")
    return ReadYourWrites(version)


def demands(chosen: ReadConsistency, lag_s: float) -> tuple[bool, int]:
    """
    Return (whether the read must be strong, the least version that will do).

    Raises:
        ConfigurationError: *chosen* is none of the four.
    """
    if chosen == "eventual":
        return False, 0
    if chosen == "strong":
        return True, 0
    if isinstance(chosen, Bounded):
        return lag_s > chosen.seconds, 0
    if isinstance(chosen, ReadYourWrites):
        return False, chosen.version
    raise ConfigurationError(
        f"consistency={chosen!r}: use 'eventual', 'strong', bounded(seconds) or read_your_writes(version)"
    )
