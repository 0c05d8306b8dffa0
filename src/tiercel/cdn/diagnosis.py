"""
What is wrong with a CDN distribution's settings, as seen from what Tiercel will ask of it; pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tiercel.cdn.capabilities import CLOUDFRONT


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding: how bad, about what, what it means and what to do."""

    level: Literal["ok", "note", "warning", "error"]
    subject: str
    message: str
    action: str = ""


def judge_distribution(config: Mapping[str, Any], tag_header: str = CLOUDFRONT.tag_header) -> list[Diagnosis]:
    """Return what a CloudFront ``DistributionConfig`` means for purging by tag and for short ttls."""
    findings = [_judge_tags(config, tag_header)]
    if not config.get("Enabled", True):
        findings.append(Diagnosis("error", "distribution", "is disabled", "enable it"))
    behaviours = {"default": config.get("DefaultCacheBehavior", {})}
    behaviours |= {one.get("PathPattern", "?"): one for one in config.get("CacheBehaviors", {}).get("Items", ())}
    for name, behaviour in behaviours.items():
        findings += _judge_behaviour(name, behaviour)
    return findings


def _judge_tags(config: Mapping[str, Any], tag_header: str) -> Diagnosis:
    found = config.get("CacheTagConfig", {}).get("HeaderName", "")
    if not found:
        action = f"set CacheTagConfig.HeaderName to {tag_header}, or add tags=off to the edge's URL to purge by path"
        return Diagnosis(
            "error", "tags", "the distribution ignores cache tags: a purge by tag would be refused", action
        )
    if found.lower() != tag_header.lower():
        action = f"set it to {tag_header}, or add tag_header={found} to the edge's URL"
        return Diagnosis(
            "error", "tags", f"the distribution reads tags from {found}, Tiercel sends {tag_header}", action
        )
    return Diagnosis("ok", "tags", f"purged by tag, from {found}")


def _judge_behaviour(name: str, behaviour: Mapping[str, Any]) -> list[Diagnosis]:
    findings = []
    least_s = behaviour.get("MinTTL", 0)
    if least_s:
        message = f"keeps everything for at least {least_s} s, whatever the response says"
        findings.append(Diagnosis("warning", f"behaviour {name}", message, "set the minimum ttl to 0"))
    if not behaviour.get("Compress", False):
        findings.append(Diagnosis("note", f"behaviour {name}", "does not compress", "switch compression on: S3 cannot"))
    if behaviour.get("ForwardedValues", {}).get("QueryString") is False:
        message = "drops the query string from the cache key: responses that depend on it are mixed up"
        findings.append(
            Diagnosis("warning", f"behaviour {name}", message, "use a cache policy that lists the parameters")
        )
    return findings
