"""
Compressed variants of published objects, where the origin can choose one by ``Accept-Encoding``.

A variant lives under a reserved path beside its object, carries the same tags, and falls with it. S3 cannot choose,
so nothing is stored compressed there; CloudFront compresses by itself.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import replace

from tiercel.cdn.contenttypes import is_compressible
from tiercel.cdn.objects import EdgeObject, entity_tag
from tiercel.cdn.paths import RESERVED_ROOT
from tiercel.cdn.purge import PurgeItem

ENCODING = "gzip"
_ROOT = f"{RESERVED_ROOT}variants/{ENCODING}"
_LEAST_BYTES = 256


def variant_of(item: EdgeObject) -> EdgeObject | None:
    """Return the compressed variant of *item*, or None where it would save less than a tenth."""
    if not is_compressible(item.content_type) or len(item.body) < _LEAST_BYTES or "Content-Encoding" in item.headers:
        return None
    # No time of day in the stream: the same body gives the same bytes, and so the same entity tag, on every node.
    body = gzip.compress(item.body, compresslevel=9, mtime=0)
    if len(body) > len(item.body) * 0.9:
        return None
    headers = {**item.headers, "Content-Encoding": ENCODING, "Vary": "Accept-Encoding"}
    return replace(item, path=variant_path(item.path), body=body, headers=headers, etag=entity_tag(item.body, ENCODING))


def variant_path(path: str) -> str:
    """Return where the variant of *path* lives."""
    return _ROOT + path


def with_variants(items: Iterable[PurgeItem]) -> list[PurgeItem]:
    """Return *items* and, for each path and prefix, the same below the variants."""
    widened = []
    for item in items:
        widened.append(item)
        if item.kind in ("path", "prefix"):
            widened.append(replace(item, value=variant_path(item.value)))
    return widened


def accepts(accept_encoding: str) -> bool:
    """Say whether a client that sends this ``Accept-Encoding`` takes the variant (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.strip().partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get(ENCODING, weights.get("*", 0.0)) > 0.0
