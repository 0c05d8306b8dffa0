"""
Media types by file name, fixed here so that they do not depend on the machine's own table.

Text types carry ``charset=utf-8``. A type says whether compressing it is worth it.
"""

from __future__ import annotations

from typing import Final

DEFAULT: Final = "application/octet-stream"

_TEXT: Final = {
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "txt": "text/plain",
    "csv": "text/csv",
    "md": "text/markdown",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "ics": "text/calendar",
    "vtt": "text/vtt",
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
}
_PLAIN: Final = {
    "json": "application/json",
    "map": "application/json",
    "webmanifest": "application/manifest+json",
    "wasm": "application/wasm",
    "ico": "image/vnd.microsoft.icon",
    "bmp": "image/bmp",
    "ttf": "font/ttf",
    "otf": "font/otf",
}
_PACKED: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "gz": "application/gzip",
    "zst": "application/zstd",
}
_BY_SUFFIX: Final = {suffix: f"{media}; charset=utf-8" for suffix, media in _TEXT.items()} | _PLAIN | _PACKED
_COMPRESSIBLE: Final = frozenset(_TEXT.values()) | frozenset(_PLAIN.values())


def content_type(name: str) -> str:
    """
    Return the media type of a file called *name*, with its charset; ``application/octet-stream`` where it is unknown.
    """
    return _BY_SUFFIX.get(name.rsplit(".", 1)[-1].lower(), DEFAULT) if "." in name else DEFAULT


def is_compressible(media_type: str) -> bool:
    """Say whether bytes of *media_type* get smaller by compression."""
    bare = media_type.split(";", 1)[0].strip().lower()
    return bare in _COMPRESSIBLE or bare.startswith("text/") or bare.endswith(("+json", "+xml"))
