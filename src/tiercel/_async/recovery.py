"""
Backups and restores of one matrix: what belongs together, opened and closed.

The command line, the worker and tests go through here, so that scope, journals, keys and the index of erasures are the
same everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiercel._async.backup import AsyncBackup
from tiercel._async.backup import Progress as BackupProgress
from tiercel._async.backup import tell_nobody as tell_no_backup
from tiercel._async.link import AsyncLink, open_link
from tiercel._async.restore import AsyncRestore, Progress, tell_nobody
from tiercel._async.seals import AsyncSeals
from tiercel._backups.erased import noted_erasures
from tiercel._backups.reader import read_header
from tiercel._core.backupfile import Header
from tiercel._core.backupscope import Scope
from tiercel._core.keys import KeySpace, check_tenant
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.restorereport import RestoreReport
from tiercel.codecs.keychain import Keychain
from tiercel.codecs.sealer import Sealer
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.options import JournalOptions

TIMEOUTS = LinkOptions(connect_timeout_s=5.0, command_timeout_s=30.0)
CLOCKS_MS = 60_000


class AsyncRecovery:
    """
    Args:
        matrix: Redis, regions, keys.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._space = KeySpace(matrix.cache.namespace)
        self._seals = AsyncSeals(matrix)

    @property
    def namespace(self) -> str:
        """The deployment that it works on."""
        return self._space.namespace

    async def claim_turn(self, life_s: float) -> bool:
        """Claim the turn to make a backup; False where somebody did within the last *life_s* seconds."""
        link = await self._link(None)
        try:
            name, life_ms = self._space.own_key("backup"), int(life_s * 1000)
            return await link.execute(b"SET", name, b"taken", b"NX", b"PX", life_ms) is not None
        finally:
            await link.aclose()

    async def backup(
        self,
        path: Path,
        scope: Scope | None = None,
        *,
        key: str | None = None,
        rate_per_s: float = 0.0,
        progress: BackupProgress = tell_no_backup,
    ) -> dict[str, Any]:
        """
        Copy *scope* (everything for None) to *path*; carries an interrupted backup on.

        Args:
            path: The file.
            scope: What to copy.
            key: Name of the key that authenticates the file; None for that of the first encrypted region, if any.
            rate_per_s: Most entries a second; 0 for no limit.
            progress: Told entries and bytes so far.

        Raises:
            ConfigurationError: The matrix names no Redis, or scope or key are unknown.
            TierError: Redis does not answer; the next call carries on.
        """
        scope = scope or Scope()
        self._check(scope)
        mac, secret = self._mac(scope, key)
        link = await self._link(None)
        try:
            backup = AsyncBackup(
                link,
                self._space,
                scope,
                partitions=self._matrix.cache.backplane.partitions,
                journals=self._journals(scope),
                mac=mac,
                rate_per_s=rate_per_s,
                progress=progress,
            )
            return await backup.run(path, secret)
        finally:
            await link.aclose()

    async def restore(
        self,
        path: Path,
        *,
        source: str | None = None,
        is_dry_run: bool = False,
        rate_per_s: float = 0.0,
        progress: Progress = tell_nobody,
    ) -> RestoreReport:
        """
        Put back what *path* holds and what still holds.

        Args:
            path: The file; erasures noted beside it count.
            source: URL of the Redis that the backup came from, where the matrix names another one.
            is_dry_run: Write nothing.
            rate_per_s: Most entries a second; 0 for no limit.
            progress: Told blocks done and in all.

        Raises:
            Damage: The file is damaged, unfinished or was changed; nothing was written.
            ConfigurationError: It is of another namespace, or not authenticated although regions are encrypted.
        """
        header = read_header(path)
        secret = self._secret_of(header)
        erased = frozenset(noted_erasures(path.parent, header.wall_ms - CLOCKS_MS))
        target = await self._link(None)
        origin: AsyncLink | None = None
        try:
            origin = await self._link(source) if source is not None else None
            restore = AsyncRestore(
                target,
                self._space,
                source=origin,
                subjects=self._seals.subjects,
                erased=erased,
                journals=self._journals(Scope(header.tenant, header.region)),
                is_dry_run=is_dry_run,
                rate_per_s=rate_per_s,
                progress=progress,
            )
            return await restore.run(path, secret)
        finally:
            await target.aclose()
            if origin is not None:
                await origin.aclose()

    def _check(self, scope: Scope) -> None:
        if scope.tenant is not None:
            check_tenant(scope.tenant)
        if scope.region is not None:
            self._matrix.region(scope.region)

    async def _link(self, url: str | None) -> AsyncLink:
        url = url or self._matrix.cache.redis
        if url is None:
            raise ConfigurationError("[cache] names no redis: there is nothing that a backup could be of")
        return await open_link(url, options=TIMEOUTS)

    def _journals(self, scope: Scope) -> dict[str, int]:
        """Return the regions of *scope* whose journal is in Redis, with their partitions."""
        found: dict[str, int] = {}
        for name, options in self._matrix.regions.items():
            journal = options.journal or JournalOptions()
            is_journaled = options.strategy == "write-behind" and options.store is not None
            if is_journaled and journal.kind == "redis" and scope.region in (None, name):
                found[name] = journal.partitions
        return found

    def _mac(self, scope: Scope, key: str | None) -> tuple[tuple[str, str], bytes]:
        name = key or next(
            (o.encrypt for n, o in self._matrix.regions.items() if o.encrypt and scope.region in (None, n)), None
        )
        if name is None:
            return ("", ""), b""
        key_id, secret = self._sealer(name).mac_key()
        return (name, key_id), secret

    def _secret_of(self, header: Header) -> bytes:
        """Return the key of a file's chain, by what its unchecked header says."""
        if header.namespace != self._space.namespace:
            raise ConfigurationError(f"the backup is of namespace {header.namespace!r}, not {self._space.namespace!r}")
        name, key_id = header.mac
        if name:
            return self._sealer(name).mac_key_of(key_id)
        if any(options.encrypt for options in self._matrix.regions.values()):
            raise ConfigurationError("the backup is not authenticated, and regions of the matrix are encrypted")
        return b""

    def _sealer(self, name: str) -> Sealer:
        return Sealer(Keychain(self._matrix.key(name)))
