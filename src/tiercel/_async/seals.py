"""
Seals: which regions of a matrix are encrypted, with what, and the far tier that each of them sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tiercel._async.sealed_tier import AsyncSealedTier
from tiercel._async.subjectkeys import AsyncSubjectKeys
from tiercel._async.tier import AsyncFarTier
from tiercel._core.keys import KeySpace
from tiercel._core.subjects import SubjectBook
from tiercel.codecs.keychain import Keychain
from tiercel.codecs.sealer import Sealer
from tiercel.errors import ConfigurationError, DecodeError
from tiercel.matrix import Matrix
from tiercel.options import RegionOptions


class AsyncSeals:
    """
    Args:
        matrix: Regions, keys and entities.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._space = KeySpace(matrix.cache.namespace)
        self._sealers: dict[str, Sealer] = {}
        self._subject_keys: dict[str, AsyncSubjectKeys] = {}
        self.subjects = SubjectBook(matrix.entities.values())

    def sealer(self, region: str) -> Sealer | None:
        """
        Return what seals *region*, None where it is not encrypted.

        Raises:
            ConfigurationError: The key is not in the matrix, its ring is missing or damaged, or the extra is missing.
        """
        name = self._matrix.region(region).encrypt
        if name is None:
            return None
        if name not in self._sealers:
            self._sealers[name] = _checked(Sealer(Keychain(self._matrix.key(name))))
        return self._sealers[name]

    def far_of(
        self, options: RegionOptions, far: AsyncFarTier | None, on_refused: Callable[[bytes, str], None]
    ) -> AsyncFarTier | None:
        """Return the far tier as the region sees it: *far* itself, unless the region is encrypted."""
        sealer = self.sealer(options.name)
        if far is None or sealer is None:
            return far
        keys = self._keys(sealer, far)
        return cast("AsyncFarTier", AsyncSealedTier(far, self._space, sealer, self.subjects, keys, on_refused))

    def _keys(self, sealer: Sealer, far: AsyncFarTier) -> AsyncSubjectKeys | None:
        """Return the subjects' keys of one named key: one object for all its regions, so that it forgets for all."""
        options = sealer.keychain.options
        if not options.subjects:
            return None
        return self._subject_keys.setdefault(options.name, AsyncSubjectKeys(far, self._space, sealer))

    def subject_keys(self, far: AsyncFarTier) -> list[AsyncSubjectKeys]:
        """Return the keys of subjects in *far*: one store of them for each named key that keeps such."""
        sealers = [self.sealer(name) for name, options in self._matrix.regions.items() if options.encrypt is not None]
        kept = {id(keys): keys for sealer in sealers if sealer and (keys := self._keys(sealer, far)) is not None}
        return list(kept.values())


def _checked(sealer: Sealer) -> Sealer:
    """Seal and open once, so that a missing extra or ring shows at the start and not in a request."""
    keychain = sealer.keychain
    try:
        if keychain.is_shared:
            sealer.open("", "check", b"", b"", sealer.seal("", "check", b"", b"", b""))
    except DecodeError as error:
        raise ConfigurationError(str(error)) from error
    return sealer
