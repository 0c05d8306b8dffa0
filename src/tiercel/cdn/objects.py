"""
What is published at an edge's origin, and what came of publishing it.

An `EdgeObject` carries the response headers that every edge, the embedded one included, serves it with, and the time
it was published, so that whoever serves it can state its ``Age``. Times are seconds since the epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tiercel.cdn.purge import PurgeTicket

Freshness: TypeAlias = Literal["fresh", "stale", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeObject:
    """
    One published response.

    Args:
        path: URL path, beginning with a slash.
        body: The bytes as served (already encoded where ``headers`` says ``Content-Encoding``).
        headers: Response headers, in canonical spelling.
        etag: Quoted entity tag: a digest of body and encoding, the same in every process.
        tags: Portable tags that a purge finds the object by.
        published_s: When it was published.
        ttl_s, grace_s, keep_s: Fresh, then stale while revalidating, then stale if the origin fails; additive.
        immutable: The path names this content for ever.
        status: HTTP status.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    tags: tuple[str, ...] = ()
    published_s: float = 0.0
    ttl_s: float = 0.0
    grace_s: float = 0.0
    keep_s: float = 0.0
    immutable: bool = False
    status: int = 200

    @property
    def content_type(self) -> str:
        """The media type with its charset."""
        return self.headers.get("Content-Type", "application/octet-stream")

    def age_s(self, now: float) -> float:
        """Return the seconds since it was published, never negative."""
        return max(0.0, now - self.published_s)

    def freshness(self, now: float) -> Freshness:
        """Say whether it may be served at *now*: as it is, only while something newer is fetched, or not at all."""
        age_s = self.age_s(now)
        if self.immutable or age_s < self.ttl_s:
            return "fresh"
        return "stale" if age_s < self.ttl_s + self.grace_s + self.keep_s else "expired"

    def same_content(self, other: EdgeObject) -> bool:
        """Say whether a client would notice a difference, age apart."""
        return (self.etag, dict(self.headers), self.tags) == (other.etag, dict(other.headers), other.tags)

    def describe(self) -> dict[str, Any]:
        """Return everything but the body, ready for JSON."""
        return {
            "path": self.path,
            "headers": dict(self.headers),
            "etag": self.etag,
            "tags": list(self.tags),
            "published_s": self.published_s,
            "ttl_s": self.ttl_s,
            "grace_s": self.grace_s,
            "keep_s": self.keep_s,
            "immutable": self.immutable,
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Published:
    """
    What publishing did.

    Args:
        path: URL path.
        changed: Whether clients will see something new.
        existed: Whether the path was published before.
        etag: The entity tag that it is served with.
        ticket: The purge of the older copies, where one was needed.
    """

    path: str
    changed: bool
    existed: bool
    etag: str
    ticket: PurgeTicket | None = None


def entity_tag(body: bytes, encoding: str = "") -> str:
    """
    Return a strong, quoted entity tag for *body* in *encoding*.

    It is a digest of the bytes, so that every node and every restart gives the same; the encoding is part of it
    because a strong tag must differ between encodings (RFC 9110, 8.8.3.3).
    """
    digest = hashlib.blake2b(body, digest_size=16, person=b"tiercel-etag").hexdigest()
    return f'"{digest}-{encoding}"' if encoding else f'"{digest}"'
