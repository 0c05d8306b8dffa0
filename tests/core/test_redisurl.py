"""Redis URLs: what each says, and what is refused."""

from __future__ import annotations

import pytest

from tiercel._core.redisurl import (
    Address,
    Credentials,
    RedisUrl,
    TlsOptions,
    parse_redis_url,
)
from tiercel.errors import ConfigurationError

LOCAL = (Address("127.0.0.1", 6379),)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", RedisUrl("standalone", LOCAL)),
        ("redis://h", RedisUrl("standalone", (Address("h", 6379),))),
        ("valkey://h:1/3", RedisUrl("standalone", (Address("h", 1),), database=3)),
        ("redis://h/?db=4", RedisUrl("standalone", (Address("h", 6379),), database=4)),
        ("redis://u:p%40s@h", RedisUrl("standalone", (Address("h", 6379),), Credentials("u", "p@s"))),
        ("redis://:p@[::1]:7", RedisUrl("standalone", (Address("::1", 7),), Credentials("", "p"))),
        ("rediss://h", RedisUrl("standalone", (Address("h", 6379),), tls=TlsOptions())),
        (
            "valkeys://h?ssl_ca_certs=/ca&ssl_check_hostname=false",
            RedisUrl("standalone", (Address("h", 6379),), tls=TlsOptions("/ca", check_hostname=False)),
        ),
        ("unix:///run/redis.sock?db=1", RedisUrl("standalone", (Address(path="/run/redis.sock"),), database=1)),
        ("redis+cluster://a:1,b:2", RedisUrl("cluster", (Address("a", 1), Address("b", 2)))),
        (
            "redis+sentinel://a,b:2/main/5",
            RedisUrl("sentinel", (Address("a", 26379), Address("b", 2)), database=5, master_name="main"),
        ),
        ("redis://h?client_name=shop", RedisUrl("standalone", (Address("h", 6379),), client_name="shop")),
    ],
)
def test_urls_are_read(url: str, expected: RedisUrl) -> None:
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://h", "scheme"),
        ("redis+other://h", "scheme"),
        ("redis://a,b", "2 servers"),
        ("redis://h:99999", "port"),
        ("redis://h:x", "port"),
        ("redis://h/x", "database"),
        ("redis+cluster://h/1", "database"),
        ("redis+sentinel://h", "name the primary"),
        ("redis://h?tls=1", "allowed"),
        ("rediss://h?ssl_check_hostname=maybe", "ssl_check_hostname"),
    ],
)
def test_wrong_urls_are_refused_with_the_reason(url: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        parse_redis_url(url)


def test_no_text_shows_the_password() -> None:
    url = parse_redis_url("redis+sentinel://u:hush@h/name?sentinel_password=psst")
    assert url.sentinel_credentials == Credentials("", "psst")
    for text in (str(url), repr(url)):
        assert "hush" not in text
        assert "psst" not in text
    with pytest.raises(ConfigurationError) as raised:
        parse_redis_url("redis://u:hush@h:x")
    assert "hush" not in str(raised.value)
