"""
Published objects as S3 requests and back.

The response headers become S3's own fields, so that CloudFront serves them; what only Tiercel reads goes into user
metadata (``x-amz-meta-*``): the tags under the name that the distribution's ``CacheTagConfig`` reads, and the times.
S3 bounds metadata to 2 KB, names included; ASCII only.

A *marker* is an empty object whose key says that a path carries a tag. Markers are the tag index: shared by all
publishers, written before the object, and harmless where one is left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from tiercel.cdn.objects import EdgeObject
from tiercel.errors import ConfigurationError

META = "tiercel"
_FIELDS = {
    "Content-Type": "ContentType",
    "Cache-Control": "CacheControl",
    "Content-Encoding": "ContentEncoding",
    "Content-Disposition": "ContentDisposition",
    "Content-Language": "ContentLanguage",
}


def object_key(prefix: str, path: str) -> str:
    """Return the S3 key of *path* below the bucket's *prefix*, which is empty or ends with a slash."""
    key = unquote(path.removeprefix("/"))
    if path != "/" and path.endswith("/"):
        key += "index.html"
    key = prefix + (key or "index.html")
    if len(key.encode("utf-8")) > 1024:
        raise ConfigurationError(f"path {path[:60]!r}…: its S3 key has more than 1,024 bytes")
    return key


def put_request(bucket: str, key: str, item: EdgeObject, tag_meta: str) -> dict[str, Any]:
    """Return the parameters of ``put_object`` for *item*; *tag_meta* is the metadata name that carries the tags."""
    request: dict[str, Any] = {"Bucket": bucket, "Key": key, "Body": item.body, "Metadata": metadata(item, tag_meta)}
    request.update({field: item.headers[name] for name, field in _FIELDS.items() if name in item.headers})
    return request


def metadata(item: EdgeObject, tag_meta: str) -> dict[str, str]:
    """Return the user metadata of *item*."""
    times = ",".join(f"{value:.3f}" for value in (item.published_s, item.ttl_s, item.grace_s, item.keep_s))
    fields = {META: f"1;{item.etag};{times};{int(item.immutable)};{item.status}"}
    if item.tags:
        fields[tag_meta] = ",".join(item.tags)
    return fields


def read_object(path: str, reply: Mapping[str, Any], body: bytes, tag_meta: str) -> EdgeObject:
    """Return what a ``get_object`` or ``head_object`` *reply* describes; one not published by Tiercel has no ttl."""
    meta = reply.get("Metadata", {})
    headers = {name: str(reply[field]) for name, field in _FIELDS.items() if reply.get(field)}
    tags = tuple(tag for tag in meta.get(tag_meta, "").split(",") if tag)
    modified = reply.get("LastModified")
    published_s = modified.timestamp() if isinstance(modified, datetime) else 0.0
    own = meta.get(META, "").split(";")
    if len(own) != 5 or own[0] != "1":
        return EdgeObject(
            path=path, body=body, headers=headers, etag=reply.get("ETag", ""), tags=tags, published_s=published_s
        )
    published_s, ttl_s, grace_s, keep_s = (float(number) for number in own[2].split(","))
    return EdgeObject(
        path=path,
        body=body,
        headers=headers,
        etag=own[1],
        tags=tags,
        published_s=published_s,
        ttl_s=ttl_s,
        grace_s=grace_s,
        keep_s=keep_s,
        immutable=own[3] == "1",
        status=int(own[4]),
    )


def marker_prefix(prefix: str, tag: str) -> str:
    """Return what the keys of all markers of *tag* begin with."""
    return f"{prefix}.tiercel/tags/{tag}/"


def marker_key(prefix: str, tag: str, key: str) -> str:
    """Return the key of the marker that says that the object at *key* carries *tag*."""
    name = marker_prefix(prefix, tag) + quote(key, safe="/!'()*.-_~")
    if len(name.encode("utf-8")) > 1024:
        raise ConfigurationError(f"path {key[:60]!r}…: too long to carry tags; at most about 900 bytes")
    return name


def marked_key(prefix: str, tag: str, marker: str) -> str:
    """Return the object key that *marker* points at."""
    return unquote(marker.removeprefix(marker_prefix(prefix, tag)))
