"""
A purge, as it is asked for, counted and answered.

A `PurgeRequest` is what the application says; it becomes `PurgeItem` values, the unit that is deduplicated, folded,
packed, counted and paid for; a `PurgeTicket` is kept by the caller to ask for the `PurgeStatus` later. Times are
seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tiercel.cdn.paths import check_prefix, check_purge_path
from tiercel.cdn.tagcodec import TagCodec
from tiercel.cdn.tagdictionary import Meaning
from tiercel.errors import ConfigurationError
from tiercel.typing import GLOBAL

Kind: TypeAlias = Literal["path", "prefix", "tag", "host", "all"]
State: TypeAlias = Literal["pending", "done", "failed", "left_to_ttl"]


@dataclass(frozen=True, slots=True, order=True)
class PurgeItem:
    """
    One thing to purge.

    Args:
        kind: What *value* names.
        value: A path (``/p/42``), a prefix (``/p/``), a portable tag, a host name; empty for ``all``.
        soft: Mark stale instead of removing, where the CDN can; it never costs correctness to ignore it.
        group: Portable tag that everything carries which carries *value*; what many items of one family fold into.
    """

    kind: Kind
    value: str
    soft: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """
    What must not be served any longer.

    Args:
        paths: URL paths below the edge's host, as published; one that ends in ``*`` is a prefix.
        tags: Application tags of *tenant*, as given to `publish`.
        prefixes: Path prefixes; everything that begins with one falls.
        hosts: Host names, where one distribution serves several.
        everything: All of *tenant*; of the whole distribution where the tenant is `GLOBAL`.
        tenant: Whose tags they are, and whose quota pays.
        soft: Serve stale while revalidating, where the CDN can.
        meanings: What those of *tags* stand for that do not say so themselves, for whoever reads reports.
        keep_origin: Leave the published objects where they are and drop only the edge's copies. The default also
            removes
            them from the origin, so that an edge cannot fetch the old answer again.
    """

    paths: Sequence[str] = ()
    tags: Sequence[str] = ()
    prefixes: Sequence[str] = ()
    hosts: Sequence[str] = ()
    everything: bool = False
    tenant: str = GLOBAL
    soft: bool = False
    meanings: Mapping[str, str] = field(default_factory=dict)
    keep_origin: bool = False

    def named(self, codec: TagCodec) -> dict[str, Meaning]:
        """Return what each tag item of the request stands for, by its portable name."""
        found: dict[str, Meaning] = {}
        for tag in self.tags:
            meaning = self.meanings.get(tag)
            for name in (*codec.for_purge(self.tenant, tag), codec.family_tag(self.tenant, tag)):
                known = codec.dictionary.lookup(name)
                if known is not None:
                    found[name] = known
            if meaning is not None:
                found[codec.encode(self.tenant, tag)] = Meaning(self.tenant, meaning)
        if self.everything and self.tenant != GLOBAL:
            found[codec.tenant_tag(self.tenant)] = Meaning(self.tenant, "everything")
        return found

    def items(self, codec: TagCodec) -> tuple[PurgeItem, ...]:
        """
        Return the distinct items of the request, tags made portable by *codec*.

        Raises:
            ConfigurationError: nothing is named, or a path, prefix or tag is malformed.
        """
        named: list[PurgeItem] = []
        for path in self.paths:
            if path.endswith("*"):
                named.append(PurgeItem("prefix", check_prefix(path[:-1]), self.soft))
            else:
                named.append(PurgeItem("path", check_purge_path(path), self.soft))
        named += [PurgeItem("prefix", check_prefix(prefix), self.soft) for prefix in self.prefixes]
        for tag in self.tags:
            group = codec.family_tag(self.tenant, tag)
            named += [PurgeItem("tag", name, self.soft, group) for name in codec.for_purge(self.tenant, tag)]
        named += [PurgeItem("host", _check_host(host), self.soft) for host in self.hosts]
        if self.everything:
            named.append(self._everything(codec))
        if not named:
            raise ConfigurationError("an empty purge: name paths, tags, prefixes, hosts or everything=True")
        return tuple(dict.fromkeys(named))

    def _everything(self, codec: TagCodec) -> PurgeItem:
        if self.tenant == GLOBAL:
            return PurgeItem("all", "", self.soft)
        return PurgeItem("tag", codec.tenant_tag(self.tenant), self.soft)


@dataclass(frozen=True, slots=True)
class PurgeTicket:
    """
    A purge that was accepted.

    Args:
        edge: Name of the edge.
        id: What `status` looks up: the outbox's item numbers, or ``-`` where it was done before the call returned.
        created_s: When it was accepted.
        items: How many distinct items it named.
    """

    edge: str
    id: str
    created_s: float
    items: int


@dataclass(frozen=True, slots=True)
class PurgeStatus:
    """
    How far a purge is.

    Args:
        state: ``pending``; ``done``, every edge is clean; ``failed``, in the dead letters; ``left_to_ttl``, the
            budget is
            used up and the copies end with their ttl.
        done_s: When it reached its last state, None while pending.
        detail: Why it failed, or how long it waits.
    """

    state: State
    done_s: float | None = None
    detail: str = ""


def _check_host(host: str) -> str:
    if not host or any(character in host for character in "/\\ \t\r\n?#@"):
        raise ConfigurationError(f"host {host!r}: a host name without scheme and path")
    return host.lower()
