"""
The rig's pytest fixtures: one server of a kind a session, started at first use; one that cannot be had is a skip.

Session fixtures give the server as the test before left it; ``clean_*`` fixtures empty it first. A test that kills
or pauses a server brings it back before it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.rig import chromium as browser
from tests.rig.cluster import RedisCluster
from tests.rig.elasticsearch import ElasticsearchServer
from tests.rig.mongo import MongoServer
from tests.rig.moto import MotoServer
from tests.rig.opensearch import OpenSearchServer
from tests.rig.postgres import PostgresServer
from tests.rig.process import Server, Unavailable
from tests.rig.prometheus import AlertmanagerServer, PrometheusServer
from tests.rig.redis import RedisServer, ValkeyServer
from tests.rig.sentinel import RedisSentinel
from tests.rig.varnish import VarnishServer

S = TypeVar("S", bound=Server)

started: dict[str, str] = {}
"""What the run's servers were, for the closing lines: fixture's name to version and start time."""


@contextmanager
def serving(fixture: str, kind: type[S]) -> Iterator[S]:
    """Start a server of *kind* for *fixture*, or skip by name with the reason."""
    try:
        server = kind()
        server.__enter__()
    except Unavailable as reason:
        pytest.skip(f"{fixture}: {reason}")
    started[fixture] = f"{getattr(server, 'version', server.name)}, started in {server.started_in_s:.1f} s"
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A standalone Redis, in memory."""
    with serving("redis_server", RedisServer) as server:
        yield server


@pytest.fixture
def clean_redis(redis_server: RedisServer) -> RedisServer:
    """The session's Redis, emptied."""
    redis_server.flush()
    return redis_server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """A standalone Valkey from its wheel, in memory."""
    with serving("valkey_server", ValkeyServer) as server:
        yield server


@pytest.fixture
def clean_valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """The session's Valkey, emptied."""
    valkey_server.flush()
    return valkey_server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """A Redis Cluster of three masters and three replicas (Valkey's where Redis is not installed)."""
    with serving("redis_cluster", RedisCluster) as server:
        yield server


@pytest.fixture
def clean_redis_cluster(redis_cluster: RedisCluster) -> RedisCluster:
    """The session's cluster, emptied."""
    redis_cluster.flush()
    return redis_cluster


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[RedisSentinel]:
    """A master, two replicas and three sentinels (Valkey's where Redis is not installed)."""
    with serving("redis_sentinel", RedisSentinel) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL with logical decoding and real fsync."""
    with serving("postgres_server", PostgresServer) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Address of an empty PostgreSQL database of the test's own."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[MongoServer]:
    """A MongoDB replica set of one member."""
    with serving("mongo_server", MongoServer) as server:
        yield server


@pytest.fixture
def mongo_url(mongo_server: MongoServer) -> Iterator[str]:
    """Address of an empty MongoDB database of the test's own."""
    with mongo_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """A real Elasticsearch node."""
    with serving("elasticsearch_server", ElasticsearchServer) as server:
        yield server


@pytest.fixture
def clean_elasticsearch(elasticsearch_server: ElasticsearchServer) -> ElasticsearchServer:
    """The session's Elasticsearch, without indexes."""
    elasticsearch_server.flush()
    return elasticsearch_server


@pytest.fixture
def opensearch_server() -> Iterator[OpenSearchServer]:
    """The light OpenSearch emulator, empty: one a test, since it starts in milliseconds."""
    with serving("opensearch_server", OpenSearchServer) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """The AWS emulator."""
    with serving("moto_server", MotoServer) as server:
        yield server


@pytest.fixture
def clean_moto(moto_server: MotoServer) -> MotoServer:
    """The session's AWS emulator, emptied."""
    moto_server.flush()
    return moto_server


@pytest.fixture(scope="session")
def varnish_server() -> Iterator[VarnishServer]:
    """A Varnish edge with a scripted origin."""
    with serving("varnish_server", VarnishServer) as server:
        yield server


@pytest.fixture
def clean_varnish(varnish_server: VarnishServer) -> VarnishServer:
    """The session's edge, with nothing stored and an origin that knows nothing."""
    varnish_server.flush()
    return varnish_server


@pytest.fixture(scope="session")
def prometheus_server() -> Iterator[PrometheusServer]:
    """A Prometheus without targets; `configure` gives it some."""
    with serving("prometheus_server", PrometheusServer) as server:
        yield server


@pytest.fixture(scope="session")
def alertmanager_server() -> Iterator[AlertmanagerServer]:
    """An Alertmanager without a receiver; `configure` gives it one."""
    with serving("alertmanager_server", AlertmanagerServer) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Path of the browser, for playwright's ``executable_path``."""
    try:
        return browser.chromium_binary()
    except Unavailable as reason:
        pytest.skip(f"chromium: {reason}")
