# Generated from src/tiercel/_async/changes/protocol.py by tools/unasync.py. Do not edit.
"""
The protocol of change sources: what a follower asks of a database that it follows.

A source promises three things:

1. Every change that is committed after a *position* comes in the stretches that `receive` gives from there, whoever
   made it; it may come more than once.
2. Where that cannot be promised any more (the log is gone, the position is lost), `open` says why, and the stretches
   begin at a moment before it returned. So what falls after `open` covers what was missed.
3. `confirm` never gives up what lies behind the position it is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tiercel._core.fallout import Fallout

__all__ = ["ChangeFeed", "SourceFigures", "Stretch"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    What `ChangeFeed.receive` read.

    Attributes:
        position: Everything up to here is in the fallout; empty in the middle of a transaction.
        changed_at_s: When the newest of it was committed, by the database's clock; 0 where nothing changed.
    """

    position: str = ""
    changed_at_s: float = 0.0


@dataclass(slots=True)
class SourceFigures:
    """
    What one source did and has to do; `lag_s` counts from the last moment at which nothing was known to wait.

    Attributes:
        is_leading: Whether this process follows it now.
        position: How far everything has fallen.
        lag_s: Seconds.
        retained_bytes: Log that the database keeps for us; 0 where it does not say.
        rows: Images of rows that were looked at.
        missed: Times that changes may have been missed, so that everything watched fell.
        reconnects: Times that the source had to be opened again.
        cautions: What should be set otherwise, by what it is about.
        last_error: Text of the last failure, None where it goes well.
    """

    is_leading: bool = False
    position: str = ""
    lag_s: float = 0.0
    retained_bytes: int = 0
    rows: int = 0
    missed: int = 0
    reconnects: int = 0
    cautions: dict[str, str] = field(default_factory=dict)
    last_error: str | None = None


class ChangeFeed(Protocol):
    """
    One database, followed by one caller at a time. Every method may raise `StoreError`; then the source is opened anew.
    """

    figures: SourceFigures

    def open(self, position: str) -> str:
        """
        Connect, take over from whoever followed before, and go to *position*.

        Returns:
            Empty, or why changes may have been missed since *position*.

        Raises:
            ConfigurationError: The database is not set up so that changes can be followed; the text says what to do.
        """

    def receive(self, fallout: Fallout, wait_s: float) -> Stretch:
        """Add what changed to *fallout*; wait up to *wait_s* seconds where nothing has, and take only little time."""

    def confirm(self, position: str) -> None:
        """Say that everything up to *position* has fallen, so that the database may forget it."""

    def close(self) -> None:
        """Disconnect; calling twice is harmless."""
