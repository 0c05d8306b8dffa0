"""
The two blocking protocols that an edge is put together from.

Errors: `TierUnavailable` where a network or disk fails, `SendThrottled` and `SendRefused` where a CDN answers so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tiercel.cdn.capabilities import Capabilities
from tiercel.cdn.objects import EdgeObject
from tiercel.cdn.purge import PurgeItem


class Put(NamedTuple):
    """What storing an object did: clients see something new, and whether the path was there before."""

    changed: bool
    existed: bool


class Origin(Protocol):
    """Holds published objects where an edge can fetch them."""

    negotiates: bool
    """Whether what serves the origin can choose a compressed variant."""

    def put(self, item: EdgeObject) -> Put:
        """Store *item*; the same content over a copy that is still young changes nothing."""

    def get(self, path: str) -> EdgeObject | None:
        """Return the object at *path*, expired or not; None where there is none."""

    def remove(self, path: str) -> bool:
        """Remove one object; say whether it was there."""

    def find(self, items: Sequence[PurgeItem]) -> list[str]:
        """Return the paths of the objects that one of *items* covers, for a CDN that can only purge by path."""

    def drop(self, items: Sequence[PurgeItem]) -> list[str]:
        """Remove every object that one of *items* covers; return their paths."""

    def paths(self, prefix: str = "/") -> list[str]:
        """Return the paths of all objects below *prefix*, sorted."""

    def ping(self) -> None:
        """Raise `TierUnavailable` where the origin cannot be used."""

    def close(self) -> None:
        """Close connections; calling twice is harmless."""


class Sender(Protocol):
    """Sends purges to one CDN distribution."""

    capabilities: Capabilities

    def send(self, reference: str, items: Sequence[PurgeItem]) -> str | None:
        """Send *items*, idempotent under *reference*; return what `poll` takes, or None where the purge is complete."""

    def poll(self, provider_id: str) -> bool:
        """Say whether the purge is complete at every edge."""

    def ping(self) -> None:
        """Raise `TierError` where the CDN cannot be reached or refuses the credentials."""

    def close(self) -> None:
        """Close connections; calling twice is harmless."""
