"""
Uploads in parts, which go on where they broke off.

An upload's id and the entity tags of its parts are noted as they are acknowledged (`UploadLedger`). The next try, of
this process or another one on the machine, asks S3 which parts it has; what both agree upon, in tag and length, is not
sent again. An upload of other content, or one begun more than a day ago, is aborted and begun anew: S3 keeps, and
bills, the parts of an unfinished upload for ever. Each part has a checksum, so that S3 refuses what was damaged on the
way: the driver's own, or its MD5 where that is switched off for servers that do not know it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from tiercel._edges.aws import Absent, AwsErrors, LostRace
from tiercel._edges.uploads import Unfinished, UploadLedger
from tiercel.cdn.objects import EdgeObject

PART_BYTES = 8 * 1024 * 1024
LONGEST_S = 86_400.0
"""How old an upload may be to be gone on with."""


class Multipart:
    """
    Uploads in parts to *bucket*.

    Args:
        client: A boto3 S3 client.
        errors: The driver's exception types.
        bucket: Bucket name.
        ledger: Where unfinished uploads are noted.
    """

    def __init__(self, client: Any, errors: AwsErrors, bucket: str, ledger: UploadLedger) -> None:
        self._client = client
        self._call = errors.call
        self._bucket = bucket
        self._ledger = ledger
        self._has_checksums = client.meta.config.request_checksum_calculation == "when_supported"

    def put(self, item: EdgeObject, request: dict[str, Any], condition: dict[str, str]) -> None:
        """
        Put *item* by the fields of *request*, going on with an earlier upload of it where there is one.

        Raises:
            LostRace: the object changed since it was read; nothing is left behind.
            Absent: the upload was ended by somebody else; look at the object again.
            TierUnavailable: S3 failed; the parts that it has stay for the next try.
        """
        body = memoryview(request["Body"])
        fields = {name: value for name, value in request.items() if name != "Body"}
        upload = self._resumed(item, fields["Key"]) or self._begun(item, fields)
        for number, chunk in _chunks(body):
            if number not in upload.parts:
                upload = self._sent(upload, number, bytes(chunk))
        try:
            self._complete(upload, condition)
        except LostRace:
            self.abort(upload)
            raise
        except Absent:
            self._ledger.forget(upload.bucket, upload.key)
            raise
        self._ledger.forget(upload.bucket, upload.key)

    def abort(self, upload: Unfinished) -> None:
        """End *upload* and remove its parts; one that is not there any more is simply forgotten."""
        try:
            self._call(self._client.abort_multipart_upload, **_place(upload))
        except Absent:  # completed or aborted by somebody else: what was wanted
            self._ledger.forget(upload.bucket, upload.key)
            return
        self._ledger.forget(upload.bucket, upload.key)

    def collect(self, before_s: float) -> int:
        """Abort the noted uploads that were begun before *before_s*, seconds since the epoch; return how many."""
        old = [upload for upload in self._ledger.older_than(before_s) if upload.bucket == self._bucket]
        for upload in old:
            self.abort(upload)
        return len(old)

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Yield every upload below *prefix* that S3 knows, whoever began it."""
        request = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            reply = self._call(self._client.list_multipart_uploads, **request)
            for entry in reply.get("Uploads", ()):
                begun = entry.get("Initiated")
                began_s = begun.timestamp() if isinstance(begun, datetime) else 0.0
                yield Unfinished(
                    bucket=self._bucket, key=entry["Key"], upload_id=entry["UploadId"], content="", started_s=began_s
                )
            if not reply.get("IsTruncated"):
                return
            request |= {"KeyMarker": reply["NextKeyMarker"], "UploadIdMarker": reply["NextUploadIdMarker"]}

    def _resumed(self, item: EdgeObject, key: str) -> Unfinished | None:
        """Return the earlier upload of *item* with the parts that are surely there; None where there is none to use."""
        upload = self._ledger.find(self._bucket, key)
        if upload is None:
            return None
        if upload.content != _content(item) or item.published_s - upload.started_s > LONGEST_S:
            self.abort(upload)
            return None
        try:
            there = dict(self._listed(upload))
        except Absent:
            self._ledger.forget(upload.bucket, upload.key)
            return None
        lengths = {number: len(chunk) for number, chunk in _chunks(memoryview(item.body))}
        held = {n: etag for n, etag in upload.parts.items() if there.get(n) == (etag, lengths.get(n))}
        return replace(upload, parts=held)

    def _listed(self, upload: Unfinished) -> Iterator[tuple[int, tuple[str, int]]]:
        request = _place(upload)
        while True:
            reply = self._call(self._client.list_parts, **request)
            for part in reply.get("Parts", ()):
                yield part["PartNumber"], (part["ETag"], part["Size"])
            if not reply.get("IsTruncated"):
                return
            request["PartNumberMarker"] = reply["NextPartNumberMarker"]

    def _begun(self, item: EdgeObject, fields: dict[str, Any]) -> Unfinished:
        self.collect(item.published_s - LONGEST_S)
        upload_id = self._call(self._client.create_multipart_upload, **fields)["UploadId"]
        upload = Unfinished(
            bucket=self._bucket,
            key=fields["Key"],
            upload_id=upload_id,
            content=_content(item),
            started_s=item.published_s,
        )
        self._ledger.note(upload)
        return upload

    def _sent(self, upload: Unfinished, number: int, chunk: bytes) -> Unfinished:
        own = {} if self._has_checksums else {"ContentMD5": _md5(chunk)}
        reply = self._call(self._client.upload_part, **_place(upload), PartNumber=number, Body=chunk, **own)
        upload = replace(upload, parts={**upload.parts, number: reply["ETag"]})
        self._ledger.note(upload)
        return upload

    def _complete(self, upload: Unfinished, condition: dict[str, str]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(upload.parts.items())]
        self._call(
            self._client.complete_multipart_upload, **_place(upload), MultipartUpload={"Parts": parts}, **condition
        )


def _place(upload: Unfinished) -> dict[str, Any]:
    return {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.upload_id}


def _md5(chunk: bytes) -> str:
    return base64.b64encode(hashlib.md5(chunk, usedforsecurity=False).digest()).decode("ascii")


def _content(item: EdgeObject) -> str:
    """Return a digest of what *item* will be served as; the time of publishing is not part of it."""
    served = [item.etag, sorted(item.headers.items()), item.tags, item.ttl_s, item.grace_s, item.keep_s, item.immutable]
    return hashlib.sha256(json.dumps([*served, item.status, len(item.body)]).encode()).hexdigest()


def _chunks(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    for number, start in enumerate(range(0, len(body), PART_BYTES), 1):
        yield number, body[start : start + PART_BYTES]
