"""
Where Redis is, as its URL says.

========================================  =====================================================================
``redis://[user:pass@]host[:port][/db]``  one server; ``rediss://`` with TLS; ``valkey(s)://`` means the same
``unix://[user:pass@]/path[?db=1]``       one server, by socket
``redis+cluster://h:p,h:p``               Redis Cluster, by some of its nodes
``redis+sentinel://h:p,h:p/name[/db]``    the primary called *name* that these Sentinels watch
========================================  =====================================================================

``rediss+cluster`` and ``rediss+sentinel`` use TLS. The query may carry ``db``, ``username``, ``password``,
``client_name``, ``sentinel_username``, ``sentinel_password``, ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``,
``ssl_check_hostname``; anything else is refused, so that a spelling mistake is no silent default. No error text and
no ``repr`` ever holds the password.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from tiercel.errors import ConfigurationError

__all__ = ["ANYONE", "Address", "Credentials", "RedisUrl", "TlsOptions", "parse_redis_url"]

Topology: TypeAlias = Literal["standalone", "cluster", "sentinel"]
DEFAULT_PORT = 6379
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Address:
    """One server's address: a host and a port, or a Unix socket's path."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str, default_port: int = DEFAULT_PORT) -> Address:
        """Read ``host``, ``host:port`` or ``[v6]:port``."""
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port = text, str(default_port)
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigurationError(f"address {text!r}: the port must be a number from 1 to 65535")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    @property
    def name(self) -> str:
        """``host:port``, or the socket's path: how logs, health and slot maps call this server."""
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An ACL user; the default user where *username* is empty."""

    username: str = ""
    password: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.password)


ANYONE = Credentials()
"""The default user without a password."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """TLS settings; the server's certificate is always verified."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = field(default=None, repr=False)
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A parsed URL."""

    topology: Topology
    addresses: tuple[Address, ...]
    credentials: Credentials = ANYONE
    database: int = 0
    master_name: str = ""
    tls: TlsOptions | None = None
    client_name: str = ""
    sentinel_credentials: Credentials = ANYONE

    def __str__(self) -> str:
        return ",".join(address.name for address in self.addresses)


_SCHEMES: dict[str, Topology] = {"": "standalone", "cluster": "cluster", "sentinel": "sentinel"}
_QUERY = {
    "db", "username", "sentinel_username", "sentinel_password", "password", "client_name", "ssl_ca_certs",
    "ssl_certfile", "ssl_keyfile", "ssl_check_hostname",
}  # fmt: skip


def parse_redis_url(url: str) -> RedisUrl:
    """
    Read *url*.

    Raises:
        ConfigurationError: The scheme, an address, the database or an option is wrong. The text never holds the
            password.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in query:
        if name not in _QUERY:
            raise ConfigurationError(f"Redis URL option {name!r}: allowed are {', '.join(sorted(_QUERY))}")
    user_info, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user_info.partition(":")
    credentials = Credentials(query.get("username", unquote(username)), query.get("password", unquote(password)))
    scheme, _, kind = parts.scheme.partition("+")
    if scheme == "unix" and not kind:
        database = _database(query.get("db", "0"))
        return RedisUrl("standalone", (Address(path=unquote(parts.path)),), credentials, database)
    if scheme not in ("redis", "rediss", "valkey", "valkeys") or kind not in _SCHEMES:
        raise ConfigurationError(
            f"Redis URL scheme {parts.scheme!r}: allowed are redis, rediss, valkey, valkeys "
            "(each also with +cluster or +sentinel) and unix"
        )
    target = _addressed(_SCHEMES[kind], hosts, parts.path.strip("/").split("/"), query.get("db"))
    tls = _tls(query) if scheme.endswith("ss") or scheme == "valkeys" else None
    return replace(
        target,
        credentials=credentials,
        tls=tls,
        client_name=query.get("client_name", ""),
        sentinel_credentials=Credentials(query.get("sentinel_username", ""), query.get("sentinel_password", "")),
    )


def _addressed(topology: Topology, hosts: str, path: list[str], database: str | None) -> RedisUrl:
    port = SENTINEL_PORT if topology == "sentinel" else DEFAULT_PORT
    addresses = tuple(Address.parse(host, port) for host in hosts.split(",") if host) or (Address("127.0.0.1", port),)
    if topology == "standalone" and len(addresses) > 1:
        raise ConfigurationError(f"Redis URL names {len(addresses)} servers: use redis+cluster:// or redis+sentinel://")
    master_name = ""
    if topology == "sentinel":
        master_name, path = unquote(path[0]), path[1:]
        if not master_name:
            raise ConfigurationError("Redis URL for Sentinel: name the primary, redis+sentinel://host:port/NAME")
    number = _database(database or (path[0] if path else "") or "0")
    if topology == "cluster" and number:
        raise ConfigurationError(f"Redis URL for a cluster: database {number} does not exist there, only 0")
    return RedisUrl(topology, addresses, database=number, master_name=master_name)


def _database(text: str) -> int:
    if not text.isdigit():
        raise ConfigurationError(f"Redis database {text!r}: must be a whole number from 0")
    return int(text)


def _tls(query: dict[str, str]) -> TlsOptions:
    check = query.get("ssl_check_hostname", "true").lower()
    if check not in ("true", "false"):
        raise ConfigurationError(f"ssl_check_hostname={check!r}: must be true or false")
    return TlsOptions(query.get("ssl_ca_certs"), query.get("ssl_certfile"), query.get("ssl_keyfile"), check == "true")
