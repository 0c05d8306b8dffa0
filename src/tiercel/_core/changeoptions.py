"""
Change sources: which databases are watched for changes that nobody announced, and what falls with a changed row.

A rule's templates name columns (fields of a document) in braces: ``"category:{category}"``. A row touches what its old
image names and what its new one names, so that a product which moves between categories clears both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from tiercel.options import REGION_NAME, require
from tiercel.typing import GLOBAL

__all__ = ["ChangeRule", "ChangeSource", "SlotFacts", "SourceKind", "kind_of", "slot_name"]

SourceKind: TypeAlias = Literal["postgres", "mongodb", "elasticsearch"]

_SLOT_NAME: Final = re.compile(r"[a-z0-9_]{1,63}")
_KINDS: Final[dict[str, SourceKind]] = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
    "elasticsearch": "elasticsearch",
    "elasticsearch+https": "elasticsearch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRule:
    """
    What falls when a row of one table changes.

    Args:
        table: The table (``products`` or ``shop.products``), collection or index.
        tenant: Template of the tenant; `GLOBAL` for rows that belong to none.
        entity: An entity of the matrix that falls; empty for none.
        id: Template of the entity's key.
        regions: ``"region:key template"`` for each further entry that falls.
        tags: Templates of further tags.
        paths: Templates of URL paths purged at the CDN.
        version: Column of the row's version: from then on no tier takes an older one. Empty for none.
    """

    table: str
    tenant: str = GLOBAL
    entity: str = ""
    id: str = "{id}"
    regions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    version: str = ""

    def __post_init__(self) -> None:
        where = f"changes of table {self.table!r}: "
        require(bool(self.table), "changes of a table without a name")
        require(bool(self.tenant), where + "tenant is empty: name a column in braces, or leave it out for none")
        require(
            bool(self.entity or self.regions or self.tags or self.paths),
            where + "nothing falls: name an entity, regions, tags or paths",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSource:
    """
    One database that is watched.

    Args:
        name: Unique among the sources.
        url: Its address, with credentials that may replicate (PostgreSQL), or a name of ``[cache.stores]``.
        rules: What falls, by table.
        slot: PostgreSQL: name of the replication slot; empty for one made of namespace and source.
        publication: PostgreSQL: name of the publication; empty for the slot's name.
        bulk_above: More changed entries of one region and tenant than this fall as the region, in one write.
        max_lag_bytes: PostgreSQL: a slot that holds back more log than this is given up, and all that it watches falls.
        lease_s: After this long a dead or frozen worker is replaced.
        poll_s: Elasticsearch: pause between two looks.
    """

    name: str
    url: str = field(repr=False)  # may hold a password
    rules: tuple[ChangeRule, ...] = ()
    slot: str = ""
    publication: str = ""
    bulk_above: int = 1000
    max_lag_bytes: int = 4 * 1024**3
    lease_s: float = 5.0
    poll_s: float = 0.5

    def __post_init__(self) -> None:
        where = f"changes {self.name!r}: "
        require(REGION_NAME.fullmatch(self.name) is not None, f"{where}the name must match {REGION_NAME.pattern}")
        require(bool(self.url), where + "url is empty: name the database")
        require(bool(self.rules), where + "no table is named")
        tables = [rule.table for rule in self.rules]
        require(len(set(tables)) == len(tables), where + "a table is named twice")
        for option in ("slot", "publication"):
            value = getattr(self, option)
            require(
                not value or _SLOT_NAME.fullmatch(value) is not None,
                f"{where}{option}={value!r}: must match {_SLOT_NAME.pattern}",
            )
        require(self.bulk_above >= 1, f"{where}bulk_above={self.bulk_above}: must be at least 1")
        require(self.max_lag_bytes >= 1 << 20, f"{where}max_lag_bytes={self.max_lag_bytes}: must be at least 1 MiB")
        require(self.lease_s >= 0.5, f"{where}lease={self.lease_s}: must be at least half a second")
        require(self.poll_s > 0, f"{where}poll={self.poll_s}: must be greater than 0")


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """
    What PostgreSQL says of a replication slot.

    Args:
        is_there: There is one of that name.
        is_read: Somebody reads it now.
        status: ``reserved``, ``extended``, ``unreserved`` or ``lost``; empty where there is none.
        retained_bytes: Log that is kept for it.
        bound: ``max_slot_wal_keep_size``; ``-1`` for none.
    """

    is_there: bool
    is_read: bool
    status: str
    retained_bytes: int
    bound: str


def kind_of(url: str) -> SourceKind | None:
    """Return which kind of database *url* names, None where no changes can be read from it."""
    scheme, separator, _ = url.partition("://")
    return _KINDS.get(scheme.lower()) if separator else None


def slot_name(source: ChangeSource, namespace: str) -> str:
    """Return the name of the source's replication slot: its own, or one made of *namespace* and its name."""
    return source.slot or re.sub(r"[^a-z0-9]", "_", f"{namespace}_{source.name}".lower())[:63]
