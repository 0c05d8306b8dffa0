# Generated from src/tiercel/_async/journals/__init__.py by tools/unasync.py. Do not edit.
"""
Journals: where acknowledged writes wait for their store. One protocol, four kinds, opened by name.

=========  =============================  ==========================================================
kind       durability                     what an acknowledged write survives
=========  =============================  ==========================================================
memory     memory                         nothing
file       process                        the death of the process
file       always                         loss of power
redis      process, always, replicated    loss of the process, of power, of a node; any node flushes
postgres   process, always, replicated    what the database survives; any node flushes
=========  =============================  ==========================================================
"""

from __future__ import annotations

from pathlib import Path

from tiercel._sync.journals.file import FileJournal
from tiercel._sync.journals.memory import MemoryJournal
from tiercel._sync.journals.protocol import Journal
from tiercel._sync.journals.redis import RedisJournal
from tiercel._sync.link import Link
from tiercel.errors import ConfigurationError
from tiercel.options import JournalOptions
from tiercel.typing import Clock

__all__ = ["FileJournal", "Journal", "MemoryJournal", "RedisJournal", "open_journal"]

FILE_SUFFIX = ".journal"


def open_journal(
    region: str,
    options: JournalOptions,
    *,
    clock: Clock,
    namespace: str = "tiercel",
    directory: str | Path | None = None,
    link: Link | None = None,
    url: str | None = None,
) -> Journal:
    """
    Return the journal that *options* ask for; `Journal.open` connects it.

    Args:
        region: The region whose writes it keeps.
        options: Kind, durability, partitions.
        clock: Source of wall time.
        namespace: Prefix of keys, files and tables that are shared with others.
        directory: Where file journals live.
        link: The way to Redis, for ``kind="redis"``; best one of its own where durability is ``always`` or
            ``replicated``, because waiting for a sync holds up a connection.
        url: The database, for ``kind="postgres"``.

    Raises:
        ConfigurationError: What the kind needs was not given, or it cannot give the durability.
    """
    where = f"region {region!r}: journal kind={options.kind!r}"
    match options.kind:
        case "memory":
            return MemoryJournal(options.partitions, clock=clock)
        case "file":
            if directory is None:
                raise ConfigurationError(f"{where} needs a directory for its file")
            path = Path(directory) / f"{namespace}-{region}{FILE_SUFFIX}"
            return FileJournal(path, options.partitions, durability=options.durability, clock=clock)
        case "redis":
            if link is None:
                raise ConfigurationError(f"{where} needs Redis: give the cache a redis URL, or use kind='file'")
            return _on_redis(link, namespace, region, options)
        case "postgres":
            if url is None:
                raise ConfigurationError(f"{where} needs the URL of a PostgreSQL database")
            return _on_postgres(url, namespace, region, options)


def _on_redis(link: Link, namespace: str, region: str, options: JournalOptions) -> Journal:
    return RedisJournal(
        link, namespace, region, options.partitions, durability=options.durability, replicas=options.replicas
    )


def _on_postgres(url: str, namespace: str, region: str, options: JournalOptions) -> Journal:
    try:
        from tiercel._sync.journals.postgres import PostgresJournal
    except ImportError as error:
        message = "journal kind='postgres' needs psycopg: pip install tiercel[postgres]"
        raise ConfigurationError(message, tier="journal") from error
    return PostgresJournal(url, namespace, region, options.partitions, durability=options.durability)
