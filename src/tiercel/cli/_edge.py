"""
What there is to say of an edge: whether it answers, is set up for what Tiercel asks of it, and took every purge.

``tiercel cdn doctor`` and ``tiercel doctor`` both ask here.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiercel._edges.cloudfront import CloudFrontSender
from tiercel._edges.s3 import S3Origin
from tiercel._sync.edge_distribution import Distribution
from tiercel.cdn.diagnosis import Diagnosis, judge_distribution
from tiercel.errors import TierError

__all__ = ["diagnose"]


def diagnose(edge: Distribution) -> Iterator[Diagnosis]:
    """Probe *edge* and yield each finding; costs one request, and one more for the settings of CloudFront."""
    try:
        edge.ping()
        yield Diagnosis("ok", edge.name, "answers")
    except TierError as error:
        yield Diagnosis("error", edge.name, str(error), "check the address, the credentials and the access list")
        return
    sender = None if edge.purger is None else edge.purger.sender
    if isinstance(sender, CloudFrontSender):
        yield from judge_distribution(sender.settings(), sender.capabilities.tag_header)
    if edge.origin is None:
        yield Diagnosis("note", "origin", "none: nothing can be published here", "add origin=s3://bucket to publish")
    if isinstance(edge.origin, S3Origin) and (left := len(edge.origin.unfinished_uploads())):
        message = f"{left} uploads were begun and not ended; their parts are billed"
        yield Diagnosis("note", "uploads", message, "tiercel static uploads --abort-older 1d")
    if edge.purger is not None:
        dead = len(edge.purger.log.dead())
        if dead:
            yield Diagnosis("error", "dead letters", f"{dead} purges were refused", "tiercel cdn status, then --replay")
