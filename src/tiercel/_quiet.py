"""
The announcer of a cache that has no backplane: there is nobody to tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiercel._process import Process
from tiercel.typing import Key


class QuietAnnouncer:
    """Wakes callers of this process, and tells nobody else."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def is_live(self) -> bool:
        """Return True: no message can be missed."""
        return True

    def check(self) -> None:
        """Find nothing wrong: no message can be missed."""

    def lag_s(self) -> float:
        """Return 0: no message can be late."""
        return 0.0

    def keys_fell(self, tenant: str, region: str, keys: Sequence[Key], tags: Sequence[int]) -> None:
        """Tell nobody."""

    def tags_fell(self, tenant: str, tags: Sequence[int]) -> None:
        """Tell nobody."""

    def key_hot(self, tenant: str, region: str, key: Key) -> None:
        """Tell nobody."""

    def policy_changed(self, version: int) -> None:
        """Tell nobody."""

    def keep_for(self, keep_s: float) -> None:
        """Keep nothing: nothing waits to be sent."""

    def filled(self, name_hash: int) -> None:
        """Wake those who wait here."""
        self._process.wakes.wake(name_hash)
