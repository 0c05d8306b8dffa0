"""
Portable tags: the application's tags, spelled so that every CDN keeps them apart and none refuses them.

CloudFront folds case and forbids commas, Fastly splits at blanks, Cloudflare at commas, a ban expression has quotes.
So a tag becomes ``readable~hash``: up to 24 characters of ``[a-z0-9._-]`` for people, and 80 bits of a keyed hash
over tenant and tag, in lower-case base32, which carry the identity. Two tenants' equal tags differ; without the salt
a tag cannot be guessed from a header. At most 41 characters.

Overflow. A page that shows more things than a CDN keeps tags (CloudFront: 50, the rest silently ignored) would miss
purges. Its tags are coarsened instead, see `tiercel.cdn.overflow`: to *buckets* (``product~b17``, one of 64 of the
tag's family, the text before its first colon), then to the *family*. So purging a tag also purges its bucket and
family names, which only overflowing pages carry; in a burst they are the same few items again and again and cost once
a window.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from tiercel.cdn.tagdictionary import TagDictionary
from tiercel.errors import ConfigurationError
from tiercel.typing import GLOBAL

BUCKETS: Final = 64
_UNREADABLE = re.compile(r"[^a-z0-9._-]+")
_MAX_TAG_BYTES: Final = 1024
_DEPENDENCY: Final = "@dep"
"""Family of the tags that stand for what a page was made from, see `tiercel._core.tags.dependency_tag`."""


class TagCodec:
    """
    Turns a tenant's tags into portable ones; the same salt gives the same names on every node.

    Args:
        salt: Secret or name of the deployment; changing it orphans what is published.
        expand_overflow: Purge buckets and families too. Switch it off only where overflowing responses are made
            uncacheable (``overflow = "uncacheable"``), and a purge costs one item instead of up to three.
        dictionary: Gets every name that is made, with what it stands for; its own where None.
    """

    __slots__ = ("_key", "dictionary", "expand_overflow")

    def __init__(
        self, salt: str = "tiercel", *, expand_overflow: bool = True, dictionary: TagDictionary | None = None
    ) -> None:
        if not salt:
            raise ConfigurationError("tag salt: must not be empty")
        self._key = hashlib.blake2b(salt.encode("utf-8"), digest_size=32).digest()
        self.expand_overflow = expand_overflow
        self.dictionary = TagDictionary() if dictionary is None else dictionary

    def encode(self, tenant: str, tag: str) -> str:
        """
        Return the portable name of *tag* in *tenant*.

        Raises:
            ConfigurationError: the tag is empty, longer than 1,024 bytes, or has control characters.
        """
        _check(tag)
        return self._name("t", tenant, tag, tag, tag)

    def bucket(self, tenant: str, tag: str) -> str:
        """Return the portable name of the bucket that *tag* falls into."""
        number = self._digest("n", GLOBAL if tag.startswith(_DEPENDENCY) else tenant, tag)[0] % BUCKETS
        of = family(tag)
        return self._name("b", tenant, f"{of}\0{number}", f"{of[:18]}.b{number:02d}", f"{of}:* (bucket {number})")

    def coarse(self, tenant: str, tag: str) -> str:
        """Return the portable name of *tag*'s whole family."""
        of = family(tag)
        return self._name("f", tenant, of, f"{of[:18]}.all", f"{of}:* (of pages with many)")

    def family_tag(self, tenant: str, tag: str) -> str:
        """Return the tag of everything that carries any tag of *tag*'s family: what a flood of purges folds into."""
        of = family(tag)
        return self._name("g", tenant, of, f"{of[:18]}.any", f"{of}:*")

    def tenant_tag(self, tenant: str) -> str:
        """Return the tag that everything published for *tenant* carries."""
        return self._name("e", tenant, "", "tenant", "everything")

    def for_purge(self, tenant: str, tag: str) -> tuple[str, ...]:
        """Return every name that an object which depends on *tag* may carry for it."""
        fine = self.encode(tenant, tag)
        return (fine, self.bucket(tenant, tag), self.coarse(tenant, tag)) if self.expand_overflow else (fine,)

    def _name(self, sort: str, tenant: str, identity: str, look: str, meaning: str) -> str:
        readable = _UNREADABLE.sub("-", look.lower())[:24].strip("-.") or "tag"
        # A dependency's hash has the tenant in it already; a page of one tenant may show data that belongs to none.
        owner = GLOBAL if identity.startswith(_DEPENDENCY) else tenant
        digest = base64.b32encode(self._digest(sort, owner, identity)).decode("ascii").lower()
        name = f"{readable}~{digest}"
        self.dictionary.remember(name, tenant, meaning)
        return name

    def _digest(self, sort: str, tenant: str, identity: str) -> bytes:
        # Lengths first: no text in a tenant or tag can shift the border between them.
        parts = [part.encode("utf-8", "surrogatepass") for part in (sort, tenant, identity)]
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(framed, key=self._key, digest_size=10).digest()


def family(tag: str) -> str:
    """Return the text before the first colon: ``product`` of ``product:42``."""
    return tag.split(":", 1)[0]


def _check(tag: str) -> None:
    if not isinstance(tag, str) or not tag:
        raise ConfigurationError(f"tag {tag!r}: must be text and not empty")
    if len(tag.encode("utf-8", "surrogatepass")) > _MAX_TAG_BYTES:
        raise ConfigurationError(f"tag of {len(tag)} characters: at most {_MAX_TAG_BYTES} bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in tag):
        raise ConfigurationError(f"tag {tag[:40]!r}: no control characters")
