"""
S3 and CloudFront through boto3: objects at moto, invalidations at the stand-in with the real limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.moto import MotoServer
from tests.standins.cloudfront import CloudFrontModel, CloudFrontStandIn
from tiercel._core.clock import ManualClock
from tiercel._edges.cloudfront import CloudFrontSender
from tiercel._sync.edge import open_edge
from tiercel._sync.edge_distribution import Distribution
from tiercel._sync.edge_site import SitePublisher
from tiercel.cdn.diagnosis import judge_distribution
from tiercel.cdn.faults import SendRefused
from tiercel.cdn.purge import PurgeRequest, PurgeTicket
from tiercel.errors import ConfigurationError, TierUnavailable

pytest.importorskip("boto3", reason="boto3 is not installed (pip install tiercel[cdn])")
PLAIN = "text/plain; charset=utf-8"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_s=1_795_000_000.0)


@pytest.fixture
def s3(clean_moto: MotoServer) -> Any:
    import boto3

    client = boto3.client("s3", endpoint_url=clean_moto.url, region_name=clean_moto.region)
    client.create_bucket(Bucket="shop")
    yield client
    client.close()


@pytest.fixture
def cloudfront(clock: ManualClock) -> Iterator[CloudFrontStandIn]:
    with CloudFrontStandIn(CloudFrontModel(clock)) as server:
        yield server


@pytest.fixture
def edge(
    s3: Any, clean_moto: MotoServer, cloudfront: CloudFrontStandIn, clock: ManualClock, tmp_path: Path
) -> Iterator[Distribution]:
    url = f"s3+cloudfront://shop/E123?endpoint={clean_moto.url}&cloudfront_endpoint={cloudfront.url}&prefix=site"
    opened = open_edge(url, state_dir=tmp_path, clock=clock, start=False)
    yield opened
    opened.close()


def finish(edge: Distribution, ticket: PurgeTicket, clock: ManualClock) -> str:
    assert edge.purger is not None
    for _ in range(200):
        status = edge.status(ticket)
        if status.state != "pending":
            return status.state
        clock.advance(edge.purger.step())
    pytest.fail("still pending")


def keys(s3: Any) -> list[str]:
    return sorted(entry["Key"] for entry in s3.list_objects_v2(Bucket="shop").get("Contents", ()))


def test_an_object_carries_everything_that_cloudfront_serves(edge: Distribution, s3: Any) -> None:
    edge.publish(
        "/acme/a.css", b"a{}", content_type="text/css; charset=utf-8", ttl_s=300, tags=["theme:7"], tenant="acme"
    )
    reply = s3.head_object(Bucket="shop", Key="site/acme/a.css")
    assert reply["ContentType"] == "text/css; charset=utf-8"
    assert reply["CacheControl"] == "public, max-age=300"
    sent = reply["Metadata"]["cache-tag"].split(",")
    assert edge.codec.encode("acme", "theme:7") in sent
    assert edge.codec.tenant_tag("acme") in sent
    found = edge.fetch("/acme/a.css")
    assert found is not None
    assert (found.body, found.ttl_s) == (b"a{}", 300.0)


def test_publishing_is_conditional(edge: Distribution, clock: ManualClock) -> None:
    first = edge.publish("/a", b"1", content_type=PLAIN, ttl_s=300)
    same = edge.publish("/a", b"1", content_type=PLAIN, ttl_s=300)
    new = edge.publish("/a", b"2", content_type=PLAIN, ttl_s=300)
    assert [(one.changed, one.existed) for one in (first, same, new)] == [(True, False), (False, True), (True, True)]
    assert [one.ticket is None for one in (first, same, new)] == [True, True, False]
    assert new.ticket is not None
    assert finish(edge, new.ticket, clock) == "done"


def test_a_lost_race_is_read_again(edge: Distribution, s3: Any) -> None:
    """
    Another publisher writes between our look and our put: the put is refused by If-Match, and repeated over what is
    there.
    """
    assert edge.origin is not None
    client = edge.origin._client  # type: ignore[attr-defined]  # the race is forced inside the driver
    real = client.put_object
    raced: list[dict[str, Any]] = []

    def racing(**request: Any) -> Any:
        if not raced and request["Key"] == "site/a":
            raced.append(request)
            s3.put_object(Bucket="shop", Key="site/a", Body=b"theirs")
        return real(**request)

    client.put_object = racing
    published = edge.publish("/a", b"ours", content_type=PLAIN, ttl_s=60)
    assert raced[0]["IfNoneMatch"] == "*"
    assert published.existed
    found = edge.fetch("/a")
    assert found is not None
    assert found.body == b"ours"


def test_an_object_of_many_parts(edge: Distribution, s3: Any) -> None:
    body = bytes(range(256)) * 80_000  # 20 MB
    assert edge.publish("/big.bin", body, content_type="application/octet-stream", ttl_s=60, immutable=True).changed
    assert not edge.publish("/big.bin", body, content_type="application/octet-stream", ttl_s=60, immutable=True).changed
    assert "-3" in s3.head_object(Bucket="shop", Key="site/big.bin")["ETag"]
    found = edge.fetch("/big.bin")
    assert found is not None
    assert found.body == body


def test_a_purge_by_tag_removes_the_object_and_invalidates_the_tag(
    edge: Distribution, cloudfront: CloudFrontStandIn, s3: Any, clock: ManualClock
) -> None:
    edge.publish("/p/1", b"1", content_type=PLAIN, ttl_s=300, tags=["product:1"], tenant="acme")
    edge.publish("/p/2", b"2", content_type=PLAIN, ttl_s=300, tags=["product:2"], tenant="acme")
    ticket = edge.purge(PurgeRequest(tags=["product:1"], tenant="acme"))
    assert edge.fetch("/p/1") is None
    assert edge.fetch("/p/2") is not None
    assert finish(edge, ticket, clock) == "done"
    [one] = cloudfront.model.invalidations.values()
    assert "#" + edge.codec.encode("acme", "product:1") in one.items
    assert [key for key in keys(s3) if edge.codec.encode("acme", "product:1") in key] == []


def test_a_distribution_without_tags_is_purged_by_the_paths_that_carry_them(
    s3: Any, clean_moto: MotoServer, clock: ManualClock, tmp_path: Path
) -> None:
    with CloudFrontStandIn(CloudFrontModel(clock, tag_header="")) as server:
        url = f"s3+cloudfront://shop/E1?endpoint={clean_moto.url}&cloudfront_endpoint={server.url}&tags=off"
        edge = open_edge(url, state_dir=tmp_path, clock=clock, start=False)
        edge.publish("/p/1", b"1", content_type=PLAIN, ttl_s=300, tags=["x"])
        edge.publish("/p/2", b"2", content_type=PLAIN, ttl_s=300, tags=["y"])
        assert finish(edge, edge.purge(PurgeRequest(tags=["x"])), clock) == "done"
        assert [one.items for one in server.model.invalidations.values()] == [("/p/1",)]
        edge.close()


def test_purging_keeps_the_origin_where_that_is_asked(edge: Distribution, clock: ManualClock) -> None:
    edge.publish("/index.html", b"page", content_type="text/html", ttl_s=300)
    ticket = edge.purge(PurgeRequest(paths=["/*"], keep_origin=True))
    assert finish(edge, ticket, clock) == "done"
    assert edge.fetch("/index.html") is not None


def test_everything_below_the_prefix_falls_and_nothing_beside_it(edge: Distribution, s3: Any) -> None:
    s3.put_object(Bucket="shop", Key="other/keep", Body=b"")
    edge.publish("/p/1", b"1", content_type=PLAIN, ttl_s=300, tags=["x"])
    edge.publish("/q/1", b"1", content_type=PLAIN, ttl_s=300)
    edge.purge(PurgeRequest(prefixes=["/p/"]))
    assert edge.origin is not None
    assert edge.origin.paths() == ["/q/1"]
    edge.purge(PurgeRequest(everything=True))
    assert keys(s3) == ["other/keep"]


def test_a_site_is_published_to_a_bucket(edge: Distribution, clock: ManualClock, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text('<link href="app.css">')
    (site / "app.css").write_text("a{}")
    first = SitePublisher(edge, clock=clock).publish(site)
    assert sorted(first.manifest) == ["app.css", "index.html"]
    (site / "app.css").write_text("b{}")
    second = SitePublisher(edge, clock=clock).publish(site)
    assert len(second.tickets) == 1  # the page changed; the style sheet has a new name and needs no purge
    assert finish(edge, second.tickets[0], clock) == "done"
    found = edge.fetch("/asset-manifest.json")
    assert found is not None
    assert json.loads(found.body)["files"]["app.css"] == second.manifest["app.css"]
    assert edge.fetch(first.manifest["app.css"]) is not None  # still there for who has the old page


def test_a_presigned_link_opens_one_object(edge: Distribution, s3: Any) -> None:
    import urllib.request

    edge.publish("/private.txt", b"secret", content_type=PLAIN, ttl_s=60)
    url = edge.origin.presign("/private.txt", 60)  # type: ignore[union-attr]  # an S3 origin
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url  # version 2, boto3's default, is refused by newer regions
    with pytest.raises(ConfigurationError, match="7 days"):
        edge.origin.presign("/private.txt", 8 * 86_400)  # type: ignore[union-attr]  # an S3 origin
    with urllib.request.urlopen(url, timeout=10) as reply:
        assert reply.read() == b"secret"


def test_a_missing_bucket_is_unavailable_and_a_missing_distribution_is_refused(
    s3: Any, clean_moto: MotoServer, clock: ManualClock
) -> None:
    edge = open_edge(f"s3+cloudfront://nobody/E404?endpoint={clean_moto.url}", clock=clock, start=False)
    with pytest.raises(TierUnavailable):
        edge.publish("/a", b"", content_type=PLAIN, ttl_s=1)
    assert edge.purger is not None
    with pytest.raises(SendRefused):
        edge.purger.sender.ping()
    edge.close()


def test_a_server_that_is_down_is_unavailable(clock: ManualClock) -> None:
    edge = open_edge("s3://shop?endpoint=http://127.0.0.1:1", clock=clock, start=False)
    with pytest.raises(TierUnavailable):
        edge.ping()
    edge.close()


def test_the_doctor_reads_the_distribution(edge: Distribution) -> None:
    assert edge.purger is not None
    sender = edge.purger.sender
    assert isinstance(sender, CloudFrontSender)
    findings = judge_distribution(sender.settings())
    assert [finding.level for finding in findings] == ["ok", "warning", "note"]  # tags, minimum ttl, compression


def test_an_s3_origin_cannot_send_a_header_of_another_name() -> None:
    with pytest.raises(ConfigurationError, match="x-amz-meta"):
        open_edge("s3://shop?tag_header=Cache-Tag")
