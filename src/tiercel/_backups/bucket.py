"""
Backups in a bucket: ``s3://bucket/key``, by boto3; ``AWS_ENDPOINT_URL`` and the usual variables say where and as whom.

A backup is made on a disk and sent in parts with bounded memory; a restore fetches it to a disk and checks it there.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from tiercel._backups.erased import NAME
from tiercel.errors import ConfigurationError, TierUnavailable

SCHEME = "s3://"


def is_bucket(place: str) -> bool:
    """Say whether *place* names an object in a bucket, and not a file."""
    return place.startswith(SCHEME)


class Bucket:
    """
    One object.

    Args:
        url: ``s3://bucket/key``.

    Raises:
        ConfigurationError: The URL is none, or the extra is not installed.
    """

    def __init__(self, url: str) -> None:
        self._bucket, _, self._key = url.removeprefix(SCHEME).partition("/")
        if not (is_bucket(url) and self._bucket and self._key):
            raise ConfigurationError(f"{url!r} names no object: write s3://bucket/key")
        self._client, self._errors = _client()

    def upload(self, path: Path) -> None:
        """Send *path*; raises `TierUnavailable`."""
        self._call(self._client.upload_file, str(path), self._bucket, self._key)

    def download(self, path: Path) -> None:
        """Fetch the object to *path*, and the erasures noted beside it, if any; raises `TierUnavailable`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._call(self._client.download_file, self._bucket, self._key, str(path))
        notes = self._key.rpartition("/")[0]
        notes = f"{notes}/{NAME}" if notes else NAME
        found = self._call(self._client.list_objects_v2, Bucket=self._bucket, Prefix=notes, MaxKeys=1)
        if found.get("KeyCount"):
            self._call(self._client.download_file, self._bucket, notes, str(path.parent / NAME))

    def _call(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except self._errors as error:
            raise TierUnavailable(f"{SCHEME}{self._bucket}/{self._key}: {error}", tier="backup") from error


def _client() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        boto3 = importlib.import_module("boto3")
        core = importlib.import_module("botocore.exceptions")
        transfer = importlib.import_module("boto3.exceptions")
    except ImportError as error:
        raise ConfigurationError('backups in a bucket need boto3: pip install "tiercel[cdn]"') from error
    return boto3.client("s3"), (core.BotoCoreError, core.ClientError, transfer.Boto3Error)
