"""
The desk: one cache with everything that the service does to it and remembers about it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tiercel._async.cache import AsyncCache
from tiercel.matrix import Matrix
from tiercel.observe.report import Report
from tiercel.observe.shared import SharedFigures
from tiercel.observe.snapshot import Snapshot
from tiercel.service.alerts import Alerts
from tiercel.service.attempts import Attempts
from tiercel.service.audit import AuditLog
from tiercel.service.edges import Edges
from tiercel.service.invalidations import Invalidations
from tiercel.service.journals import Journals
from tiercel.service.policies import Policies
from tiercel.service.sessions import Sessions, session_key
from tiercel.service.settings import ServiceSettings
from tiercel.service.users import UserFile

__all__ = ["Desk"]

PASSWORD_CHECKS: Final = 2
"""Passwords checked at once; each takes a core and 64 MiB for some tens of milliseconds."""


class Desk:
    """
    What endpoints and pages work with.

    Args:
        cache: A started cache; figures, keys and invalidations are its.
        settings: Who may use the service.
        matrix: Whose journals and edge are shown; None for the cache's own.

    Attributes:
        links: Pages beside the service's own, as paths and names.

    Raises:
        ConfigurationError: the password file or the state folder cannot be used.
    """

    def __init__(self, cache: AsyncCache, settings: ServiceSettings, matrix: Matrix | None = None) -> None:
        self.cache = cache
        self.settings = settings
        self.matrix = matrix or cache.matrix
        self.users = None if settings.users is None else UserFile(settings.users)
        if self.users is not None:
            self.users.count()  # a file with a mistake is told of at the start, not at the first sign-in
        self.sessions = Sessions(session_key(settings.state_dir), settings.session_s)
        self.attempts = Attempts()
        self.password_checks = asyncio.Semaphore(PASSWORD_CHECKS)
        self.audit = AuditLog(settings.state_dir / "audit.jsonl")
        self.invalidations = Invalidations(cache)
        self.journals = Journals(self.matrix)
        self.edges = Edges(self.matrix)
        self.links: list[tuple[str, str]] = []
        self._figures = None if settings.figures is None else SharedFigures(settings.figures)
        self.policies = Policies(cache, self.matrix, self.audit)
        self.alerts = Alerts(self._sampled, self.matrix)

    def _sampled(self) -> Snapshot:
        self.policies.note_automatic()
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        """Return the figures: of every process that publishes them where a folder is set, else of this cache."""
        own = self.cache.snapshot()
        return own if self._figures is None else self._figures.merged(own)

    def report(self) -> Report:
        """Return the figures since the start, as a report."""
        return Report.of(self.snapshot())
