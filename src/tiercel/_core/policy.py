"""
The live policy of a namespace: one versioned document of what differs from the matrix file, and how it may change.

A document holds what is in force on every node (*stable*), at most one change on trial (*trial*: on a share of the
nodes, or under guard rails, or both), and the history. Each transition returns a new document with the next version;
whoever stores it does so only where the version before is still the stored one, so that of two changes at once one wins
and the other is told. The decisions are pure: time, names and random tokens are arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from tiercel._core.keys import hash64
from tiercel._core.policyguard import Guard
from tiercel.errors import ConfigurationError, DecodeError
from tiercel.typing import Key

__all__ = [
    "RESET",
    "Draft",
    "Entry",
    "Layer",
    "Policy",
    "PolicyDocument",
    "Stamp",
    "Switch",
    "Trial",
    "is_chosen",
    "is_newer",
    "merged",
    "pack_document",
    "promoted",
    "proposed",
    "rolled_back",
    "unpack_document",
]

Layer: TypeAlias = Literal["local", "redis", "cdn", "write-behind"]
Action: TypeAlias = Literal["set", "trial", "promote", "rollback", "guard"]

FORMAT: Final = 1
HISTORY: Final = 50
ANY: Final = "*"
RESET: Final = "default"
"""The value of a field that is to be as the matrix file says again."""


class Switch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A layer that is off for a class of keys: of a region, of a tenant, that begin with a prefix; ``*`` for all."""

    layer: Layer
    region: str = ANY
    tenant: str = ANY
    prefix: str = ""

    def covers(self, tenant: str, key: Key) -> bool:
        """Say whether *key* of *tenant*, in a region that this switch names, is of its class."""
        if self.tenant not in (ANY, tenant):
            return False
        return key.startswith(self.prefix) if isinstance(key, str) else key.startswith(self.prefix.encode())

    def __str__(self) -> str:
        scope = [] if self.region == ANY else [f"region {self.region}"]
        scope += [] if self.tenant == ANY else [f"tenant {self.tenant}"]
        scope += [f"keys {self.prefix}…"] if self.prefix else []
        return f"{self.layer} off for {', '.join(scope) or 'everything'}"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from the matrix file: fields by region, as `RegionOptions` names them, and layers that are off."""

    regions: dict[str, dict[str, Any]] = {}
    switches: tuple[Switch, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """
    A change that is not in force everywhere for good yet.

    Attributes:
        policy: The whole policy on the nodes that try it.
        share: Part of the nodes that try it, (0, 1].
        guard: When it is rolled back by itself; None for never.
        promote_after_s: It is put in force everywhere by itself after so long without a breach; None for never.
        version: The document's version that began it.
        started_s: When, seconds since the epoch.
        by: Who asked for it.
        reason: Why.
    """

    policy: Policy
    share: float
    guard: Guard | None
    promote_after_s: float | None
    version: int
    started_s: float
    by: str
    reason: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history: who did what when and why, what it changed, and what was stable afterwards."""

    version: int
    at_s: float
    by: str
    action: Action
    reason: str
    changes: tuple[str, ...]
    policy: Policy


class PolicyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the live policy; *token* tells two documents of one version apart, as a fail-over may make."""

    format: int = FORMAT
    version: int = 0
    token: str = ""
    stable: Policy = msgspec.field(default_factory=Policy)
    trial: Trial | None = None
    history: tuple[Entry, ...] = ()

    def policy_for(self, node: str) -> Policy:
        """Return what is in force on *node*."""
        return self.trial.policy if self.is_on_trial(node) and self.trial else self.stable

    def is_on_trial(self, node: str) -> bool:
        """Say whether *node* tries the change that is on trial."""
        return self.trial is not None and is_chosen(node, self.trial.share)

    def policies(self) -> Iterator[Policy]:
        """Yield every policy that may be in force on some node."""
        yield self.stable
        if self.trial is not None:
            yield self.trial.policy


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a change, when (seconds since the epoch), why, and a random token for the new document."""

    by: str
    at_s: float
    token: str
    reason: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """
    A change that is asked for.

    Attributes:
        regions: New values by region and field; `RESET` for the file's.
        off: Layers to switch off.
        on: Switches to take away again.
        share: Part of the nodes that try it first; 1 for all.
        guard: Guard rails; None for none.
        promote_after_s: See `Trial`.
    """

    regions: dict[str, dict[str, Any]] = {}
    off: tuple[Switch, ...] = ()
    on: tuple[Switch, ...] = ()
    share: float = 1.0
    guard: Guard | None = None
    promote_after_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigurationError(f"share={self.share}: must lie in (0, 1]")
        if self.promote_after_s is not None and not self.promote_after_s > 0:
            raise ConfigurationError(f"promote_after={self.promote_after_s}: must be greater than 0")
        if not (self.regions or self.off or self.on):
            raise ConfigurationError("nothing is to be changed: name a region's fields, or a switch")

    @property
    def is_tried(self) -> bool:
        """Whether it goes on trial instead of being in force everywhere at once."""
        return self.share < 1 or self.guard is not None


def is_chosen(node: str, share: float) -> bool:
    """
    Say whether *node* is among the *share* of nodes that try a change.

    It depends on the name alone: the same nodes are chosen each time, by every process that asks, and a larger share
    keeps those of a smaller one. Of few nodes the share is met on average only.
    """
    return share >= 1 or hash64(b"canary\0" + node.encode("utf-8", "surrogatepass")) < share * 2**64


def is_newer(found: PolicyDocument, known: PolicyDocument) -> bool:
    """Say whether *found*, as stored, replaces *known*: also another one of its version, which a fail-over brought."""
    return found.version > known.version or (found.version == known.version and found.token != known.token)


def merged(policy: Policy, draft: Draft) -> Policy:
    """Return *policy* with what *draft* changes."""
    regions = {name: dict(fields) for name, fields in policy.regions.items()}
    for name, fields in draft.regions.items():
        row = {**regions.get(name, {}), **fields}
        regions[name] = {field: value for field, value in row.items() if value != RESET}
    kept = [switch for switch in policy.switches if switch not in draft.on]
    added = [switch for switch in draft.off if switch not in kept]
    return Policy(
        regions={name: fields for name, fields in sorted(regions.items()) if fields}, switches=(*kept, *added)
    )


def proposed(document: PolicyDocument, draft: Draft, stamp: Stamp) -> PolicyDocument:
    """
    Return the document with *draft* in force everywhere, or on trial where it asks for a share or a guard.

    Raises:
        ConfigurationError: another change is on trial (switches alone pass: they are for emergencies), or nothing
            would change.
    """
    if document.trial is not None:
        return _switched(document, document.trial, draft, stamp)
    policy = merged(document.stable, draft)
    changes = tuple(_differences(document.stable, policy))
    if not changes:
        raise ConfigurationError("nothing would change: the policy says so already")
    if not draft.is_tried:
        return _next(document, stamp, "set", changes, stable=policy)
    trial = Trial(
        policy=policy,
        share=draft.share,
        guard=draft.guard,
        promote_after_s=draft.promote_after_s,
        version=document.version + 1,
        started_s=stamp.at_s,
        by=stamp.by,
        reason=stamp.reason,
    )
    return _next(document, stamp, "trial", changes, trial=trial)


def _switched(document: PolicyDocument, trial: Trial, draft: Draft, stamp: Stamp) -> PolicyDocument:
    """Switch layers on all nodes while another change is on trial."""
    if draft.regions or draft.is_tried:
        raise ConfigurationError(
            f"version {trial.version} is on trial since {trial.reason or 'no reason given'!r} by {trial.by}: "
            "promote it or roll it back first; only switches may be changed meanwhile"
        )
    stable, tried = merged(document.stable, draft), merged(trial.policy, draft)
    changes = tuple(_differences(document.stable, stable)) or tuple(_differences(trial.policy, tried))
    if not changes:
        raise ConfigurationError("nothing would change: the policy says so already")
    goes_on = msgspec.structs.replace(trial, policy=tried)
    return _next(document, stamp, "set", changes, stable=stable, trial=goes_on)


def promoted(document: PolicyDocument, stamp: Stamp) -> PolicyDocument:
    """Return the document with the change on trial in force everywhere; raises ConfigurationError where none is."""
    if document.trial is None:
        raise ConfigurationError("nothing is on trial")
    changes = tuple(_differences(document.stable, document.trial.policy))
    return _next(document, stamp, "promote", changes, stable=document.trial.policy)


def rolled_back(
    document: PolicyDocument, stamp: Stamp, to: int | None = None, *, by_guard: bool = False
) -> PolicyDocument:
    """
    Return the document with the last change undone, or with what was stable at version *to*; a trial ends.

    Args:
        document: As stored.
        stamp: Who, when, why.
        to: A version of the history; 0 for the matrix file alone; None for the trial, or else the change before.
        by_guard: Guard rails did it.

    Raises:
        ConfigurationError: there is nothing to undo, or no such version in the history.
    """
    action: Action = "guard" if by_guard else "rollback"
    if to is None and document.trial is not None:
        changes = tuple(_differences(document.trial.policy, document.stable))
        return _next(document, stamp, action, changes)
    policy = _earlier(document) if to is None else _at(document, to)
    changes = tuple(_differences(document.stable, policy))
    if not changes and document.trial is None:
        raise ConfigurationError("nothing would change: the policy says so already")
    return _next(document, stamp, action, changes, stable=policy)


def _earlier(document: PolicyDocument) -> Policy:
    if not document.history:
        raise ConfigurationError("there is nothing to undo: the policy is the matrix file's own")
    for entry in reversed(document.history):
        if entry.policy != document.stable:
            return entry.policy
    return Policy()


def _at(document: PolicyDocument, version: int) -> Policy:
    if version == 0:
        return Policy()
    for entry in document.history:
        if entry.version == version:
            return entry.policy
    known = ", ".join(str(entry.version) for entry in document.history[-10:]) or "none"
    raise ConfigurationError(f"the history has no version {version}: the last are {known}; 0 is the matrix file alone")


def _next(
    document: PolicyDocument,
    stamp: Stamp,
    action: Action,
    changes: tuple[str, ...],
    *,
    stable: Policy | None = None,
    trial: Trial | None = None,
) -> PolicyDocument:
    policy = document.stable if stable is None else stable
    entry = Entry(
        version=document.version + 1,
        at_s=stamp.at_s,
        by=stamp.by,
        action=action,
        reason=stamp.reason,
        changes=changes,
        policy=policy,
    )
    return PolicyDocument(
        version=document.version + 1,
        token=stamp.token,
        stable=policy,
        trial=trial,
        history=(*document.history, entry)[-HISTORY:],
    )


def _differences(before: Policy, after: Policy) -> Iterator[str]:
    """Say in words what differs."""
    for region in sorted({*before.regions, *after.regions}):
        old, new = before.regions.get(region, {}), after.regions.get(region, {})
        for field in sorted({*old, *new}):
            was, becomes = old.get(field, RESET), new.get(field, RESET)
            if was != becomes:
                yield f"{region}.{field}: {_worded(was)} → {_worded(becomes)}"
    yield from (str(switch) for switch in after.switches if switch not in before.switches)
    yield from (f"no longer: {switch}" for switch in before.switches if switch not in after.switches)


def _worded(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def pack_document(document: PolicyDocument) -> bytes:
    """Return *document* as JSON."""
    return msgspec.json.encode(document)


def unpack_document(body: bytes) -> PolicyDocument:
    """Return what `pack_document` packed; raise `DecodeError` where it cannot be read or is of a newer format."""
    try:
        document = msgspec.json.decode(body, type=PolicyDocument)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"the live policy cannot be read: {error}") from error
    if document.format != FORMAT:
        raise DecodeError(f"the live policy has format {document.format}; this release reads {FORMAT}")
    return document
