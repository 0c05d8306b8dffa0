"""
Large objects at moto's S3: an upload that broke off goes on at the missing part, and none is left behind for ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.rig.moto import MotoServer
from tiercel._core.clock import ManualClock
from tiercel._edges.multipart import LONGEST_S, PART_BYTES
from tiercel._edges.s3 import S3Origin
from tiercel._sync.edge import open_edge
from tiercel._sync.edge_distribution import Distribution
from tiercel.errors import TierUnavailable

pytest.importorskip("boto3", reason="boto3 is not installed (pip install tiercel[cdn])")
BODY = b"".join(bytes([number]) * PART_BYTES for number in range(3)) + b"the rest"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def s3(clean_moto: MotoServer) -> Any:
    import boto3

    client = boto3.client("s3", endpoint_url=clean_moto.url, region_name=clean_moto.region)
    client.create_bucket(Bucket="shop")
    yield client
    client.close()


class Machine:
    """A machine that publishes, process after process, with one folder for its state."""

    def __init__(self, url: str, home: Path) -> None:
        self.clock = ManualClock(wall_s=1_795_000_000.0)
        self.sent: list[int] = []
        self._url = url
        self._home = home

    def process(self, *, breaks_at: int | None = None) -> Distribution:
        """Start a process whose connection breaks at part *breaks_at*."""
        edge = open_edge(self._url, state_dir=self._home, clock=self.clock, start=False)
        client = edge.origin._client  # type: ignore[union-attr]  # the break is forced inside the driver
        real = client.upload_part

        def counting(**request: Any) -> Any:
            from botocore.exceptions import EndpointConnectionError

            if request["PartNumber"] == breaks_at:
                raise EndpointConnectionError(endpoint_url="s3")
            self.sent.append(request["PartNumber"])
            return real(**request)

        client.upload_part = counting
        return edge

    def publish(self, body: bytes = BODY, *, breaks_at: int | None = None, ttl_s: float = 60) -> bool:
        """Publish once, by a process of its own; say whether it ended well."""
        edge = self.process(breaks_at=breaks_at)
        try:
            edge.publish("/big.bin", body, content_type="application/octet-stream", ttl_s=ttl_s)
        except TierUnavailable:
            return False
        finally:
            edge.close()
        return True


@pytest.fixture
def machine(s3: Any, clean_moto: MotoServer, tmp_path: Path) -> Machine:
    return Machine(f"s3://shop?endpoint={clean_moto.url}&prefix=site", tmp_path)


def uploads(s3: Any) -> list[str]:
    return [entry["UploadId"] for entry in s3.list_multipart_uploads(Bucket="shop").get("Uploads", [])]


def body_of(s3: Any) -> bytes:
    body: bytes = s3.get_object(Bucket="shop", Key="site/big.bin")["Body"].read()
    return body


@pytest.mark.parametrize("breaks_at", [1, 3])
def test_an_upload_goes_on_at_the_missing_part(machine: Machine, s3: Any, breaks_at: int) -> None:
    assert not machine.publish(breaks_at=breaks_at)
    assert len(uploads(s3)) == 1
    assert machine.publish()
    assert machine.sent == [1, 2, 3, 4]  # each once, though two processes sent them
    assert body_of(s3) == BODY
    assert uploads(s3) == []


def test_a_connection_that_breaks_at_every_part_gets_there(machine: Machine, s3: Any) -> None:
    for part in (2, 3, 4):
        assert not machine.publish(breaks_at=part)
    assert machine.publish()
    assert machine.sent == [1, 2, 3, 4]
    assert body_of(s3) == BODY


def test_other_content_is_begun_anew_and_the_old_parts_are_removed(machine: Machine, s3: Any) -> None:
    assert not machine.publish(breaks_at=3)
    (old,) = uploads(s3)
    other = b"x" * len(BODY)
    assert not machine.publish(other, breaks_at=2)
    assert old not in uploads(s3)
    assert machine.publish(other)
    assert body_of(s3) == other
    assert uploads(s3) == []


def test_other_fields_are_other_content(machine: Machine, s3: Any) -> None:
    assert not machine.publish(breaks_at=3)
    assert machine.publish(ttl_s=7200)
    assert machine.sent == [1, 2, 1, 2, 3, 4]
    assert s3.head_object(Bucket="shop", Key="site/big.bin")["CacheControl"] == "public, max-age=7200"


def test_a_part_that_s3_does_not_have_as_noted_is_sent_again(machine: Machine, s3: Any) -> None:
    assert not machine.publish(breaks_at=3)
    (upload,) = uploads(s3)
    s3.upload_part(Bucket="shop", Key="site/big.bin", UploadId=upload, PartNumber=2, Body=b"?" * PART_BYTES)
    assert machine.publish()
    assert machine.sent == [1, 2, 2, 3, 4]
    assert body_of(s3) == BODY


def test_an_upload_that_somebody_aborted_is_begun_anew(machine: Machine, s3: Any) -> None:
    assert not machine.publish(breaks_at=3)
    s3.abort_multipart_upload(Bucket="shop", Key="site/big.bin", UploadId=uploads(s3)[0])
    assert machine.publish()
    assert body_of(s3) == BODY


def test_a_damaged_ledger_costs_sending_again(machine: Machine, s3: Any, tmp_path: Path) -> None:
    assert not machine.publish(breaks_at=3)
    (note,) = (tmp_path / "uploads").iterdir()
    note.write_text(note.read_text()[:-20])
    assert machine.publish()
    assert machine.sent == [1, 2, 1, 2, 3, 4]
    assert body_of(s3) == BODY


def test_an_upload_of_the_day_before_yesterday_is_aborted(machine: Machine, s3: Any) -> None:
    assert not machine.publish(breaks_at=2)
    (old,) = uploads(s3)
    machine.clock.advance(LONGEST_S + 1)
    assert not machine.publish(breaks_at=2)
    assert old not in uploads(s3)


def test_uploads_left_behind_are_listed_and_collected(machine: Machine, s3: Any) -> None:
    assert not machine.publish(breaks_at=2)
    s3.create_multipart_upload(Bucket="shop", Key="elsewhere/x")  # somebody else's
    edge = machine.process()
    assert isinstance(edge.origin, S3Origin)
    assert [upload.key for upload in edge.origin.unfinished_uploads()] == ["site/big.bin"]
    assert edge.origin.collect_uploads(machine.clock.wall()) == 0  # as young as now
    assert edge.origin.collect_uploads(machine.clock.wall() + 1) == 1
    assert edge.origin.unfinished_uploads() == []
    assert len(uploads(s3)) == 1
    edge.close()


def test_a_publisher_that_loses_the_race_leaves_nothing_behind(machine: Machine, s3: Any) -> None:
    edge = machine.process()
    client = edge.origin._client  # type: ignore[union-attr]  # the other publisher writes at the last moment
    real, rounds = client.complete_multipart_upload, []

    def racing(**request: Any) -> Any:
        rounds.append(request["UploadId"])
        if len(rounds) == 1:
            from botocore.exceptions import ClientError

            s3.put_object(Bucket="shop", Key="site/big.bin", Body=b"theirs")
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "CompleteMultipartUpload")
        return real(**{name: value for name, value in request.items() if name not in ("IfMatch", "IfNoneMatch")})

    client.complete_multipart_upload = racing
    assert edge.publish("/big.bin", BODY, content_type="application/octet-stream", ttl_s=60).changed
    assert len(set(rounds)) == 2
    assert body_of(s3) == BODY
    assert uploads(s3) == []
    edge.close()
