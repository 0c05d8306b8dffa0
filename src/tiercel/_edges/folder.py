"""
A folder as an origin: the embedded default, and what the embedded edge serves from.

One file an object: a line of JSON (headers, tags, times) and the body, written aside and renamed, so that a reader
sees the old object or the new one and never half. Files are named by a hash of the path, so no path can leave the
folder, collide by letter case, or be both a file and a folder; the JSON names the path, and a file whose path or
length does not agree is a miss. An empty file ``tags/TAG/HASH`` says that an object carries a tag; it is made before
the object.

Cost: one write and one rename for each publish, one small file a tag; a purge by prefix reads every object's first
line.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tiercel._edges.protocols import Put
from tiercel.cdn.objects import EdgeObject
from tiercel.cdn.paths import RESERVED_ROOT
from tiercel.cdn.purge import PurgeItem
from tiercel.errors import TierUnavailable

_YOUNG = 0.1  # part of the ttl within which an unchanged object is not written again


class FolderOrigin:
    """Objects below *root*, which is made where it is missing; any number of processes may share it."""

    negotiates = True

    def __init__(self, root: Path, *, fsync: bool = False) -> None:
        self._objects = root / "objects"
        self._tags = root / "tags"
        self._fsync = fsync
        try:
            self._objects.mkdir(parents=True, exist_ok=True)
            self._tags.mkdir(exist_ok=True)
        except OSError as error:
            raise TierUnavailable(f"folder {root}: {error}", tier="cdn", operation="open") from error

    def put(self, item: EdgeObject) -> Put:
        """Store *item* atomically; see `Origin.put`."""
        before = self.get(item.path)
        changed = before is None or not item.same_content(before)
        if before is not None and not changed and _still_young(before, item.published_s):
            return Put(False, True)
        name = _name(item.path)
        for tag in item.tags:
            marker = self._tags / tag / name
            marker.parent.mkdir(exist_ok=True)
            marker.touch()
        header = json.dumps({**item.describe(), "size_bytes": len(item.body)}, separators=(",", ":")).encode() + b"\n"
        self._write(self._objects / name[:2] / name, header + item.body)
        return Put(changed, before is not None)

    def get(self, path: str) -> EdgeObject | None:
        """Return the object at *path*."""
        try:
            raw = self._file(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TierUnavailable(f"folder: {error}", tier="cdn", operation="fetch") from error
        header, _, body = raw.partition(b"\n")
        fields = _parse(header)
        if fields is None or fields["path"] != path or fields.pop("size_bytes") != len(body):
            return None
        return EdgeObject(body=body, **{**fields, "tags": tuple(fields["tags"])})

    def remove(self, path: str) -> bool:
        """Remove one object; its tag markers are left and point at nothing."""
        try:
            self._file(path).unlink()
        except FileNotFoundError:
            return False
        return True

    def find(self, items: Sequence[PurgeItem]) -> list[str]:
        """Return the paths of the objects that one of *items* covers."""
        found = [item.value for item in items if item.kind == "path"]
        for item in items:
            if item.kind == "tag":
                lines = (_first_line(self._objects / name[:2] / name) for name in _listing(self._tags / item.value))
                found += [
                    str(fields["path"]) for fields in lines if fields is not None and item.value in fields["tags"]
                ]
        prefixes = _prefixes(items)
        return found + [path for path in self._scan() if path.startswith(prefixes)] if prefixes else found

    def drop(self, items: Sequence[PurgeItem]) -> list[str]:
        """Remove every object that one of *items* covers."""
        dropped = [item.value for item in items if item.kind == "path" and self.remove(item.value)]
        for item in items:
            if item.kind == "tag":
                dropped += self._drop_tagged(item.value)
        prefixes = _prefixes(items)
        if prefixes:
            dropped += [path for path in self._scan() if path.startswith(prefixes) and self.remove(path)]
        return dropped

    def paths(self, prefix: str = "/") -> list[str]:
        """Return the paths of all objects below *prefix*, sorted; variants are not counted."""
        found = (path for path in self._scan() if path.startswith(prefix))
        return sorted(path for path in found if not path.startswith(RESERVED_ROOT))

    def ping(self) -> None:
        """Raise `TierUnavailable` where the folder cannot be written."""
        if not os.access(self._objects, os.W_OK | os.X_OK):
            raise TierUnavailable(f"folder {self._objects} cannot be written", tier="cdn", operation="ping")

    def close(self) -> None:
        """Do nothing: files are open only while they are read or written."""

    def _drop_tagged(self, tag: str) -> list[str]:
        dropped = []
        folder = self._tags / tag
        for name in _listing(folder):
            file = self._objects / name[:2] / name
            fields = _first_line(file)
            if fields is not None and tag in fields["tags"]:
                file.unlink(missing_ok=True)
                dropped.append(str(fields["path"]))
            # The marker goes last: a crash in between leaves a marker that a repeat follows again.
            (folder / name).unlink(missing_ok=True)
        return dropped

    def _scan(self) -> Iterator[str]:
        for shard in _listing(self._objects):
            for name in _listing(self._objects / shard):
                fields = _first_line(self._objects / shard / name)
                if fields is not None:
                    yield str(fields["path"])

    def _write(self, file: Path, content: bytes) -> None:
        try:
            file.parent.mkdir(exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=file.parent, prefix=".")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                    if self._fsync:
                        stream.flush()
                        os.fsync(stream.fileno())
                Path(aside).replace(file)
            except BaseException:
                Path(aside).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise TierUnavailable(f"folder: {error}", tier="cdn", operation="publish") from error

    def _file(self, path: str) -> Path:
        name = _name(path)
        return self._objects / name[:2] / name


def _prefixes(items: Sequence[PurgeItem]) -> tuple[str, ...]:
    wide = [item for item in items if item.kind not in ("path", "tag")]
    return tuple(item.value if item.kind == "prefix" else "/" for item in wide)


def _name(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def _listing(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _first_line(file: Path) -> dict[str, Any] | None:
    try:
        with file.open("rb") as stream:
            return _parse(stream.readline())
    except FileNotFoundError:
        return None


def _parse(header: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(header)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "path" in fields and "tags" in fields else None


def _still_young(before: EdgeObject, now: float) -> bool:
    return before.immutable or before.age_s(now) < before.ttl_s * _YOUNG
