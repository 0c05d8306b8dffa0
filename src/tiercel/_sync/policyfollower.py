# Generated from src/tiercel/_async/policyfollower.py by tools/unasync.py. Do not edit.
"""
The policy follower: keeps one node at the live policy, watches a change that the node tries, and says what it follows.

It hears of a new version by message and looks for one every second, so that a message that was missed costs a second
and no more. Applying a version builds a new plan for each region that changes and swaps it in by one assignment; a
local tier that is switched off is emptied. While the policy cannot be reached, what was applied last goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tiercel._sync.node import Node, RegionCore
from tiercel._sync.policybook import PolicyBook
from tiercel._sync.policyshadow import Shadow
from tiercel._sync.policystore import PolicyStore
from tiercel._core.histogram import Histogram
from tiercel._core.policy import ANY, Draft, PolicyDocument, Switch, Trial, is_newer
from tiercel._core.policyfields import read_fields
from tiercel._core.policyguard import Guard, GuardWatch, Reading, Verdict
from tiercel._core.policynotes import NodeNote, pack_note
from tiercel._core.policyplan import planned
from tiercel._paired import Event, Job, spawn
from tiercel.errors import DecodeError, StoreError, TierError
from tiercel.observe.snapshot import Snapshot, take_snapshot
from tiercel.options import RegionOptions

__all__ = ["PolicyFollower"]

POLL_S: Final = 1.0
SAY_S: Final = 2.0
QUIET_READING_S: Final = 60.0
"""How often figures are read while nothing is on trial."""
GIVEN: Final = "given"
"""What stands for the URL of a store that was given in code."""


class PolicyFollower:
    """
    One node's end of the live policy; `Cache.policy`.

    Args:
        store: Where the policy is kept.
        node: The node.
        name: The node's name.
        cores: Its regions, whose plans are swapped.
        regions: Their rows of the matrix file.
    """

    def __init__(
        self,
        store: PolicyStore,
        node: Node,
        name: str,
        cores: Mapping[str, RegionCore],
        regions: Mapping[str, RegionOptions],
    ) -> None:
        self.name = name
        self.document = PolicyDocument()
        self.book = PolicyBook(store, node.process.clock, self._announced)
        self._store = store
        self._node = node
        self._cores = cores
        self._regions = regions
        self._field = f"{name} {node.process.node_id.hex()}"
        self._shadow = Shadow(node, cores)
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._watches = {region: GuardWatch() for region in ("", *regions)}
        self._watched = 0
        self._verdict = ""
        self._applied_s = 0.0
        self._read_at_s = self._said_at_s = -1e18
        self._is_suspect = self._is_cut = False
        self._wake = Event()
        self._is_stopping = False
        self._job: Job | None = None

    @property
    def version(self) -> int:
        """The version that this node follows; 0 for the matrix file alone."""
        return self.document.version

    def start(self) -> None:
        """Apply the policy in force, then follow it in the background."""
        self.turn(say=False)
        self._shadow.follow()
        self._shadow.start()
        self._job = spawn("tiercel-policy", self._run)

    def close(self) -> None:
        """Stop, and take back what this node said."""
        self._is_stopping = True
        self._wake.set()
        self._shadow.close()
        if self._job is not None:
            self._job.join(5.0)
        try:
            self._store.drop_notes([self._field])
        except (TierError, StoreError) as error:
            self._node.recorder.event("policy_unreachable", why=str(error))

    def heard(self, version: int) -> None:
        """Take note that there is a new version; never blocks."""
        if version != self.version:
            self._wake.set()

    def suspect(self) -> None:
        """Look again at once, at the whole document: a connection was made anew, maybe to another server."""
        self._is_suspect = True
        self._wake.set()

    # Changes.

    def change(
        self,
        regions: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        by: str,
        reason: str = "",
        off: Sequence[Switch] = (),
        on: Sequence[Switch] = (),
        share: float = 1.0,
        guard: Guard | None = None,
        promote_after_s: float | None = None,
        dry_run: bool = False,
    ) -> PolicyDocument:
        """
        Change settings of regions and switches on all nodes, or on a share of them first.

        Args:
            regions: New settings by region, spelled as in a matrix file: ``{"product": {"ttl": "10m"}}``; the value
                ``"default"`` takes a setting back to the file's.
            by: Who asks.
            reason: Why.
            off: Layers to switch off.
            on: Switches to take away.
            share: Part of the nodes that try it first.
            guard: Guard rails, by which those nodes roll it back.
            promote_after_s: Put it in force everywhere by itself after so long without a breach.
            dry_run: Say what would be in force, and change nothing.

        Raises:
            ConfigurationError: a setting that may not change live, a value that is none, a contradiction.
            TierError, StoreError: the policy cannot be reached.
        """
        draft = Draft(
            regions={name: read_fields(table, name) for name, table in (regions or {}).items()},
            off=tuple(off),
            on=tuple(on),
            share=share,
            guard=guard,
            promote_after_s=promote_after_s,
        )
        return self.book.propose(draft, self.rows(), by=by, reason=reason, dry_run=dry_run)

    def rows(self) -> dict[str, RegionOptions]:
        """Return the matrix file's rows, saying that there is a store also where one was given in code."""
        return {
            name: replace(row, store=row.store or GIVEN) if self._cores[name].store is not None else row
            for name, row in self._regions.items()
        }

    def _announced(self, document: PolicyDocument) -> None:
        self.adopt(document)
        self._node.announcer.policy_changed(document.version)

    # Following.

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.wait_for(POLL_S)
            self._wake.clear()
            if not self._is_stopping:
                self.turn()

    def turn(self, *, say: bool = True) -> None:
        """Fetch, apply, judge and say; what cannot be reached is told of once and tried again in the next turn."""
        try:
            self._fetch()
            self._judge()
            if say:  # a process that only looks in is no node
                self._say()
        except (TierError, StoreError, DecodeError) as error:
            if not self._is_cut:
                self._node.recorder.event("policy_unreachable", why=str(error))
            self._is_cut = True
        else:
            self._is_cut = False

    def _fetch(self) -> None:
        version = self._store.version()
        if version == self.version and not self._is_suspect:
            return
        found = self._store.read()
        self._is_suspect = False
        if is_newer(found, self.document):
            self.adopt(found)
        elif found.version < self.version and self._store.swap(found.version, self.document):
            # The server forgot: it was emptied, or a fail-over brought one that lagged.
            self._node.recorder.event("policy_restored", version=self.version, found=found.version)

    def adopt(self, document: PolicyDocument) -> None:
        """Apply *document* here where it is newer than what is applied."""
        with self._lock:
            if not is_newer(document, self.document):
                return
            policy = document.policy_for(self.name)
            self._outlive(document)
            self._problems = {}
            for name, core in self._cores.items():
                plan, why = planned(self._regions[name], policy)
                if why:
                    self._problems[name] = why
                    self._node.recorder.event("policy_refused", region=name, why=why)
                if plan != core.plan:
                    before, core.plan = core.plan, plan
                    _empty(core, plan.newly_off("local", before))
            self._shadow.follow()
            self.document = document
            self._applied_s = self._node.process.clock.wall()
            self._said_at_s = -1e18
        self._node.recorder.event("policy_applied", version=document.version, is_on_trial=self.is_on_trial)

    def _outlive(self, document: PolicyDocument) -> None:
        """Keep unsent messages for as long as a copy may live on any node under *document*."""
        plans = [planned(row, policy)[0] for policy in document.policies() for row in self._regions.values()]
        self._node.announcer.keep_for(max((plan.windows.total_ms / 1000 for plan in plans), default=0.0))

    @property
    def is_on_trial(self) -> bool:
        """Whether this node tries the change that is on trial."""
        return self.document.is_on_trial(self.name)

    # Guard rails.

    def _judge(self) -> None:
        trial, now_s = self.document.trial, self._node.process.clock.monotonic()
        if trial is None or not self.is_on_trial:
            self._watched, self._verdict = 0, ""
            if now_s - self._read_at_s >= QUIET_READING_S:
                self._read_at_s = now_s
                figures = self._figures()
                for region, watch in self._watches.items():
                    watch.end()
                    watch.note(self._reading(figures, region))
            return
        by = f"guard rails on {self.name}"
        verdict = self._judged(trial) if trial.guard is not None else Verdict(True)
        if verdict.breach:
            self.book.roll_back(by=by, reason=verdict.breach, only=trial.version)
            return
        age_s = self._node.process.clock.wall() - trial.started_s
        if trial.promote_after_s is not None and verdict.is_judged and age_s >= trial.promote_after_s:
            self.book.promote(by=by, reason=f"no breach in {age_s:.0f} s", only=trial.version)

    def _judged(self, trial: Trial) -> Verdict:
        """Judge the window of the trial that ends now."""
        guard = trial.guard
        assert guard is not None
        reading, watch = self._reading(self._figures(), guard.region), self._watches[guard.region]
        if self._watched != trial.version:
            self._watched = trial.version
            watch.begin(reading)
        verdict = watch.judge(guard, reading)
        self._verdict = verdict.breach or ("good" if verdict.is_judged else "too few reads")
        return verdict

    def _figures(self) -> Snapshot:
        process = self._node.process
        return take_snapshot(self._node.recorder, process.clock.wall(), local_tier=process.local)

    def _reading(self, snapshot: Snapshot, region: str) -> Reading:
        """Return this node's figures of *region*; of all regions for an empty name."""
        latency = Histogram()
        requests = hits = loads = 0
        for name, figures in snapshot.regions.items():
            if region in {"", name}:
                requests, hits = requests + figures.requests, hits + figures.hits
                loads += figures.counts["loads"]
                for histogram in (figures.load_latency, *(tier.latency for tier in figures.tiers.values())):
                    latency.merge(histogram)
        return Reading(self._node.process.clock.monotonic(), requests, hits, loads, latency)

    # What others see of this node.

    def _say(self) -> None:
        now_s = self._node.process.clock.monotonic()
        if now_s - self._said_at_s < SAY_S or self.version == 0:
            return
        self._store.set_note(self._field, pack_note(self.note()))
        self._said_at_s = now_s

    def note(self) -> NodeNote:
        """Return what this node says of itself."""
        return NodeNote(
            node=self.name,
            version=self.version,
            applied_s=self._applied_s,
            said_s=self._node.process.clock.wall(),
            is_on_trial=self.is_on_trial,
            verdict=self._verdict,
            problems=dict(self._problems),
            shadow=self._shadow.counts(),
        )


def _empty(core: RegionCore, switches: Sequence[Switch]) -> None:
    """
    Drop the local copies that *switches* take out of use, and void those on their way.

    1. a fill sees the old plan  2. the plan is swapped  3. the tables are emptied, tokens of fills void  4. the fill
    commits: refused. A fill that begins after 2 sees the new plan.
    """
    hot = None if core.hot is None else core.hot.table
    for table in (core.table, core.absent, hot):
        for switch in switches:
            if table is not None and switch.tenant == ANY:
                table.clear()
            elif table is not None:
                table.view(switch.tenant).clear()
