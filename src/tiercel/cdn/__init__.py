"""
What Tiercel knows about CDNs, as pure functions: purge plans, budgets, tags, headers, names, signatures.

Nothing in this package does I/O, reads a clock or holds a lock; ``now`` is an argument. The parts that talk to a
network or a disk are in `tiercel._edges` (blocking, shared by both colours) and in ``_async/edge*.py`` (their
shells).

Vocabulary: an *edge* is one CDN distribution; its *origin* is what it pulls objects from and what Tiercel publishes
to (an S3 bucket, a folder); a *purge* makes the edge's copies fall; *items* are what a purge names: paths, prefixes,
tags, hosts.
"""

from __future__ import annotations

from tiercel.cdn.capabilities import CLOUDFLARE, CLOUDFRONT, FASTLY, FOLDER, VARNISH, Capabilities
from tiercel.cdn.objects import EdgeObject, Published
from tiercel.cdn.paths import check_path, edge_path
from tiercel.cdn.purge import PurgeItem, PurgeRequest, PurgeStatus, PurgeTicket
from tiercel.cdn.tagcodec import TagCodec

__all__ = [
    "CLOUDFLARE",
    "CLOUDFRONT",
    "FASTLY",
    "FOLDER",
    "VARNISH",
    "Capabilities",
    "EdgeObject",
    "Published",
    "PurgeItem",
    "PurgeRequest",
    "PurgeStatus",
    "PurgeTicket",
    "TagCodec",
    "check_path",
    "edge_path",
]
