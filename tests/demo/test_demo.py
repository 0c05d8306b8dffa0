"""
``tiercel demo`` as a user runs it: embedded, replaying a trace, on real servers, and with bad input.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.rig.elasticsearch import ElasticsearchServer
from tests.rig.moto import MotoServer
from tests.rig.redis import RedisServer
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


def test_the_dashboard_stays_up_with_the_report_and_a_live_shop() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [*SMALL, "--json", "--stay", "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "tiercel", "demo", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        try:
            figures = json.loads(run.stdout.readline())
            told = next(line for line in run.stderr if "dashboard" in line)
            root = next(word for word in told.split() if word.startswith("http")).rstrip("/")
            page = fetched(root + "/demo").decode()
            assert json.loads(fetched(root + "/demo/report.json")) == figures
            assert '<a href="/demo">Demo report</a>' in fetched(root + "/regions").decode()
            assert set(json.loads(fetched(root + "/api/report"))["regions"]) >= set(DATA_TYPES)
        finally:
            run.send_signal(signal.SIGINT)
            left, _ = run.communicate(timeout=60.0)
    assert (run.returncode, left) == (0, "")
    assert all(f'<th scope="row">{name}</th>' in page for name in DATA_TYPES)


def fetched(url: str) -> bytes:
    """Return a page, waiting for the server to come up."""
    ends = time.monotonic() + 20.0
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.URLError:
            if time.monotonic() >= ends:
                raise
            time.sleep(0.05)
