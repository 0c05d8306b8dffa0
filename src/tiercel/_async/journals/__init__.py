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

from tiercel._async.journals.file import AsyncFileJournal
from tiercel._async.journals.memory import AsyncMemoryJournal
from tiercel._async.journals.protocol import AsyncJournal
from tiercel.errors import ConfigurationError
from tiercel.options import JournalOptions
from tiercel.typing import Clock

__all__ = ["AsyncFileJournal", "AsyncJournal", "AsyncMemoryJournal", "open_journal"]

FILE_SUFFIX = ".journal"


def open_journal(
    region: str,
    options: JournalOptions,
    *,
    clock: Clock,
    namespace: str = "tiercel",
    directory: str | Path | None = None,
) -> AsyncJournal:
    """
    Return the journal that *options* ask for; `AsyncJournal.open` connects it.

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
        return AsyncMemoryJournal(options.partitions, clock=clock)
    if options.kind == "file":
        if directory is None:
            raise ConfigurationError(f"region {region!r}: journal kind='file' needs a directory for its file")
        path = Path(directory) / f"{namespace}-{region}{FILE_SUFFIX}"
        return AsyncFileJournal(path, options.partitions, durability=options.durability, clock=clock)
    raise ConfigurationError(f"region {region!r}: journal kind={options.kind!r} is not available here")
