"""
The backplane's outgoing queue: unsent messages, where the last one about a thing wins and the too old are dropped.

A message is worth sending for as long as a copy made before it could live (``keep_s``). So the queue is bounded by the
number of distinct things that fell in that time, and an outage does not grow it further.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Sequence

from tiercel._core.message import Filled, KeysFell, Message, PolicyChanged, TagsFell

BATCH = 500


class Outgoing:
    """
    Args:
        keep_s: How long an unsent message is kept.
    """

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._waiting: dict[Hashable, tuple[Message, float]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def keep_for(self, keep_s: float) -> None:
        """Keep unsent messages for *keep_s* from now on, where that is longer: copies may live longer, too."""
        self._keep_s = max(self._keep_s, keep_s)

    def put(self, message: Message, now: float) -> None:
        """Add *message*, in place of an earlier one about the same things."""
        self._waiting.pop(_subject(message), None)
        self._waiting[_subject(message)] = (message, now)

    def take(self, partitions: int, now: float) -> dict[int, list[tuple[Message, float]]]:
        """Remove and return up to 500 messages that are not too old, each with its start, by partition, in order."""
        batches: dict[int, list[tuple[Message, float]]] = {}
        for subject in list(self._waiting)[:BATCH]:
            message, since = self._waiting.pop(subject)
            if now - since < self._keep_s:
                batches.setdefault(partition_of(message, partitions), []).append((message, since))
        return batches

    def put_back(self, messages: Sequence[tuple[Message, float]]) -> None:
        """Return *messages* that could not be sent; what was said about the same things since then wins."""
        for message, since in messages:
            self._waiting.setdefault(_subject(message), (message, since))


def _subject(message: Message) -> Hashable:
    return message


def partition_of(message: Message, partitions: int) -> int:
    """Return the partition of *message*: one thing is always told in one stream, so in order."""
    if isinstance(message, KeysFell):
        text = f"{message.tenant}\0{message.region}"
    elif isinstance(message, TagsFell):
        text = message.tenant
    elif isinstance(message, Filled):
        text = str(message.name_hash)
    else:
        text = "policy" if isinstance(message, PolicyChanged) else f"hot\0{message.region}"
    return zlib.crc32(text.encode()) % partitions
