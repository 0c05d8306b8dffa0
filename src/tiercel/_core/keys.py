"""
Names in Redis: an injective, bounded encoding of (namespace, tenant, region, key) and of everything kept beside it.

An entry's key reads ``shop{}:acme:product=sku-42`` (text key) or ``shop{}:acme:product#736b75`` (bytes key, in hex).
Namespace, tenant and region come from closed alphabets without ``: = #``, so the first such characters always end
them and nothing in a user's key can forge another one. The empty braces make a cluster hash the whole key: braces in
a user's key cannot gather keys on one node.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

from tiercel.errors import KeyRefused
from tiercel.typing import GLOBAL, Key

MAX_KEY_BYTES = 512
MAX_TAG_BYTES = 256
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_tenant(tenant: str) -> str:
    """Return *tenant*; raise `KeyRefused` unless it is `GLOBAL` or 1 to 64 of ``A-Z a-z 0-9 . _ -``."""
    if not isinstance(tenant, str) or (tenant != GLOBAL and NAME.fullmatch(tenant) is None):
        raise KeyRefused(
            f"tenant {tenant!r}: use 1 to 64 characters of A-Z a-z 0-9 . _ - (not first), or tiercel.GLOBAL"
        )
    return tenant


def check_namespace(namespace: str) -> str:
    """Return *namespace*; raise `KeyRefused` unless it is 1 to 64 of ``A-Z a-z 0-9 . _ -``."""
    if not isinstance(namespace, str) or NAME.fullmatch(namespace) is None:
        raise KeyRefused(f"namespace {namespace!r}: use 1 to 64 characters of A-Z a-z 0-9 . _ - (not first)")
    return namespace


def encode_key(key: Key) -> bytes:
    """
    Return *key* as bytes that no other key gives: ``=text`` or ``#hex``.

    Raises:
        KeyRefused: not str or bytes, empty, longer than 512 bytes, with control characters, or not valid Unicode.
    """
    if isinstance(key, str):
        if CONTROL.search(key):
            raise KeyRefused("a key must not contain control characters", key=key)
        try:
            encoded = key.encode("utf-8")
        except UnicodeEncodeError as error:
            raise KeyRefused("a key must be valid Unicode: it holds a lone surrogate") from error
        text = b"=" + encoded
    elif isinstance(key, bytes):
        encoded, text = key, b"#" + key.hex().encode("ascii")
    else:
        raise KeyRefused(f"a key must be str or bytes, not {type(key).__name__}")
    if not 1 <= len(encoded) <= MAX_KEY_BYTES:
        raise KeyRefused(f"a key must have 1 to {MAX_KEY_BYTES} bytes, not {len(encoded)}", key=key)
    return text


def decode_key(encoded: bytes) -> Key:
    """Return the key that `encode_key` turned into *encoded*."""
    return encoded[1:].decode("utf-8") if encoded[:1] == b"=" else bytes.fromhex(encoded[1:].decode("ascii"))


def check_tag(tag: str) -> str:
    """
    Return *tag*.

    Raises:
        KeyRefused: not text, empty, longer than 256 bytes, with control characters, or beginning with ``@``, which
            marks Tiercel's own tags.
    """
    if not isinstance(tag, str) or not tag:
        raise KeyRefused(f"a tag must be text and not empty, not {tag!r}")
    if tag.startswith("@"):
        raise KeyRefused(f"tag {tag!r}: a leading @ marks Tiercel's own tags")
    if CONTROL.search(tag) or len(tag.encode("utf-8", "surrogatepass")) > MAX_TAG_BYTES:
        raise KeyRefused(f"a tag must have at most {MAX_TAG_BYTES} bytes and no control characters")
    return tag


def hash64(text: bytes) -> int:
    """Return a 64-bit hash of *text*: the same in every process, never 0."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") or 1


class KeySpace:
    """
    The names that one namespace uses in Redis.

    Args:
        namespace: What separates this deployment from others in the same Redis.
    """

    __slots__ = ("_root", "namespace")

    def __init__(self, namespace: str) -> None:
        self.namespace = check_namespace(namespace)
        self._root = namespace.encode("ascii") + b"{}:"

    def entry_prefix(self, tenant: str, region: str) -> bytes:
        """Return what every entry of *region* in *tenant* begins with; follow it by `encode_key`."""
        return self._root + tenant.encode("ascii") + b":" + region.encode("ascii")

    def parse_entry(self, name: bytes) -> tuple[str, str, Key] | None:
        """Return (tenant, region, key) of an entry's name, or None where *name* is no entry of this namespace."""
        if not name.startswith(self._root):
            return None
        match = re.match(rb"([^:]+):([^:=#]+)([=#].*)", name[len(self._root) :], re.DOTALL)
        if match is None:
            return None
        return match[1].decode("ascii"), match[2].decode("ascii"), decode_key(match[3])

    def tag_key(self, tag_hash: int) -> bytes:
        """Return the name that holds the token of the tag with *tag_hash*."""
        return self._root + b"~tag:%016x" % tag_hash

    def subject_key(self, tenant: str, subject: str) -> bytes:
        """Return the name that holds the wrapped key of *subject* in *tenant*."""
        digest = blake2b(f"{tenant}\0{subject}".encode("utf-8", "surrogatepass"), digest_size=16)
        return self._root + b"~subject:" + digest.hexdigest().encode("ascii")

    def own_key(self, name: str) -> bytes:
        """Return the name of something that Tiercel keeps beside the entries."""
        return self._root + b"~" + name.encode("ascii")

    def stream_key(self, partition: int) -> bytes:
        """Return the name of one partition of the backplane's stream."""
        return self._root + b"~stream:%d" % partition

    def policy_key(self) -> bytes:
        """Return the name of the live policy's document."""
        return self._root + b"~policy"

    def nodes_key(self) -> bytes:
        """Return the name of the notes in which nodes say which policy they follow."""
        return self._root + b"~policy:nodes"

    def tag_hash(self, tenant: str, tag: str) -> int:
        """Return the 64-bit identity of *tag* inside *tenant*; a collision would only invalidate too much."""
        return _tag_hash(self.namespace, tenant, tag)


@lru_cache(maxsize=65_536)
def _tag_hash(namespace: str, tenant: str, tag: str) -> int:
    return hash64(f"{namespace}\0{tenant}\0{tag}".encode("utf-8", "surrogatepass"))
