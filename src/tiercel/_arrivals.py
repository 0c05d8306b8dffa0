"""
Arrivals: what a backplane message does on this node.

Nothing here publishes, so a message cannot go round in circles. A message voids loads that are under way as well as
copies: a load that began before it may carry the older value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from tiercel._core.keys import decode_key
from tiercel._core.message import Filled, KeyHot, KeysFell, Message, PolicyChanged, TagsFell
from tiercel._process import Process
from tiercel.typing import GLOBAL, Key


class TagMemo(Protocol):
    """The part of a tag book that arrivals need."""

    def forget(self, tags: Iterable[int]) -> bool:
        """Drop what is known of *tags*; return whether any of them was in use here."""

    def forget_all(self) -> None:
        """Drop everything known."""


class Arrivals:
    """
    Args:
        process: Local copies, loads and waiting callers.
        tags: The tag book of the same façade.
        on_doubt: Told why everything local became suspect.

    Attributes:
        on_policy: Told the version of a new live policy; set by who follows it.
        on_hot: Told tenant, region and key of what another node found hot.
    """

    def __init__(self, process: Process, tags: TagMemo, on_doubt: Callable[[str], None]) -> None:
        self._process = process
        self._tags = tags
        self._on_doubt = on_doubt
        self.on_policy: Callable[[int], None] = _ignore_policy
        self.on_hot: Callable[[str, str, Key], None] = _ignore_hot

    def apply(self, message: Message) -> None:
        """Drop what *message* says is out of date."""
        if isinstance(message, KeysFell):
            self._keys_fell(message)
        elif isinstance(message, TagsFell):
            self.tags_fell(message.tenant, message.tags)
        elif isinstance(message, Filled):
            self._process.wakes.wake(message.name_hash)
        elif isinstance(message, PolicyChanged):
            self.on_policy(message.version)
        elif isinstance(message, KeyHot):
            self.on_hot(message.tenant, message.region, decode_key(message.key))

    def _keys_fell(self, message: KeysFell) -> None:
        tables = [tier.tables().get(message.region) for tier in (self._process.local, self._process.absent)]
        for encoded in message.keys:
            key = decode_key(encoded)
            self._process.flights.detach((message.tenant, message.region, key))
            for table in tables:
                if table is not None:
                    table.view(message.tenant).delete(key)
        self.tags_fell_here(message.tenant, message.tags)

    def tags_fell(self, tenant: str, tags: Iterable[int]) -> None:
        """Forget *tags*, and make what may carry them suspect."""
        self._tags.forget(tags)
        self._process.flights.detach_all()
        self._suspect(tenant)

    def tags_fell_here(self, tenant: str, tags: Iterable[int]) -> None:
        """Like `tags_fell`, for the tags of single entries: nothing is suspect unless something here carries one."""
        if self._tags.forget(tags):
            self._suspect(tenant)

    def _suspect(self, tenant: str) -> None:
        for tier in (self._process.local, self._process.absent):
            if tenant == GLOBAL:
                tier.bump_epoch()
                continue
            for table in list(tier.tables().values()):
                table.view(tenant).bump_epoch()

    def trust_until(self, moment_s: float) -> None:
        """Serve local copies before *moment_s* on the monotonic clock only."""
        self._process.trust_until(moment_s)

    def doubt(self, why: str) -> None:
        """Treat everything local as suspect, and as not to be proved by tags alone: messages may have been missed."""
        self._process.doubt()
        self._tags.forget_all()
        self._process.local.bump_epoch()
        self._process.absent.bump_epoch()
        self._process.flights.detach_all()
        self._process.wakes.wake_all()
        self._on_doubt(why)


def _ignore_policy(_version: int) -> None:
    """Take no note of a live policy: nobody here follows it."""


def _ignore_hot(_tenant: str, _region: str, _key: Key) -> None:
    """Take no note of hot keys: nothing is kept near here."""
