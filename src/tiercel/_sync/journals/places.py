# Generated from src/tiercel/_async/journals/places.py by tools/unasync.py. Do not edit.
"""
Where the journals of a matrix are: opens each region's journal on the file, Redis or database that belongs to it.

Application nodes, workers and the command line go through here, so that they meet at the same place. Redis journals
share one link of their own, apart from the tier's, because waiting for a sync or for replicas holds up a connection.
"""

from __future__ import annotations

from pathlib import Path

from tiercel._sync.journals import open_journal
from tiercel._sync.journals.discreet import DiscreetStore
from tiercel._sync.journals.protocol import Journal
from tiercel._sync.journals.sealed import SealedJournal
from tiercel._sync.link import Link, open_link
from tiercel._core.keys import KeySpace
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.storeurl import parse_store_url
from tiercel.codecs.keychain import Keychain
from tiercel.codecs.sealer import Sealer
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.options import JournalOptions
from tiercel.typing import Store, Clock

__all__ = ["JournalPlaces", "journal_options"]


def journal_options(matrix: Matrix, region: str) -> JournalOptions:
    """
    Return the journal settings of a region that writes behind to a store.

    Raises:
        ConfigurationError: The region does not journal: it writes through, or it has no store.
    """
    options = matrix.region(region)
    if options.strategy != "write-behind" or options.store is None:
        raise ConfigurationError(f"region {region!r} has no journal: it needs strategy = 'write-behind' and a store")
    return options.journal or JournalOptions()


class JournalPlaces:
    """
    Opens journals of one matrix.

    Args:
        matrix: Regions, Redis, state folder.
        clock: Source of wall time.
        connect_timeout_s: How long to try Redis at the start.
    """

    def __init__(self, matrix: Matrix, *, clock: Clock, connect_timeout_s: float = 5.0) -> None:
        self._matrix = matrix
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._link: Link | None = None
        self._sealers: dict[str, Sealer] = {}

    def regions(self) -> list[str]:
        """Return the regions that journal: write-behind with a store."""
        regions = self._matrix.regions.values()
        return [options.name for options in regions if options.strategy == "write-behind" and options.store is not None]

    def journal(self, region: str, options: JournalOptions | None = None) -> Journal:
        """
        Return the region's journal, not yet open; the caller closes it.

        Args:
            region: The region's name.
            options: Its settings; None for the matrix's.

        Raises:
            ConfigurationError: The region does not journal, or what its kind of journal needs is not configured.
            TierUnavailable: Redis does not answer.
        """
        options = options or journal_options(self._matrix, region)
        journal = self._plain(region, options)
        key = self._matrix.region(region).encrypt
        if key is None:
            return journal
        sealer = self._sealers.setdefault(key, Sealer(Keychain(self._matrix.key(key))))
        return SealedJournal(journal, sealer, KeySpace(self._matrix.cache.namespace), region)

    def discreet(self, journal: Journal, store: Store) -> Store:
        """Return *store* for the flushers of *journal*: one that says nothing in plain where the journal is sealed."""
        return DiscreetStore(store, journal.seal_words) if isinstance(journal, SealedJournal) else store

    def _plain(self, region: str, options: JournalOptions) -> Journal:
        return open_journal(
            region,
            options,
            clock=self._clock,
            namespace=self._matrix.cache.namespace,
            directory=Path(self._matrix.cache.state_dir),
            link=self._redis() if options.kind == "redis" else None,
            url=self._database(region) if options.kind == "postgres" else None,
        )

    def _redis(self) -> Link | None:
        if self._link is None and self._matrix.cache.redis is not None:
            timeouts = LinkOptions(connect_timeout_s=self._connect_timeout_s, stall_timeout_s=15.0)
            self._link = open_link(self._matrix.cache.redis, options=timeouts)
        return self._link

    def _database(self, region: str) -> str:
        address = parse_store_url(self._matrix.store_url(region) or "")
        if address.scheme != "postgres":
            raise ConfigurationError(
                f"region {region!r}: journal kind='postgres' is kept beside the rows, but the store is {address.shown}"
            )
        return address.driver_url

    def close(self) -> None:
        """Close the link to Redis, once the journals are closed."""
        if self._link is not None:
            self._link.close()
            self._link = None
