"""
What every implementation of the local tier does: the contract of a table and of a tenant's view of it.

Two implementations keep it: `tiercel.local._reference` (pure Python, the oracle) and ``tiercel.local._native`` (C).
One test suite runs on both, and a differential machine drives both with the same operations.

All methods are synchronous, thread-safe and short: none waits for I/O. Durations and times are seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from tiercel.local.entry import LocalEntry, LocalStats, Tags
from tiercel.typing import Key, Miss

__all__ = ["LocalTable", "LocalView", "MakeKey", "Slow", "SlowAsync"]

MakeKey = Callable[..., Key]
Slow = Callable[[Key, tuple[Any, ...], dict[str, Any]], Any]
SlowAsync = Callable[[Key, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]


class LocalView(Protocol):
    """One tenant's entries of one region."""

    def get(self, key: Key) -> Any | Miss:
        """Return the fresh value of the current epoch, else `MISS`; a hit takes no lock and allocates nothing."""

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """Return the values that `get` would return, by key; misses are left out."""

    def entry(self, key: Key) -> LocalEntry | None:
        """Look at an entry without counting a read: suspect and stale ones too, None once it is dead."""

    def set(
        self,
        key: Key,
        value: Any,
        *,
        ttl_s: float,
        keep_s: float = 0.0,
        version: int = 0,
        tags: Tags = (),
        weight: int = 0,
    ) -> bool:
        """
        Store *value*; loads of this key that are under way become void.

        Args:
            key: The key inside the tenant.
            value: Any object, None included; bytes where the region decodes on each hit.
            ttl_s: How long it is fresh; not above zero stores nothing.
            keep_s: How long after that it stays for stale serving.
            version: The row's version; an entry of a newer version is never replaced.
            tags: The tags that the value was built under.
            weight: Bytes of key and value; 0 to have them measured where bytes bound the region.

        Returns:
            Whether it is stored now.
        """

    def begin_fill(self, key: Key) -> int:
        """Announce a load of *key*; return the token that `commit_fill` or `abandon_fill` must get."""

    def commit_fill(
        self,
        key: Key,
        token: int,
        value: Any,
        *,
        ttl_s: float,
        keep_s: float = 0.0,
        version: int = 0,
        tags: Tags = (),
        weight: int = 0,
    ) -> bool:
        """
        Store what was loaded, unless the key was set, deleted, expired or cleared since `begin_fill`.

        An epoch that was bumped since `begin_fill` makes the entry suspect from birth.
        """

    def abandon_fill(self, key: Key, token: int) -> None:
        """Forget a load that failed; an unknown token is ignored."""

    def delete(self, key: Key) -> bool:
        """Remove an entry; return whether there was one."""

    def expire(self, key: Key) -> bool:
        """End an entry's ttl now and keep its body for its ``keep_s``; return whether there was one."""

    def restamp(self, key: Key, entry: LocalEntry) -> bool:
        """
        Say that *entry*, as it was looked at, was proved current; return whether it is served again.

        The proof holds up to the look: an epoch bumped after it leaves the entry suspect.
        """

    def touch(self, key: Key, ttl_s: float) -> bool:
        """Give an entry that `get` would serve a new ttl from now; return whether there was one."""

    def ttl(self, key: Key) -> float | None:
        """Return the seconds that `get` will still serve the entry, None where it would not."""

    def bump_epoch(self) -> None:
        """Make every entry of this tenant suspect; O(1)."""

    def clear(self) -> None:
        """Remove every entry of this tenant and void its loads; cost proportional to the entries."""

    def wrap(
        self, function: Callable[..., Any], make_key: MakeKey, slow: Slow, *, ignore_first: bool = False
    ) -> Callable[..., Any]:
        """
        Return *function* with its hits answered here.

        Args:
            function: What is decorated; a plain function or one to be called as a method.
            make_key: Gives the key of a call's arguments; its result must depend on nothing else.
            slow: Called as ``slow(key, args, kwargs)`` on anything but a hit.
            ignore_first: The key does not depend on the first argument (``self``).
        """

    def wrap_async(
        self, function: Callable[..., Any], make_key: MakeKey, slow_async: SlowAsync, *, ignore_first: bool = False
    ) -> Callable[..., Awaitable[Any]]:
        """Return the awaitable twin of `wrap`; a hit never suspends."""


class LocalTable(Protocol):
    """All entries of one region in this process."""

    def view(self, tenant: str) -> LocalView:
        """Return the tenant's view: the same object each time."""

    def bump_epoch(self) -> None:
        """Make every entry of the region suspect; O(1)."""

    def trust_until(self, moment_s: float) -> None:
        """Serve hits before *moment_s* on the monotonic clock only; infinity at first."""

    def clear(self) -> None:
        """Remove every entry and void all loads; cost proportional to the entries."""

    def stats(self) -> LocalStats:
        """Return the counters as they are now; cost proportional to the tenants."""

    def sweep(self, budget: int) -> int:
        """Look at the next *budget* places and remove what is dead there; return how many were removed."""
