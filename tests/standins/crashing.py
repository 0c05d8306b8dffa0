"""
A process that dies: wrappers that raise `Crash` at one chosen step of the purger, before or after it took effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from tests.standins.cloudfront import CloudFrontModel, Refusal
from tiercel._edges.protocols import Sender
from tiercel._edges.purgelog import PurgeLog
from tiercel.cdn.capabilities import CLOUDFRONT, Capabilities
from tiercel.cdn.cloudfront import invalidation_items, translate
from tiercel.cdn.purge import PurgeItem

STEPS = frozenset(
    {"lead", "add", "dropped", "store_batches", "sent", "done", "send", "poll", "drop", "postpone", "split", "refused"}
)


class Crash(RuntimeError):
    """The process is gone."""


class Fuse:
    """
    Blows at step number *at*; `after` says whether the step still took effect. Counts steps for ever without *at*.
    """

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.steps: list[str] = []
        self._at = at
        self._after = after

    def run(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.steps.append(name)
        blows = self._at == len(self.steps) - 1
        if blows and not self._after:
            raise Crash(f"before {name}")
        result = function(*args, **kwargs)
        if blows:
            raise Crash(f"after {name}")
        return result


class Fused:
    """Wraps *target* so that each of `STEPS` passes the fuse."""

    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name not in STEPS:
            return value
        return lambda *args, **kwargs: self._fuse.run(name, value, *args, **kwargs)


def fused_log(log: PurgeLog, fuse: Fuse) -> PurgeLog:
    """Return *log* behind *fuse*."""
    return cast("PurgeLog", Fused(log, fuse))


def fused_sender(sender: Sender, fuse: Fuse) -> Sender:
    """Return *sender* behind *fuse*."""
    return cast("Sender", Fused(sender, fuse))


class ModelSender:
    """Sends to a `CloudFrontModel` in this process, by the same requests and errors as over the network."""

    def __init__(self, model: CloudFrontModel, capabilities: Capabilities = CLOUDFRONT) -> None:
        self.model = model
        self.capabilities: Capabilities = capabilities

    def send(self, reference: str, items: Sequence[PurgeItem]) -> str:
        try:
            return self.model.create(reference, invalidation_items(items)).id
        except Refusal as refusal:
            raise translate(refusal.code, refusal.status, "") from refusal

    def poll(self, provider_id: str) -> bool:
        return self.model.get(provider_id).is_complete

    def ping(self) -> None:
        """Nothing to reach."""

    def close(self) -> None:
        """Nothing to close."""
