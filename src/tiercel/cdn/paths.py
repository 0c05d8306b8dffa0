"""
URL paths: what may be published, what may be purged, and the injective map from (tenant, region, key) to a path.

A path is refused rather than repaired: a proxy, a bucket, a file system and a browser each repair differently, and
where two of them disagree one tenant's object answers another's request. Percent-encoded dots, slashes and
backslashes are refused like the plain ones. The longest path is what S3 allows as a key: 1,024 bytes.
"""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import quote

from tiercel.errors import ConfigurationError
from tiercel.typing import GLOBAL, Key

MAX_PATH_BYTES: Final = 1024
RESERVED_ROOT: Final = "/.tiercel/"

_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")
_ENCODED_STRUCTURE = re.compile(r"%(2e|2f|5c|00|0a|0d|25)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._-]{0,63}")


def check_path(path: str) -> str:
    """
    Return *path*, fit to publish.

    Raises:
        ConfigurationError: no leading slash, longer than 1,024 bytes, control characters or blanks, backslashes,
            empty or dot
            segments, a query or fragment, a wildcard, or one of these percent-encoded.
    """
    _check_text(path)
    for character, meaning in (("?", "a query"), ("#", "a fragment"), ("*", "a wildcard")):
        if character in path:
            raise ConfigurationError(f"path {path!r}: {meaning} cannot be published")
    if path.startswith(RESERVED_ROOT):
        raise ConfigurationError(f"path {path!r}: {RESERVED_ROOT} is reserved")
    return path


def check_purge_path(path: str) -> str:
    """Return *path*, fit to purge: as `check_path`, and a query string is allowed."""
    _check_text(path.split("?", 1)[0])
    if _CONTROL.search(path) or "#" in path or "*" in path:
        raise ConfigurationError(f"path {path!r}: no control characters, fragments or inner wildcards in a purge")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ConfigurationError(f"path of {len(path.encode())} bytes: at most {MAX_PATH_BYTES}")
    return path


def check_prefix(prefix: str) -> str:
    """Return *prefix*, fit to purge everything below; ``/`` is the whole edge."""
    if prefix == "/":
        return prefix
    _check_text(prefix.removesuffix("/") or "/")
    if any(character in prefix for character in "?#*"):
        raise ConfigurationError(f"prefix {prefix!r}: no query, fragment or inner wildcard")
    return prefix


def edge_path(tenant: str, region: str, key: Key) -> str:
    """
    Return the path of *key* of *region* in *tenant*: ``/acme/static/css/site.css``.

    Injective: different triples give different paths. A key that is a clean relative path keeps its look; any other
    (bytes, empty or dot segments, control characters) is written as ``~`` and its bytes in URL-safe base64.
    """
    for name in (tenant, region):
        if _NAME.fullmatch(name) is None:
            raise ConfigurationError(f"{name!r} cannot be part of a path")
    return f"/{tenant}/{region}/{_key_segments(key)}"


def tenant_prefix(tenant: str) -> str:
    """
    Return the prefix of everything that `edge_path` gives for *tenant*; ``/`` for `GLOBAL`'s own view of the edge.
    """
    return "/" if tenant == GLOBAL else f"/{tenant}/"


def quoted(path: str) -> str:
    """Return *path* in ASCII: what is not allowed in a URL is percent-encoded, escapes that are there stay."""
    return quote(path, safe="/%~!$&'()+,;=:@-._?")


def _key_segments(key: Key) -> str:
    if isinstance(key, str) and key and not key.startswith("~"):
        try:
            return check_path("/" + quote(key, safe="/~!$&'()+,;=:@-._"))[1:]
        except (ConfigurationError, UnicodeEncodeError):
            # Not an error: most keys are no clean path, and have the spelling below, which `~` keeps apart.
            pass
    raw = key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
    mark = "~b" if isinstance(key, bytes) else "~t"
    return mark + base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _check_text(path: str) -> None:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"path {path!r}: must be text that begins with a slash")
    try:
        size_bytes = len(path.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ConfigurationError("a path must be valid Unicode: it holds a lone surrogate") from error
    if size_bytes > MAX_PATH_BYTES:
        raise ConfigurationError(f"path of {size_bytes} bytes: at most {MAX_PATH_BYTES}")
    if _CONTROL.search(path) or "\\" in path:
        raise ConfigurationError(f"path {path!r}: no control characters, blanks or backslashes")
    if _BAD_ESCAPE.search(path) or _ENCODED_STRUCTURE.search(path):
        raise ConfigurationError(
            f"path {path!r}: a broken escape, or an escaped dot, slash, backslash, percent sign or control"
        )
    segments = path[1:].removesuffix("/").split("/")
    if path != "/" and any(segment in ("", ".", "..") for segment in segments):
        raise ConfigurationError(f"path {path!r}: no empty and no dot segments")
