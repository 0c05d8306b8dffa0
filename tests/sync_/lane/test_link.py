# Generated from tests/async_/lane/test_link.py by tools/unasync.py. Do not edit.
"""
The link's promises on one server, on a cluster and behind Sentinels; the same file runs on the threads' twin.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.rig import RedisCluster, RedisSentinel, RedisServer
from tiercel._sync.link import Link, LinkOptions, open_link
from tiercel.errors import (
    ConfigurationError,
    ReplyError,
    TierTimeout,
    TierUnavailable,
)
from tiercel.scripts import Script

DOUBLE = Script("double", "return tonumber(ARGV[1]) * 2")


@pytest.fixture(params=["redis_server", "valkey_server", "redis_cluster", "redis_sentinel"])
def url(request: pytest.FixtureRequest) -> str:
    server: RedisServer | RedisCluster | RedisSentinel = request.getfixturevalue(request.param)
    server.flush()
    return server.url.replace("redis:", "redis+cluster:") if isinstance(server, RedisCluster) else server.url


@pytest.fixture
def link(url: str) -> Iterator[Link]:
    opened = open_link(url)
    yield opened
    opened.close()


def test_replies_keep_their_types(link: Link) -> None:
    assert link.execute("SET", "a", 1) in (b"OK", "OK")
    assert link.execute("GET", b"a") == b"1"
    assert link.execute("INCRBY", "a", 2) == 3
    assert link.execute("GET", "missing") is None
    assert link.execute("RPUSH", "list", "x", 2.5) == 2
    assert link.execute("LRANGE", "list", 0, -1) == [b"x", b"2.5"]


def test_an_error_reply_is_raised_with_its_code(link: Link) -> None:
    link.execute("SET", "text", "x")
    with pytest.raises(ReplyError) as raised:
        link.execute("LPUSH", "text", 1)
    assert raised.value.code == "WRONGTYPE"


def test_many_answers_in_order_with_errors_in_their_places(link: Link) -> None:
    names = [f"many:{number}" for number in range(100)]
    link.execute_many([("SET", name, name) for name in names])
    replies = link.execute_many([("GET", name) for name in names] + [("LPUSH", "many:7", 1), ("GET", "none")])
    assert replies[:100] == [name.encode() for name in names]
    assert isinstance(replies[100], ReplyError)
    assert replies[101] is None


def test_many_of_nothing_is_nothing(link: Link) -> None:
    assert link.execute_many([]) == []


def test_a_word_that_cannot_be_sent_leaves_the_connection_in_order(link: Link) -> None:
    link.execute("SET", "a", "value")
    with pytest.raises(TypeError):
        link.execute("SET", "a", None)  # type: ignore[arg-type]
    assert link.execute("GET", "a") == b"value"


def test_a_script_runs_whether_the_server_knows_it_or_not(link: Link) -> None:
    link.each_primary("SCRIPT", "FLUSH")
    assert link.script(DOUBLE, [b"k"], [21]) == 42
    assert link.script(DOUBLE, [b"k"], [2]) == 4
    link.each_primary("SCRIPT", "FLUSH")
    calls = [([b"k%d" % number], [number]) for number in range(20)]
    assert link.script_many(DOUBLE, calls) == [2 * number for number in range(20)]


def test_a_script_error_is_raised_alone_and_returned_among_many(link: Link) -> None:
    failing = Script("failing", "return redis.error_reply('MINE no')")
    with pytest.raises(ReplyError) as raised:
        link.script(failing, [b"k"], [])
    assert raised.value.code == "MINE"
    replies = link.script_many(failing, [([b"k"], [])])
    assert isinstance(replies[0], ReplyError)


def test_a_late_reply_reaches_nobody(link: Link) -> None:
    link.execute("SET", "{q}a", "right")
    with pytest.raises(TierTimeout):
        link.execute("BLPOP", "{q}empty", 0.2, timeout_s=0.05)
    assert link.execute("GET", "{q}a") == b"right"
    assert link.execute_many([("GET", "{q}a"), ("EXISTS", "{q}a")]) == [b"right", 1]


def test_a_timeout_ends_the_call_in_time(link: Link) -> None:
    started = time.monotonic()
    with pytest.raises(TierTimeout):
        link.execute("BLPOP", "empty", 1, timeout_s=0.1)
    assert time.monotonic() - started < 0.3


def test_a_blocking_command_holds_up_nobody(link: Link) -> None:
    assert link.blocking("BLPOP", "empty", 0.05, timeout_s=0.05) is None
    link.execute("RPUSH", "full", "x")
    assert link.blocking("BLPOP", "full", 1, timeout_s=1) == [b"full", b"x"]
    entry = link.execute("XADD", "stream", "*", "f", "v")
    reply = link.blocking("XREAD", "BLOCK", 100, "STREAMS", "stream", "0", timeout_s=0.1)
    assert reply == {b"stream": [[entry, [b"f", b"v"]]]}


def test_scan_walks_every_primary(link: Link) -> None:
    names = {b"scan:%d" % number for number in range(500)}
    link.execute_many([("SET", name, 1) for name in names])
    link.execute("SET", "other", 1)
    seen: set[bytes] = set()
    for batch in link.scan(b"scan:*", 50):
        seen.update(batch)
    assert seen == names


def test_each_primary_answers_under_its_name(link: Link) -> None:
    link.execute_many([("SET", f"count:{number}", 1) for number in range(300)])
    sizes = link.each_primary("DBSIZE")
    assert sum(sizes.values()) == 300
    assert set(sizes) == {name for name, node in link.health().nodes.items() if node.role == "primary"}


def test_health_tells_what_the_link_saw(link: Link) -> None:
    link.execute("SET", "a", 1)
    health = link.health()
    assert health.coverage == 1
    busy = [node for node in health.nodes.values() if node.commands]
    assert busy
    for node in busy:
        assert node.breaker == "closed"
        assert node.is_connected
        assert node.latency_s > 0
        assert node.version.startswith(("redis", "valkey"))


def test_closing_twice_is_harmless(url: str) -> None:
    opened = open_link(url)
    opened.close()
    opened.close()


def test_a_missing_server_is_named_without_the_password() -> None:
    started = time.monotonic()
    with pytest.raises(TierUnavailable) as raised:
        open_link("redis://:hush@127.0.0.1:1/0", options=LinkOptions(connect_timeout_s=0.2))
    assert time.monotonic() - started < 1.0
    assert "127.0.0.1:1" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_wrong_password_is_told_apart_and_not_shown(redis_server: RedisServer) -> None:
    with pytest.raises(TierUnavailable) as raised:
        open_link(f"redis://anna:hush@127.0.0.1:{redis_server.port}", options=LinkOptions(connect_timeout_s=0.2))
    assert "WRONGPASS" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_wrong_url_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        open_link("http://127.0.0.1")


def test_a_restarted_server_is_found_again_and_reported(redis_server: RedisServer) -> None:
    link = open_link(redis_server.url)
    told: list[str] = []
    link.on_reconnect.append(told.append)
    try:
        link.execute("SET", "a", 1)
        redis_server.restart()
        assert link.execute("GET", "a", timeout_s=5.0) is None
        assert told == [f"127.0.0.1:{redis_server.port}"]
        assert link.health().nodes[told[0]].reconnects == 1
    finally:
        link.close()


def test_a_demoted_server_is_connected_to_anew(clean_redis: RedisServer) -> None:
    """Behind a name that moved, the old server answers READONLY for ever on connections that stand."""
    link = open_link(clean_redis.url)
    clean_redis.cli("REPLICAOF", "127.0.0.1", 1)
    promotion = threading.Timer(1.0, clean_redis.cli, ("REPLICAOF", "NO", "ONE"))
    promotion.start()
    try:
        assert link.execute("SET", "a", 1, timeout_s=5.0) in (b"OK", "OK")
        assert next(iter(link.health().nodes.values())).reconnects >= 1
    finally:
        promotion.join()
        link.close()


def test_a_standalone_url_of_a_cluster_says_so(redis_cluster: RedisCluster) -> None:
    link = open_link(redis_cluster.url)
    try:
        foreign = next(f"k{n}" for n in range(100) if redis_cluster.owner_of_key(f"k{n}") is not redis_cluster.nodes[0])
        with pytest.raises(TierUnavailable, match="redis\\+cluster"):
            link.execute("GET", foreign)
    finally:
        link.close()
