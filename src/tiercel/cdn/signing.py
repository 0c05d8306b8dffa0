"""
CloudFront's signed URLs and cookies, and the check that an edge makes of them.

A *policy* says what may be fetched until when. A *canned* policy names one URL and its end, and is rebuilt by the
edge from the request; a *custom* one travels along and may have a wildcard, a start and an address range. It is
signed with RSA (SHA-1, as every key group takes, or SHA-256) or with ECDSA P-256 (SHA-256); the hash is named in the
URL where it is not the default. CloudFront's alphabet replaces ``+ = /`` by ``- _ ~``.

Rotation: sign with the newest key, name it by its id, and keep the older public keys where signatures are checked
until the last signature made with them has ended. Signing costs about 1 ms with RSA and 0.1 ms with ECDSA;
`cryptography` is imported at the first use.

Source: Amazon CloudFront Developer Guide, "Serving private content with signed URLs and signed cookies".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from tiercel.errors import ConfigurationError

Algorithm: TypeAlias = Literal["SHA1", "SHA256"]

_TO_URL = str.maketrans("+=/", "-_~")
_FROM_URL = str.maketrans("-_~", "+=/")
OWN_PARAMETERS = frozenset({"Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"})
_COOKIE = "CloudFront-"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """
    What a signature permits.

    Args:
        resource: A whole URL; a custom policy's may hold ``*`` and ``?`` wildcards.
        expires_s: End, whole seconds since the epoch.
        starts_s: Begin, or None for at once; makes the policy custom.
        address: Client address or range (CIDR), or None for any; makes the policy custom.
    """

    resource: str
    expires_s: int
    starts_s: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if not self.resource.startswith(("http://", "https://", "http*://", "*")) or '"' in self.resource:
            raise ConfigurationError(f"resource {self.resource!r}: a whole URL, or one with wildcards")
        if self.starts_s is not None and self.starts_s >= self.expires_s:
            raise ConfigurationError(f"starts_s={self.starts_s} is not before expires_s={self.expires_s}")
        if self.address is not None:
            _network(self.address)

    @property
    def is_canned(self) -> bool:
        """Whether the edge can rebuild the policy from the URL and the end."""
        return self.starts_s is None and self.address is None and "*" not in self.resource

    def text(self) -> str:
        """Return the policy in the one spelling that is signed: no blanks, keys in CloudFront's order."""
        condition: dict[str, Any] = {}
        if self.starts_s is not None:
            condition["DateGreaterThan"] = {"AWS:EpochTime": self.starts_s}
        condition["DateLessThan"] = {"AWS:EpochTime": self.expires_s}
        if self.address is not None:
            condition["IpAddress"] = {"AWS:SourceIp": self.address}
        statement = {"Resource": self.resource, "Condition": condition}
        return json.dumps({"Statement": [statement]}, separators=(",", ":"))


class Signer:
    """
    Signs with one private key.

    Args:
        key_id: Id of the public key in the distribution's key group.
        private_key: PEM, RSA of at least 2,048 bits or ECDSA P-256.
        algorithm: Hash; ECDSA is always SHA-256.

    Raises:
        ConfigurationError: a key of another sort, or `cryptography` is not installed.
    """

    def __init__(self, key_id: str, private_key: bytes, *, algorithm: Algorithm = "SHA256") -> None:
        if not key_id or not key_id.isalnum():
            raise ConfigurationError(f"key id {key_id!r}: letters and digits")
        self.key_id = key_id
        self._key = _load_private(private_key)
        self.algorithm: Algorithm = "SHA256" if _is_elliptic(self._key) else algorithm

    def sign_url(self, url: str, policy: AccessPolicy | None = None, *, expires_s: int | None = None) -> str:
        """
        Return *url* with a signature: canned with *expires_s*, else by *policy*.

        Raises:
            ConfigurationError: both or neither are given, or *url* has parameters of CloudFront's own.
        """
        if (policy is None) == (expires_s is None):
            raise ConfigurationError("sign_url: give expires_s for a canned policy, or a policy")
        parts = urlsplit(url)
        taken = OWN_PARAMETERS & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        if taken or parts.fragment:
            raise ConfigurationError(f"url: {', '.join(sorted(taken)) or 'a fragment'} cannot be signed over")
        wanted = policy or AccessPolicy(resource=url, expires_s=int(expires_s or 0))
        pairs = {name.removeprefix(_COOKIE): value for name, value in self.cookies(wanted).items()}
        query = "&".join(f"{name}={value}" for name, value in pairs.items())
        return f"{url}{'&' if parts.query else '?'}{query}"

    def cookies(self, policy: AccessPolicy) -> dict[str, str]:
        """
        Return the cookies that permit *policy*; set them ``Secure; HttpOnly`` for the distribution's domain and path.
        """
        text = policy.text().encode()
        cookies = (
            {_COOKIE + "Expires": str(policy.expires_s)} if policy.is_canned else {_COOKIE + "Policy": _encode(text)}
        )
        cookies |= {_COOKIE + "Signature": _encode(self._sign(text)), _COOKIE + "Key-Pair-Id": self.key_id}
        return cookies if self.algorithm == "SHA1" else {**cookies, _COOKIE + "Hash-Algorithm": self.algorithm}

    def _sign(self, text: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        if _is_elliptic(self._key):
            return bytes(self._key.sign(text, ec.ECDSA(_hash("SHA256"))))
        return bytes(self._key.sign(text, padding.PKCS1v15(), _hash(self.algorithm)))


class Verifier:
    """
    Checks signed URLs and cookies as CloudFront does: for the embedded edge, and for tests.

    Args:
        public_keys: PEM by key id; keep a rotated key until its last signature has ended.
    """

    def __init__(self, public_keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: _load_public(pem) for key_id, pem in public_keys.items()}

    def permits_url(self, url: str, now: float, address: str = "") -> bool:
        """Say whether the signature in *url* permits it at *now* for a client at *address*."""
        bare, signed = split_signed(url)
        return bare is not None and self._permits(bare, signed, now, address)

    def permits_cookies(self, url: str, cookies: Mapping[str, str], now: float, address: str = "") -> bool:
        """Say whether *cookies* permit *url* at *now* for a client at *address*."""
        signed = {name.removeprefix(_COOKIE): value for name, value in cookies.items() if name.startswith(_COOKIE)}
        return set(signed) <= OWN_PARAMETERS and self._permits(url, signed, now, address)

    def _permits(self, url: str, signed: Mapping[str, str], now: float, address: str) -> bool:
        key = self._keys.get(signed.get("Key-Pair-Id", ""))
        signature = _decode(signed.get("Signature", ""))
        algorithm = signed.get("Hash-Algorithm", "SHA1")
        if (
            key is None
            or signature is None
            or algorithm not in ("SHA1", "SHA256")
            or ("Policy" in signed) == ("Expires" in signed)
        ):
            return False
        text = _decode(signed["Policy"]) if "Policy" in signed else _canned(url, signed["Expires"])
        if text is None or not _verify(key, signature, text, algorithm):
            return False
        policy = read_policy(text)
        return policy is not None and _allows(policy, url, now, address)


def read_policy(text: bytes) -> AccessPolicy | None:
    """Return the policy that *text* spells, or None where it is none that `AccessPolicy` would write."""
    try:
        statement = json.loads(text)["Statement"][0]
        condition = statement["Condition"]
        start = condition.get("DateGreaterThan")
        place = condition.get("IpAddress")
        policy = AccessPolicy(
            resource=statement["Resource"],
            expires_s=condition["DateLessThan"]["AWS:EpochTime"],
            starts_s=None if start is None else start["AWS:EpochTime"],
            address=None if place is None else place["AWS:SourceIp"],
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return policy if policy.text().encode() == text else None


def split_signed(url: str) -> tuple[str | None, dict[str, str]]:
    """Return *url* without CloudFront's parameters, and these; None where one comes twice."""
    bare, mark, query = url.partition("?")
    kept: list[str] = []
    signed: dict[str, str] = {}
    for pair in query.split("&") if mark else ():
        name, _, value = pair.partition("=")
        if name not in OWN_PARAMETERS:
            kept.append(pair)
        elif name in signed:
            return None, {}
        else:
            signed[name] = value
    return (f"{bare}?{'&'.join(kept)}" if kept else bare), signed


def _allows(policy: AccessPolicy, url: str, now: float, address: str) -> bool:
    if now >= policy.expires_s or (policy.starts_s is not None and now <= policy.starts_s):
        return False
    if policy.address is not None and not _is_inside(address, policy.address):
        return False
    return _matches(policy.resource, url)


def _matches(pattern: str, url: str) -> bool:
    # Two-pointer wildcard match: linear for CloudFront's patterns, no regular expression to blow up.
    place, star, mark = 0, -1, 0
    position = 0
    while position < len(url):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, position
            place += 1
        elif place < len(pattern) and pattern[place] == url[position]:
            place, position = place + 1, position + 1
        elif star >= 0:
            mark += 1
            place, position = star + 1, mark
        else:
            return False
    return pattern[place:].strip("*") == ""


def _canned(url: str, expires: str) -> bytes | None:
    # Only the canonical spelling: leading zeros or other alphabets' digits must not stand for a number that was signed.
    if not expires.isascii() or not expires.isdigit() or str(int(expires)) != expires:
        return None
    try:
        return AccessPolicy(resource=url, expires_s=int(expires)).text().encode()
    except ConfigurationError:
        return None


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii").translate(_TO_URL)


def _decode(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text.translate(_FROM_URL), validate=True)
    except ValueError:
        return None
    # Base64 has spare bits at its end: without this, flipping one of them would leave a valid signature.
    return raw if raw and _encode(raw) == text else None


def _load_private(pem: bytes) -> Any:
    serialization = _serialization()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError("private key: not an unencrypted PEM key") from error
    return _check_key(key)


def _load_public(pem: bytes) -> Any:
    serialization = _serialization()
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise ConfigurationError("public key: not a PEM key") from error
    return _check_key(key)


def _check_key(key: Any) -> Any:
    if _is_elliptic(key):
        if key.curve.name != "secp256r1":
            raise ConfigurationError(f"key on {key.curve.name}: CloudFront takes ECDSA P-256 only")
    elif not hasattr(key, "key_size") or key.key_size < 2048:
        raise ConfigurationError("key: RSA of at least 2,048 bits, or ECDSA P-256")
    return key


def _is_elliptic(key: Any) -> bool:
    return hasattr(key, "curve")


def _verify(key: Any, signature: bytes, text: bytes, algorithm: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    try:
        if _is_elliptic(key):
            if algorithm != "SHA256":
                return False
            key.verify(signature, text, ec.ECDSA(_hash("SHA256")))
        else:
            key.verify(signature, text, padding.PKCS1v15(), _hash(algorithm))
    except InvalidSignature:
        return False
    return True


def _hash(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256() if algorithm == "SHA256" else hashes.SHA1()  # noqa: S303 - CloudFront's default with RSA


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ConfigurationError("signing needs cryptography: pip install tiercel[cdn]") from error
    return serialization


def _network(address: str) -> Any:
    try:
        return ip_network(address, strict=False)
    except ValueError as error:
        raise ConfigurationError(f"address {address!r}: an address or a CIDR range") from error


def _is_inside(address: str, network: str) -> bool:
    try:
        return ip_address(address) in _network(network)
    except ValueError:
        return False
