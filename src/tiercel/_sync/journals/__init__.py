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
postgres   always                         as the database does
=========  =============================  ==========================================================
"""

from __future__ import annotations

from pathlib import Path

from tiercel._sync.journals.file import FileJournal
from tiercel._sync.journals.memory import MemoryJournal
from tiercel._sync.journals.protocol import Journal
from tiercel.errors import ConfigurationError
from tiercel.options import JournalOptions
from tiercel.typing import Clock

__all__ = ["FileJournal", "Journal", "MemoryJournal", "open_journal"]

FILE_SUFFIX = ".journal"


def open_journal(
    region: str,
    options: JournalOptions,
    *,
    clock: Clock,
    namespace: str = "tiercel",
    directory: str | Path | None = None,
) -> Journal:
    """
    Return the journal that *options* ask for; `Journal.open` connects it.

    Args:
        region: The region whose writes it keeps.
        options: Kind, durability, partitions.
        clock: Source of wall time.
        namespace: Prefix of keys and tables that are shared with others.
        directory: Where file journals live.

    Raises:
        ConfigurationError: What the kind needs was not given, or it cannot give the durability.
    """
    if options.kind == "memory":
        return MemoryJournal(options.partitions, clock=clock)
    if options.kind == "file":
        if directory is None:
            raise ConfigurationError(f"region {region!r}: journal kind='file' needs a directory for its file")
        path = Path(directory) / f"{namespace}-{region}{FILE_SUFFIX}"
        return FileJournal(path, options.partitions, durability=options.durability, clock=clock)
    raise ConfigurationError(f"region {region!r}: journal kind={options.kind!r} is not available here")
