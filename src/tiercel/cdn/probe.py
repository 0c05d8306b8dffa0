"""
What the caches on the way to a URL say about it: ``Cache-Status``, ``Age``, and the headers that CDNs had before
there was a standard.

Source: RFC 9211 (Cache-Status), RFC 9111, 5.1 (Age).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LEGACY: tuple[tuple[str, str], ...] = (
    ("x-cache", "CloudFront, Fastly, Varnish"),
    ("cf-cache-status", "Cloudflare"),
    ("x-varnish", "Varnish"),
    ("x-served-by", "Fastly"),
    ("x-amz-cf-pop", "CloudFront"),
    ("via", "any proxy"),
)
_MEMBER = re.compile(
    r'\s*((?:"(?:[^"\\]|\\.)*"|[^;,"]+)(?:\s*;\s*[^;,"=]+(?:=(?:"(?:[^"\\]|\\.)*"|[^;,"]*))?)*)\s*(?:,|$)'
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One cache's account: its name, whether it hit, and its other parameters."""

    cache: str
    is_hit: bool
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What one response says: the caches from the origin outwards, its age, and the older headers."""

    status: int
    hops: tuple[Hop, ...]
    age_s: int | None
    legacy: dict[str, str]
    lifetime: dict[str, str]
    etag: str

    @property
    def verdict(self) -> str:
        """``hit`` or ``miss`` where some cache says so, else ``unknown``."""
        if any(hop.is_hit for hop in self.hops):
            return "hit"
        said = " ".join(self.legacy.get(name, "") for name in ("x-cache", "cf-cache-status")).lower()
        if "hit" in said:
            return "hit"
        return "miss" if self.hops or "miss" in said or "expired" in said or "dynamic" in said else "unknown"


def read_probe(status: int, headers: Mapping[str, str]) -> ProbeReport:
    """Return what a response with *headers* (names in lower case) says."""
    age = headers.get("age", "").strip()
    lifetimes = ("cache-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "expires")
    return ProbeReport(
        status=status,
        hops=parse_cache_status(headers.get("cache-status", "")),
        age_s=int(age) if age.isdigit() else None,
        legacy={name: headers[name] for name, _ in LEGACY if name in headers},
        lifetime={name: headers[name] for name in lifetimes if name in headers},
        etag=headers.get("etag", ""),
    )


def parse_cache_status(value: str) -> tuple[Hop, ...]:
    """
    Return the caches in a ``Cache-Status`` header, the one nearest to the origin first; what cannot be read is left
    out.
    """
    hops = []
    for match in _MEMBER.finditer(value):
        name, *parameters = _split(match[1])
        pairs = dict(_pair(parameter) for parameter in parameters)
        if name:
            hops.append(
                Hop(name.strip('"'), "hit" in pairs, {key: text for key, text in pairs.items() if key != "hit"})
            )
    return tuple(hops)


def _split(member: str) -> list[str]:
    return [part.strip() for part in re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', member)]


def _pair(parameter: str) -> tuple[str, str]:
    name, mark, value = parameter.partition("=")
    return name.strip(), value.strip().strip('"') if mark else "true"
