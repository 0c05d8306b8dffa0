"""
The ledger of unfinished uploads: what a process that died had sent already, one small JSON file an object.

It says which upload of which content it was and which parts S3 has acknowledged. Losing the ledger, or a part's line in
it, costs sending again and never a wrong object: what it names is compared with what S3 says before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tiercel.errors import TierUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """
    One upload that was begun.

    Args:
        bucket, key: Where its object will be.
        upload_id: S3's name for it.
        content: Digest of the content and the fields that it will be served with.
        started_s: When it was begun, seconds since the epoch.
        parts: Entity tags of the parts that S3 has acknowledged, by their number.
    """

    bucket: str
    key: str
    upload_id: str
    content: str
    started_s: float
    parts: dict[int, str] = field(default_factory=dict)


class UploadLedger:
    """
    Unfinished uploads in *folder*, made where it is missing; None keeps them in memory, and then they end with the
    process. Calls for different objects may come from different threads.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, Unfinished] = {}

    def find(self, bucket: str, key: str) -> Unfinished | None:
        """Return the unfinished upload of an object; None where there is none, or its note cannot be read."""
        name = _name(bucket, key)
        if self._folder is None:
            return self._memory.get(name)
        found = _read(self._folder / name)
        return found if found is not None and (found.bucket, found.key) == (bucket, key) else None

    def note(self, upload: Unfinished) -> None:
        """Keep *upload* in place of what was noted of its object; raises `TierUnavailable`."""
        name = _name(upload.bucket, upload.key)
        if self._folder is None:
            self._memory[name] = upload
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(dir=self._folder, prefix=".")
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(asdict(upload), stream)
            Path(aside).replace(self._folder / name)
        except OSError as error:
            raise TierUnavailable(f"upload ledger {self._folder}: {error}", tier="cdn", operation="publish") from error

    def forget(self, bucket: str, key: str) -> None:
        """Drop the note: the upload is complete, or was aborted."""
        name = _name(bucket, key)
        self._memory.pop(name, None)
        if self._folder is not None:
            (self._folder / name).unlink(missing_ok=True)

    def older_than(self, moment_s: float) -> list[Unfinished]:
        """Return the uploads that were begun before *moment_s*."""
        found = list(self._memory.values())
        if self._folder is not None and self._folder.is_dir():
            read = (_read(file) for file in sorted(self._folder.glob("[0-9a-f]*")))
            found += [upload for upload in read if upload is not None]
        return [upload for upload in found if upload.started_s < moment_s]


def _name(bucket: str, key: str) -> str:
    return hashlib.sha256(f"{bucket}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:32] + ".json"


def _read(file: Path) -> Unfinished | None:
    try:
        fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        parts = {int(number): str(etag) for number, etag in fields.pop("parts").items()}
        return Unfinished(**fields, parts=parts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # gone, or damaged: the object is sent from its beginning
