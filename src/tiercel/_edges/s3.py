"""
An S3 bucket as an origin, behind CloudFront or another CDN.

Publishing is conditional: an immutable object is put with ``If-None-Match: *`` (412 means that it is there already),
any other over what was just read with ``If-Match``, so that two publishers cannot silently overwrite each other; a
lost race is read again. Requests an object: one HEAD, one marker a tag, one PUT; bodies above `PART_BYTES` go up in
parts (`tiercel._edges.multipart`).

The client is boto3's, which is safe to share between threads; it is handed in, so that this module imports no driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from tiercel._edges.aws import Absent, AwsErrors, LostRace
from tiercel._edges.multipart import PART_BYTES, Multipart
from tiercel._edges.protocols import Put
from tiercel._edges.uploads import Unfinished, UploadLedger
from tiercel.cdn import s3
from tiercel.cdn.objects import EdgeObject
from tiercel.cdn.paths import check_path
from tiercel.cdn.purge import PurgeItem
from tiercel.errors import ConfigurationError, TierUnavailable

LONGEST_PRESIGNED_S = 7 * 86_400
_TRIES = 5


class S3Origin:
    """
    Objects in *bucket*, below *prefix*.

    Args:
        client: A boto3 S3 client.
        errors: The driver's exception types.
        bucket: Bucket name.
        prefix: Key prefix, empty or ending with a slash.
        tag_meta: Metadata name that carries the tags: the distribution's ``CacheTagConfig`` without ``x-amz-meta-``.
        ledger: Where unfinished uploads are noted, so that they go on; None keeps the notes in memory.
    """

    negotiates = False

    def __init__(
        self,
        client: Any,
        errors: AwsErrors,
        bucket: str,
        *,
        prefix: str = "",
        tag_meta: str = "cache-tag",
        ledger: UploadLedger | None = None,
    ) -> None:
        self._client = client
        self._errors = errors
        self._call = errors.call
        self._multipart = Multipart(client, errors, bucket, ledger or UploadLedger(None))
        self._bucket = bucket
        self._prefix = prefix
        self._tag_meta = tag_meta

    def put(self, item: EdgeObject) -> Put:
        """Store *item*; see `Origin.put`."""
        key = s3.object_key(self._prefix, item.path)
        for _ in range(_TRIES):
            reply = self._head(key)
            before = None if reply is None else s3.read_object(item.path, reply, b"", self._tag_meta)
            changed = before is None or not item.same_content(before)
            if (
                before is not None
                and not changed
                and (before.immutable or before.age_s(item.published_s) < before.ttl_s / 10)
            ):
                return Put(False, True)
            self._mark(item, key)
            condition = {"IfNoneMatch": "*"} if reply is None else {"IfMatch": reply["ETag"]}
            if self._try_put(key, item, condition):
                return Put(changed, before is not None)
        raise TierUnavailable(f"{item.path}: other publishers won {_TRIES} times", tier="cdn", operation="publish")

    def get(self, path: str) -> EdgeObject | None:
        """Return the object at *path*."""
        key = s3.object_key(self._prefix, path)
        try:
            reply = self._call(self._client.get_object, Bucket=self._bucket, Key=key)
            body = reply["Body"].read()
        except Absent:
            return None
        except self._errors.network as error:  # the connection broke while the body was read
            raise TierUnavailable(str(error), tier="cdn", operation="fetch") from error
        return s3.read_object(path, reply, body, self._tag_meta)

    def remove(self, path: str) -> bool:
        """Remove one object; its markers are left and point at nothing."""
        key = s3.object_key(self._prefix, path)
        if self._head(key) is None:
            return False
        self._call(self._client.delete_object, Bucket=self._bucket, Key=key)
        return True

    def find(self, items: Sequence[PurgeItem]) -> list[str]:
        """Return the paths of the objects that one of *items* covers."""
        found = [item.value for item in items if item.kind == "path"]
        for item in items:
            if item.kind == "tag":
                markers = self._keys(s3.marker_prefix(self._prefix, item.value))
                found += [self._path(s3.marked_key(self._prefix, item.value, marker)) for marker in markers]
            elif item.kind != "path":
                found += self.paths(item.value if item.kind == "prefix" else "/")
        return found

    def drop(self, items: Sequence[PurgeItem]) -> list[str]:
        """Remove every object that one of *items* covers."""
        keys = [s3.object_key(self._prefix, item.value.split("?", 1)[0]) for item in items if item.kind == "path"]
        dropped = self._delete(keys, ())
        for item in items:
            if item.kind == "tag":
                markers = list(self._keys(s3.marker_prefix(self._prefix, item.value)))
                dropped += self._delete(
                    [s3.marked_key(self._prefix, item.value, marker) for marker in markers], markers
                )
            elif item.kind != "path":
                prefix = self._prefix + (item.value.lstrip("/") if item.kind == "prefix" else "")
                dropped += self._delete(list(self._keys(prefix)), ())
        return dropped

    def paths(self, prefix: str = "/") -> list[str]:
        """Return the paths of all objects below *prefix*, sorted."""
        own = self._prefix + ".tiercel/"
        keys = self._keys(self._prefix + prefix.lstrip("/"))
        return sorted(self._path(key) for key in keys if not key.startswith(own))

    def presign(self, path: str, expires_s: int) -> str:
        """
        Return a URL that lets its holder GET *path* from the bucket for *expires_s* seconds; asks nobody.

        Raises:
            ConfigurationError: less than a second, or more than the seven days that S3 allows.
        """
        if not 1 <= expires_s <= LONGEST_PRESIGNED_S:
            raise ConfigurationError(f"a presigned URL lives 1 s to 7 days, not {expires_s} s: sign for the CDN")
        place = {"Bucket": self._bucket, "Key": s3.object_key(self._prefix, check_path(path))}
        return str(self._client.generate_presigned_url("get_object", Params=place, ExpiresIn=expires_s))

    def unfinished_uploads(self) -> list[Unfinished]:
        """Return the uploads below the prefix that were begun and not ended, by whomever; S3 bills their parts."""
        return list(self._multipart.unfinished(self._prefix))

    def abort_upload(self, upload: Unfinished) -> None:
        """End an upload and remove its parts."""
        self._multipart.abort(upload)

    def collect_uploads(self, before_s: float) -> int:
        """Abort the uploads of this machine that were begun before *before_s*; return how many."""
        return self._multipart.collect(before_s)

    def ping(self) -> None:
        """Raise `TierError` where the bucket cannot be reached."""
        self._call(self._client.head_bucket, Bucket=self._bucket)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _head(self, key: str) -> Any:
        try:
            return self._call(self._client.head_object, Bucket=self._bucket, Key=key)
        except Absent:
            return None

    def _mark(self, item: EdgeObject, key: str) -> None:
        for tag in item.tags:
            self._call(
                self._client.put_object, Bucket=self._bucket, Key=s3.marker_key(self._prefix, tag, key), Body=b""
            )

    def _try_put(self, key: str, item: EdgeObject, condition: dict[str, str]) -> bool:
        request = s3.put_request(self._bucket, key, item, self._tag_meta)
        try:
            if len(item.body) > PART_BYTES:
                self._multipart.put(item, request, condition)
            else:
                self._call(self._client.put_object, **request, **condition)
        except (LostRace, Absent):  # changed, or removed, since it was read
            return False
        return True

    def _delete(self, keys: Sequence[str], markers: Sequence[str]) -> list[str]:
        # Objects before markers: a crash in between leaves markers that a repeat follows again.
        for batch in (*_batches(keys), *_batches(markers)):
            objects = [{"Key": key} for key in batch]
            reply = self._call(
                self._client.delete_objects, Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            if reply.get("Errors"):
                first = reply["Errors"][0]
                raise TierUnavailable(
                    f"S3 did not delete {first.get('Key')}: {first.get('Code')}", tier="cdn", operation="purge"
                )
        return [self._path(key) for key in keys]

    def _keys(self, prefix: str) -> Iterator[str]:
        request = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            reply = self._call(self._client.list_objects_v2, **request)
            yield from (entry["Key"] for entry in reply.get("Contents", ()))
            if not reply.get("IsTruncated"):
                return
            request["ContinuationToken"] = reply["NextContinuationToken"]

    def _path(self, key: str) -> str:
        return "/" + quote(key.removeprefix(self._prefix), safe="/~!$&'()+,;=:@-._")


def _batches(keys: Sequence[str], size: int = 1000) -> list[Sequence[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]
