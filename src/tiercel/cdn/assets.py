"""
Names for a site's files: which are content-hashed, what they are called then, and who refers to whom.

A hashed name (``app.css`` → ``app.7f3c9a51e0b2.css``) names its content for ever, so it is served ``immutable`` and
never purged. What people and machines ask for by a fixed name (pages, ``robots.txt``, feeds, a service worker) keeps
it. Style sheets and pages are rewritten to the hashed names of what they refer to, so a page and its assets change
together, whichever arrives first at an edge.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from tiercel.cdn.contenttypes import content_type
from tiercel.errors import ConfigurationError

FIXED_NAMES: tuple[str, ...] = (
    "*.html", "*.htm", "*.xml", "*.txt", "*.webmanifest", "*.rss", "*.atom", "*.ics", "favicon.ico", "*/favicon.ico",
    "sw.js", "*/sw.js", "service-worker.js", "*/service-worker.js", ".well-known/*",
)  # fmt: skip
"""Patterns of files that are asked for by a fixed name."""

_ALREADY_HASHED = re.compile(r"(?:^|[.-])[0-9a-f]{8,64}\.[A-Za-z0-9.]+$")
_CSS_REFERENCE = re.compile(
    r"""(?P<head>url\(\s*|@import\s+)(?P<quote>["']?)(?P<target>[^"')\s]+)(?P<tail>(?P=quote))"""
)
_HTML_REFERENCE = re.compile(
    r"""(?P<head>\b(?:src|href|poster|data-src)\s*=\s*)(?P<quote>["'])(?P<target>[^"'\s]+)(?P<tail>(?P=quote))"""
)


@dataclass(frozen=True, slots=True)
class SiteFile:
    """One file of the site as it lies on disk: name relative to the root with ``/``, size and content digest (hex)."""

    name: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Asset:
    """
    One file as it will be published.

    Args:
        name: Its name on disk.
        path: URL path.
        content_type: Media type with charset.
        size_bytes: Size as published.
        immutable: Whether the path names this content for ever.
        text: The rewritten text, or None where the file goes as it is.
    """

    name: str
    path: str
    content_type: str
    size_bytes: int
    immutable: bool
    text: bytes | None = None


def is_fixed(name: str, fixed: Sequence[str] = FIXED_NAMES) -> bool:
    """Say whether the file called *name* keeps it."""
    return any(fnmatch(name, pattern) for pattern in fixed)


def hashed_name(name: str, digest: str) -> str:
    """Return *name* with twelve digits of *digest* before its suffix; as it is where a build tool hashed it already."""
    if _ALREADY_HASHED.search(name):
        return name
    folder, _, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    renamed = f"{stem}.{digest[:12]}{dot}{suffix}" if stem else f"{file}.{digest[:12]}"
    return f"{folder}/{renamed}" if folder else renamed


def name_assets(
    files: Iterable[SiteFile],
    read: Callable[[str], bytes],
    *,
    base: str = "/",
    fixed: Sequence[str] = FIXED_NAMES,
    rewrite: bool = True,
) -> list[Asset]:
    """
    Return what to publish, in the order in which it is safe to: what is referred to comes before what refers to it.

    Args:
        files: The site's files.
        read: Returns a file's bytes; called for style sheets and pages only, and only where *rewrite* is set.
        base: URL path of the site's root, with slashes at both ends.
        fixed: Patterns of names that are kept.
        rewrite: Whether references become hashed names.

    Raises:
        ConfigurationError: *base* is malformed, or two files would be published at one path.
    """
    if not (base.startswith("/") and base.endswith("/")):
        raise ConfigurationError(f"base {base!r}: must begin and end with a slash")
    by_name = {file.name: file for file in files}
    texts = {name: read(name) for name in by_name if rewrite and _is_rewritten(name)}
    published: dict[str, Asset] = {}
    for name in _in_order(by_name, texts):
        names = {other: asset.path for other, asset in published.items()}
        text = _rewritten(name, texts[name], names) if name in texts else None
        published[name] = _asset(by_name[name], base, fixed, text if text != texts.get(name) else None)
    _refuse_doubles(published.values())
    return sorted(published.values(), key=lambda asset: not asset.immutable)


def references(name: str, text: str) -> list[tuple[str, str]]:
    """Return (as written, file name) of every local reference in the style sheet or page *name*."""
    pattern = _CSS_REFERENCE if name.endswith(".css") else _HTML_REFERENCE
    found = []
    for match in pattern.finditer(text):
        target = match["target"].partition("#")[0].partition("?")[0]
        if target and "://" not in target and not target.startswith(("//", "data:", "#")):
            folder = "" if target.startswith("/") else posixpath.dirname(name)
            found.append((match["target"], posixpath.normpath(posixpath.join(folder, target.lstrip("/")))))
    return found


def _is_rewritten(name: str) -> bool:
    return name.endswith((".css", ".html", ".htm"))


def _rewritten(name: str, text: bytes, paths: Mapping[str, str]) -> bytes:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        return text  # not ours to touch
    targets = dict(references(name, decoded))
    pattern = _CSS_REFERENCE if name.endswith(".css") else _HTML_REFERENCE

    def replace(match: re.Match[str]) -> str:
        path = paths.get(targets.get(match["target"], ""))
        if path is None:
            return match.group()
        fragment = match["target"].partition("#")
        return match["head"] + match["quote"] + path + fragment[1] + fragment[2] + match["tail"]

    return pattern.sub(replace, decoded).encode("utf-8")


def _in_order(by_name: Mapping[str, SiteFile], texts: Mapping[str, bytes]) -> list[str]:
    """
    Return names so that a style sheet comes after what it refers to; in a circle, the first one met keeps its
    references.
    """
    ordered: dict[str, None] = {name: None for name in sorted(by_name) if name not in texts}
    under_way: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered or name in under_way:
            return
        under_way.add(name)
        for _, other in references(name, texts[name].decode("utf-8", "replace")):
            if other in texts and other.endswith(".css"):
                visit(other)
        ordered[name] = None

    for name in sorted(texts, key=lambda name: (not name.endswith(".css"), name)):
        visit(name)
    return list(ordered)


def _asset(file: SiteFile, base: str, fixed: Sequence[str], text: bytes | None) -> Asset:
    digest = file.digest if text is None else hashlib.sha256(text).hexdigest()
    keeps_name = is_fixed(file.name, fixed)
    path = base + (file.name if keeps_name else hashed_name(file.name, digest))
    size_bytes = file.size_bytes if text is None else len(text)
    return Asset(file.name, path, content_type(file.name), size_bytes, not keeps_name, text)


def _refuse_doubles(assets: Iterable[Asset]) -> None:
    seen: dict[str, str] = {}
    for asset in assets:
        other = seen.setdefault(asset.path, asset.name)
        if other != asset.name:
            raise ConfigurationError(f"{other} and {asset.name} would both be published at {asset.path}")
