"""
``tiercel demo`` as a user runs it: embedded, replaying a trace, on real servers, and with bad input.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.rig.elasticsearch import ElasticsearchServer
from tests.rig.moto import MotoServer
from tests.rig.redis import RedisServer
from tiercel.demo.page import handler_of
from tiercel.demo.summary import DATA_TYPES

SMALL = ("--products", "400", "--users", "100", "--tenants", "2", "--seconds", "4")


def demo(
    *words: str, timeout_s: float = 110.0, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tiercel", "demo", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )


def figures_of(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.returncode == 0, run.stderr[-3000:] + run.stdout[-500:]
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def held(figures: dict[str, Any]) -> None:
    """Every data type is in use, nothing failed, and the cache says what the stores hold."""
    assert set(figures["data_types"]) == set(DATA_TYPES)
    for name, row in figures["data_types"].items():
        assert row["requests"] > 0, name
        if name != "analytics":  # a write-behind metric may be asked for before anybody viewed its product
            assert row["hits"] > 0, name
    assert figures["failed_pages"] == 0
    assert figures["consistency"]["compared"] > 0
    assert figures["consistency"]["wrong"] == 0
    assert figures["journal_pending"] == 0


def test_embedded() -> None:
    figures = figures_of(demo(*SMALL, "--json"))
    held(figures)
    assert figures["pages"] > 50
    assert figures["invalidations"] > 0


def test_the_report_is_a_table_for_people() -> None:
    run = demo(*SMALL)
    assert run.returncode == 0, run.stderr[-2000:]
    for name in DATA_TYPES:
        assert name in run.stdout
    assert "0 wrong" in run.stdout
    assert "pages" in run.stderr


def test_on_real_servers(
    clean_redis: RedisServer,
    postgres_url: str,
    mongo_url: str,
    clean_elasticsearch: ElasticsearchServer,
    clean_moto: MotoServer,
) -> None:
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    boto3.client(
        "s3",
        endpoint_url=clean_moto.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    ).create_bucket(Bucket="shop")
    places = {
        "--redis": clean_redis.url,
        "--postgres": postgres_url,
        "--mongo": mongo_url,
        "--elasticsearch": clean_elasticsearch.url.replace("http://", "elasticsearch://"),
        "--cdn": f"s3://shop?region=us-east-1&endpoint={clean_moto.url}",
    }
    figures = figures_of(demo(*SMALL, "--json", *(word for pair in places.items() for word in pair), environment=keys))
    held(figures)
    assert figures["served_by"]["redis"] == "the given server"
    assert "SQLite" not in figures["served_by"].values()


@pytest.mark.parametrize("kind", ["keys", "keys.gz", "keys.zst"])
def test_replays_a_trace(kind: str, tmp_path: Path) -> None:
    text = "".join(f"p{number % 7}\n" for number in range(200)).encode()
    trace = tmp_path / f"trace.{kind}"
    if kind.endswith("gz"):
        trace.write_bytes(gzip.compress(text))
    elif kind.endswith("zst"):
        zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed")
        trace.write_bytes(zstandard.compress(text))
    else:
        trace.write_bytes(text)
    figures = figures_of(demo(*SMALL, "--json", "--trace", str(trace)))
    assert figures["pages"] == 200
    assert figures["data_types"]["product"]["hits"] == 193


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"ok\n\x01bad\n", "line 2"), (b"ok\n\xff\xfe\n", "not text"), (b"", None), (b"k" * 600 + b"\n", "line 1")],
)
def test_a_bad_trace_is_named_with_its_line(content: bytes, says: str | None, tmp_path: Path) -> None:
    trace = tmp_path / "trace.keys"
    trace.write_bytes(content)
    run = demo(*SMALL, "--json", "--trace", str(trace))
    if says is None:
        assert figures_of(run)["pages"] == 0
        return
    assert run.returncode != 0
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_a_server_that_is_down_is_named() -> None:
    run = demo(*SMALL, "--redis", "redis://:secret@127.0.0.1:1", timeout_s=60.0)
    assert run.returncode != 0
    assert "127.0.0.1:1" in run.stderr
    assert "secret" not in run.stderr
    assert "Traceback" not in run.stderr


def test_the_report_page_shows_every_data_type() -> None:
    figures = figures_of(demo(*SMALL, "--json"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(figures))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_address[1]}"
        with urllib.request.urlopen(f"{root}/") as answer:
            page = answer.read().decode()
        with urllib.request.urlopen(f"{root}/report.json") as answer:
            assert json.load(answer) == figures
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert all(f"<td>{name}<td>" in page for name in DATA_TYPES)
