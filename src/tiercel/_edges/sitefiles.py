"""
A site's files on disk: listed, digested and read, without leaving the root.

Hidden files are left out (``.well-known`` is not), and so is what a symbolic link reaches outside of the root.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tiercel.cdn.assets import SiteFile
from tiercel.errors import ConfigurationError


def list_site(root: Path) -> list[SiteFile]:
    """
    Return every file below *root*, sorted by name; reads each once, to digest it.

    Raises:
        ConfigurationError: *root* is no folder, or has no files.
    """
    if not root.is_dir():
        raise ConfigurationError(f"{root} is no folder")
    whole = root.resolve()
    files = [_site_file(whole, Path(folder) / name) for folder, names in _folders(whole) for name in names]
    found = sorted((file for file in files if file is not None), key=lambda file: file.name)
    if not found:
        raise ConfigurationError(f"{root} holds no files to publish")
    return found


def read_file(root: Path, name: str) -> bytes:
    """Return the bytes of the file that `list_site` calls *name*."""
    return (root / name).read_bytes()


def _folders(root: Path) -> list[tuple[str, list[str]]]:
    folders = []
    for folder, children, names in os.walk(root):
        children[:] = sorted(child for child in children if not child.startswith(".") or child == ".well-known")
        folders.append((folder, [name for name in names if not name.startswith(".")]))
    return folders


def _site_file(root: Path, file: Path) -> SiteFile | None:
    if not file.is_file() or not file.resolve().is_relative_to(root):
        return None
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return SiteFile(file.relative_to(root).as_posix(), file.stat().st_size, digest)
