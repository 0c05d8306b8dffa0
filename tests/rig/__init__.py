"""
The test rig: real servers on loopback, each a context manager with a scratch folder that leaves nothing behind.

Tests take them as fixtures (`tests.rig.fixtures`); proofs and benchmarks use the classes::

    from tests.rig import RedisServer

    with RedisServer() as redis:
        print(redis.url)

A server that cannot be had raises `Unavailable` with the reason.
"""

from __future__ import annotations

from tests.rig.cluster import RedisCluster
from tests.rig.elasticsearch import ElasticsearchServer
from tests.rig.mongo import MongoServer
from tests.rig.moto import MotoServer
from tests.rig.opensearch import OpenSearchServer
from tests.rig.origin import Answer, OriginServer
from tests.rig.postgres import PostgresServer
from tests.rig.process import Server, Unavailable, free_port, wait_until
from tests.rig.prometheus import AlertmanagerServer, PrometheusServer
from tests.rig.redis import RedisServer, ValkeyServer
from tests.rig.resp import ReplyError
from tests.rig.sentinel import RedisSentinel
from tests.rig.varnish import VarnishServer

__all__ = [
    "AlertmanagerServer",
    "Answer",
    "ElasticsearchServer",
    "MongoServer",
    "MotoServer",
    "OpenSearchServer",
    "OriginServer",
    "PostgresServer",
    "PrometheusServer",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ReplyError",
    "Server",
    "Unavailable",
    "ValkeyServer",
    "VarnishServer",
    "free_port",
    "wait_until",
]
