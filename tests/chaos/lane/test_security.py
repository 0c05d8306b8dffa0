"""
TLS, ACL users and Unix sockets: the link gets in where it should, and nowhere else.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.rig import RedisServer
from tests.rig.process import free_port
from tiercel._async.link import LinkOptions, open_link
from tiercel._sync.link import open_link as open_blocking_link
from tiercel.errors import ReplyError, TierUnavailable

IMPATIENT = LinkOptions(connect_timeout_s=0.3)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1, valid for a day; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tiercel-test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, int, Path]]:
    """A Redis with a TLS port, a Unix socket and two ACL users; the TLS port and the certificate."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = _certificate(folder)
    port = free_port()
    tls = (
        "--tls-port",
        str(port),
        "--tls-cert-file",
        str(pem),
        "--tls-key-file",
        str(key),
        "--tls-ca-cert-file",
        str(pem),
    )
    with RedisServer(*tls, "--tls-auth-clients", "no", "--unixsocket", str(folder / "redis.sock")) as server:
        server.cli("ACL", "SETUSER", "shop", "on", ">hush", "~*", "&*", "-@all", "+get", "+set", "+ping", "+hello")
        yield server, port, pem


async def test_tls_with_the_right_authority(secured: tuple[RedisServer, int, Path]) -> None:
    _, port, pem = secured
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={pem}"
    link = await open_link(url)
    await link.execute("SET", "a", "x" * 200_000)
    assert len(await link.execute("GET", "a")) == 200_000
    assert await link.execute_many([("GET", "a")] * 3) == [b"x" * 200_000] * 3
    await link.aclose()
    blocking = open_blocking_link(url)
    assert blocking.execute("GET", "a") == b"x" * 200_000
    assert blocking.blocking("BLPOP", "none", 0.01, timeout_s=0.01) is None
    blocking.close()


async def test_tls_with_an_unknown_authority_is_refused(secured: tuple[RedisServer, int, Path]) -> None:
    _, port, _ = secured
    with pytest.raises(TierUnavailable, match=r"(?i)certificate"):
        await open_link(f"rediss://127.0.0.1:{port}", options=IMPATIENT)
    with pytest.raises(TierUnavailable, match=r"(?i)certificate"):
        open_blocking_link(f"rediss://127.0.0.1:{port}", options=IMPATIENT)


async def test_tls_towards_a_plain_port_fails_clearly(secured: tuple[RedisServer, int, Path]) -> None:
    server, _, pem = secured
    with pytest.raises(TierUnavailable, match=str(server.port)):
        await open_link(f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={pem}", options=IMPATIENT)


async def test_an_acl_user_may_do_what_it_may(secured: tuple[RedisServer, int, Path]) -> None:
    server, _, _ = secured
    link = await open_link(f"redis://shop:hush@127.0.0.1:{server.port}")
    await link.execute("SET", "b", 1)
    assert await link.execute("GET", "b") == b"1"
    with pytest.raises(ReplyError) as raised:
        await link.execute("DEL", "b")
    assert raised.value.code == "NOPERM"
    await link.aclose()


async def test_a_wrong_password_is_refused(secured: tuple[RedisServer, int, Path]) -> None:
    server, _, _ = secured
    with pytest.raises(TierUnavailable, match="WRONGPASS") as raised:
        await open_link(f"redis://shop:psst@127.0.0.1:{server.port}", options=IMPATIENT)
    assert "psst" not in str(raised.value)


async def test_a_unix_socket(secured: tuple[RedisServer, int, Path]) -> None:
    _, _, pem = secured
    url = f"unix://{pem.parent / 'redis.sock'}?db=2"
    link = await open_link(url)
    await link.execute("SET", "c", 2)
    assert list(link.health().nodes) == [str(pem.parent / "redis.sock")]
    await link.aclose()
    blocking = open_blocking_link(url)
    assert blocking.execute("GET", "c") == b"2"
    blocking.close()
