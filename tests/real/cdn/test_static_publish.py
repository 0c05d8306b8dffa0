"""
``tiercel static publish`` and ``tiercel cdn``, from a folder to a bucket (moto's S3) behind CloudFront (the stand-in).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.moto import MotoServer
from tests.standins.cloudfront import CloudFrontModel, CloudFrontStandIn
from tiercel._core.clock import SystemClock
from tiercel.cli import main

BIG_BYTES = 9 * 1024 * 1024


@pytest.fixture
def s3(clean_moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    client = boto3.client("s3", endpoint_url=clean_moto.url, region_name=clean_moto.region)
    client.create_bucket(Bucket="shop")
    yield client
    client.close()


@pytest.fixture
def cloudfront() -> Iterator[CloudFrontStandIn]:
    with CloudFrontStandIn(CloudFrontModel(SystemClock(), completes_after_s=0.1)) as server:
        yield server


@pytest.fixture
def edge(s3: Any, clean_moto: MotoServer, cloudfront: CloudFrontStandIn, tmp_path: Path) -> list[str]:
    url = f"s3+cloudfront://shop/E1?endpoint={clean_moto.url}&cloudfront_endpoint={cloudfront.url}&window=0.01"
    return ["--edge", url, "--state-dir", str(tmp_path / "state"), "--json"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    root.mkdir()
    (root / "index.html").write_text('<link rel="stylesheet" href="app.css">')
    (root / "app.css").write_text("a{}")
    (root / "film.bin").write_bytes(b"\0" * BIG_BYTES)
    return root


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(list(words))
    return code, json.loads(capsys.readouterr().out)


def headers(s3: Any, key: str) -> tuple[str, str]:
    head = s3.head_object(Bucket="shop", Key=key)
    return head["ContentType"], head["CacheControl"]


def named(s3: Any, start: str) -> str:
    found = [one["Key"] for one in s3.list_objects_v2(Bucket="shop")["Contents"] if one["Key"].startswith(start)]
    assert len(found) == 1, found
    return str(found[0])


def test_a_site_goes_to_the_bucket_and_a_changed_page_falls(
    site: Path, edge: list[str], s3: Any, cloudfront: CloudFrontStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    publish = ["static", "publish", str(site), *edge]
    code, planned = answer(capsys, *publish, "--dry-run")
    assert (code, len(planned["published"]), s3.list_objects_v2(Bucket="shop")["KeyCount"]) == (0, 3, 0)
    code, first = answer(capsys, *publish)
    assert (code, sorted(first["published"])) == (0, sorted(planned["published"]))
    style = named(s3, "app.")
    assert style != "app.css"
    assert headers(s3, style) == ("text/css; charset=utf-8", "public, max-age=31536000, immutable")
    assert headers(s3, "index.html")[0] == "text/html; charset=utf-8"
    assert "immutable" not in headers(s3, "index.html")[1]
    assert style in s3.get_object(Bucket="shop", Key="index.html")["Body"].read().decode()
    assert s3.head_object(Bucket="shop", Key=named(s3, "film."))["ContentLength"] == BIG_BYTES
    assert cloudfront.model.billed == 0  # nothing was there before, so nothing falls
    code, second = answer(capsys, *publish)
    assert (code, second["published"], len(second["unchanged"])) == (0, [], 3)

    (site / "app.css").write_text("a{color:red}")
    code, third = answer(capsys, *publish)
    assert (code, len(third["unchanged"])) == (0, 1)
    sent = [item for one in cloudfront.model.invalidations.values() for item in one.items]
    assert sorted(sent) == ["/asset-generations.json", "/asset-manifest.json", "/index.html"]  # new names need no purge


def test_the_cdn_commands_speak_to_the_distribution(
    edge: list[str], cloudfront: CloudFrontStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    code, done = answer(capsys, "cdn", "purge", *edge, "--tag", "product:1", "--path", "/a/*", "--tenant", "acme")
    assert (code, done["state"]) == (0, "done")
    sent = [item for one in cloudfront.model.invalidations.values() for item in one.items]
    assert {item[0] for item in sent} == {"/", "#"}
    code, status = answer(capsys, "cdn", "status", *edge)
    assert (code, status["done"], status["dead_letters"]) == (0, done["items"], [])
    code, cost = answer(capsys, "cdn", "cost", *edge)
    assert (code, cost["items_this_month"]) == (0, cloudfront.model.billed)
    code, found = answer(capsys, "cdn", "doctor", *edge)
    levels = [(finding["level"], finding["message"]) for finding in found["findings"]]
    assert (code, levels[1]) == (0, ("ok", "purged by tag, from x-amz-meta-cache-tag"))
    assert ("warning", "keeps everything for at least 60 s, whatever the response says") in levels
