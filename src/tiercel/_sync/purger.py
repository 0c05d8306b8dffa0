# Generated from src/tiercel/_async/purger.py by tools/unasync.py. Do not edit.
"""
The purger: the durable way from "this must fall" to "the CDN says that it has fallen".

One round (`step`): take the log's lease → ask after what is on its way → send what was stored and not accepted → gather
what has waited for its window → let the origin drop its copies → plan → store with references → send. Every arrow
crosses a stored state, so a process that dies anywhere is continued by the next round of any process, with the same
references.

One sender at a time: on a machine the log's lease says which process, and among machines the turn (`Turn`) which
machine. What a sender does after its time was given to another one changes no state that the other has moved on.

Answers: a throttled request rests the whole distribution, for as long as the CDN says or with doubling pauses; an
unreachable CDN is retried for ever; a refused request is halved until the item at fault is alone in the dead letters.
Times are the clock's wall seconds, because they outlive the process.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tiercel._sync.edge_turn import Turn
from tiercel._core.backoff import Backoff
from tiercel._edges.protocols import Origin, Sender
from tiercel._edges.purgelog import PendingItem, PurgeLog, StoredBatch
from tiercel._gates import gate
from tiercel._paired import Event, Job, Lock, run_blocking, spawn
from tiercel.cdn.budget import WINDOW_FACTOR, Budget, BudgetState, Spending, TokenBucket, spending
from tiercel.cdn.faults import SendPartly, SendRefused, SendThrottled
from tiercel.cdn.planner import Plan, plan
from tiercel.cdn.purge import PurgeItem, PurgeStatus
from tiercel.cdn.tagdictionary import Meaning
from tiercel.cdn.variants import with_variants
from tiercel.errors import TierError
from tiercel.typing import Clock

_log = logging.getLogger("tiercel.cdn")
_ACCOUNT_TRIES = 20
_TURN_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgerOptions:
    """
    How purges are gathered, paced and paid.

    Args:
        window_s: How long purges are gathered before they are sent; a budget in trouble widens it.
        poll_s: Pause between questions after a purge that is on its way.
        lease_s: Life of the leader's lease; a dead leader is replaced after that.
        keep_s: How long finished purges can be asked for.
        budget: What a month may cost.
        quota_hour: Most items that one tenant may send in an hour; beyond it the tenant's tags fold into one. None
            for no limit.
        again_s: Purge everything a second time after this, for edges behind a shield that may answer with what it still
            holds; None for once.
        pending_max: Most items planned in one round.
        retry: Pauses after throttling and failures.
    """

    window_s: float = 1.0
    poll_s: float = 2.0
    lease_s: float = 30.0
    keep_s: float = 3600.0
    budget: Budget = field(default_factory=Budget)
    quota_hour: int | None = None
    again_s: float | None = None
    pending_max: int = 100_000
    retry: Backoff = field(default_factory=lambda: Backoff(1.0, 60.0))


class Purger:
    """
    Sends one distribution's purges from its log.

    Args:
        log: Where purges are kept; several processes may share one file.
        sender: The CDN.
        origin: What must drop its own copies first, if anything.
        clock: Wall time for what is stored, monotonic time for the pace.
        options: See `PurgerOptions`.
        turn: Lets one machine send at a time, where several share the distribution; the log's lease does so on one.
    """

    def __init__(
        self,
        log: PurgeLog,
        sender: Sender,
        origin: Origin | None,
        clock: Clock,
        options: PurgerOptions,
        turn: Turn | None = None,
    ) -> None:
        self.log = log
        self.sender = sender
        self.options = options
        self.on_spending: Callable[[Spending], None] | None = None
        """Hears what the month cost so far, in each round that has something to send."""
        self._origin = origin
        self._turn = turn
        self._has_turn = False
        self._turn_in_s = 0.0
        self._clock = clock
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        capabilities = sender.capabilities
        self._bucket = TokenBucket(capabilities.rate_per_s, capabilities.burst, clock.monotonic())
        self._round = Lock()
        self._wake = Event()
        self._stopping = Event()
        self._job: Job | None = None

    def add(
        self, tenant: str, items: Sequence[PurgeItem], *, drop: bool, names: Mapping[str, Meaning] | None = None
    ) -> list[tuple[int, int]]:
        """
        Store *items*, and what the *names* in them stand for; durable once this returns.

        Returns:
            (number, drops asked so far) of each item.
        """
        now = self._clock.wall()
        added = run_blocking(self.log.add, tenant, items, drop=drop, now=now, names=names)
        self._wake.set()
        return added

    def status(self, numbers: Sequence[int]) -> PurgeStatus:
        """Return the state that the numbered items share."""
        return run_blocking(self.log.status, numbers)

    def start(self) -> None:
        """Begin to send in the background."""
        if self._job is None:
            self._job = spawn("tiercel-purger", self._run)

    def close(self, timeout_s: float = 10.0) -> None:
        """End the background work and give the lease back; what is stored is sent by the next process."""
        self._stopping.set()
        self._wake.set()
        if self._job is not None:
            self._job.join(timeout_s)
            self._job = None
        run_blocking(self.log.resign, self._owner)
        run_blocking(self.log.close)
        run_blocking(self.sender.close)

    def step(self) -> float:
        """Do one round and return the seconds after which the next has something to do."""
        with self._round:
            now = self._clock.wall()
            if not run_blocking(self.log.lead, self._owner, now, self.options.lease_s):
                return self.options.lease_s / 3
            if self.options.again_s is not None:
                run_blocking(self.log.wake, now)
            self._poll()
            try:
                self._send_stored()
                waits_s = self._gather()
                self._send_stored()
            finally:
                self._end_turn()
            run_blocking(self.log.forget, now - self.options.keep_s)
            return self._pause_s(waits_s)

    def spending(self) -> Spending:
        """Return what this month's purges cost so far, and the budget's state."""
        now = self._clock.wall()
        return spending(self.options.budget, run_blocking(self.log.spent, now), now)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause_s = self.step()
            except TierError as error:
                _log.warning("purging %s: %s", self.sender.capabilities.name, error)
                pause_s = self.options.retry.longest_s
            except Exception:
                # A mistake in one round must not end the sending for good: what is stored is tried again.
                _log.exception("purging %s", self.sender.capabilities.name)
                pause_s = self.options.retry.longest_s
            if not self._stopping.is_set():
                self._wake.wait_for(pause_s)

    def _poll(self) -> None:
        for batch in run_blocking(self.log.batches, "sent"):
            try:
                finished = run_blocking(self.sender.poll, batch.provider_id or "")
            except SendThrottled as error:
                self._rest(batch.tries + 1, error)
                return
            except TierError as error:
                _log.warning("asking after %s: %s", batch.reference, error)
                return
            if finished:
                gate("purge.acknowledge")
                run_blocking(self.log.done, batch.reference, self._clock.wall())

    def _send_stored(self) -> None:
        for batch in run_blocking(self.log.batches, "new"):
            if batch.not_before_s > self._clock.wall():
                continue
            if not self._is_my_turn() or self._bucket.wait_s(self._clock.monotonic()) > 0:
                return
            self._bucket.take(self._clock.monotonic())
            if not self._send(batch):
                return

    def _is_my_turn(self) -> bool:
        """Take the turn, or make sure that it is still held: it may have ended while this process slept."""
        if self._turn is None:
            return True
        now = self._clock.monotonic()
        if self._has_turn:
            self._has_turn = self._turn.keep(self._bucket, now)
            return self._has_turn
        self._turn_in_s = self._turn.take(self._bucket, now)
        self._has_turn = self._turn_in_s <= 0
        return self._has_turn

    def _end_turn(self) -> None:
        if self._turn is not None and self._has_turn:
            self._has_turn = False
            self._turn.give_back(self._bucket, self._clock.monotonic())

    def _send(self, batch: StoredBatch) -> bool:
        """Send one batch; False where the whole distribution must rest."""
        gate("purge.send")
        try:
            provider_id = run_blocking(self.sender.send, batch.reference, batch.items)
        except SendThrottled as error:
            self._postpone(batch, error, self._rest(batch.tries + 1, error))
            return False
        except SendRefused as error:
            self._refuse(batch, error)
            return error.items_at_fault
        except SendPartly as error:
            self._postpone(batch, error, self._pause(batch.tries + 1))
            return True
        except TierError as error:
            pause_s = self._pause(batch.tries + 1)
            self._bucket.rest(self._clock.monotonic() + pause_s)
            self._postpone(batch, error, pause_s)
            return False
        gate("purge.record")
        now = self._clock.wall()
        if provider_id is None:
            run_blocking(self.log.done, batch.reference, now)
        else:
            run_blocking(self.log.sent, batch.reference, provider_id, now)
        return True

    def _refuse(self, batch: StoredBatch, error: SendRefused) -> None:
        now = self._clock.wall()
        if error.items_at_fault and len(batch.items) > 1:
            run_blocking(self.log.split, batch, now)
        elif error.items_at_fault or batch.tries + 1 >= _ACCOUNT_TRIES:
            _log.error("purge parked as dead letter: %s", error)
            run_blocking(self.log.refused, batch.reference, now, str(error))
        else:
            self._postpone(batch, error, self._pause(batch.tries + 1))

    def _postpone(self, batch: StoredBatch, error: TierError, pause_s: float) -> None:
        _log.warning("purge postponed by %.1f s: %s", pause_s, error)
        run_blocking(self.log.postpone, batch.reference, self._clock.wall() + pause_s, str(error))

    def _gather(self) -> float | None:
        """Plan and store what has waited long enough; return how long the rest still waits, None where nothing does."""
        pending = run_blocking(self.log.pending, self.options.pending_max)
        if not pending:
            return None
        now = self._clock.wall()
        spent = self.spending()
        state = spent.state
        if self.on_spending is not None:
            self.on_spending(spent)
        window_s = self.options.window_s * WINDOW_FACTOR[state]
        waits_s = pending[0].created_s + window_s - now
        if waits_s > 0 and len(pending) < self.sender.capabilities.batch_items:
            return waits_s
        if state == "limit" and self.options.budget.on_limit == "ttl":
            run_blocking(
                self.log.leave_to_ttl, [row.id for row in pending], now, "the month's budget is spent"
            )
            return None
        ready = self._dropped(pending)
        planned, rows = self._plan(ready, state)
        gate("purge.store")
        if self.options.again_s is not None:  # stored first: a crash in between repeats it, and never forgets it
            firsts = [row for row in ready if not row.is_second]
            run_blocking(self.log.add_again, firsts, now + self.options.again_s)
        run_blocking(self.log.store_batches, planned.batches, rows, now)
        return self.options.poll_s if planned.deferred or len(ready) < len(pending) else None

    def _dropped(self, pending: Sequence[PendingItem]) -> list[PendingItem]:
        """
        Let the origin drop what waits for that, and return what may be sent: inner tier first, or an edge fetches the
        old copy again.
        """
        behind = [row for row in pending if row.needs_drop]
        if not behind or self._origin is None:
            return list(pending)
        try:
            items = [row.item for row in behind]
            run_blocking(self._origin.drop, with_variants(items) if self._origin.negotiates else items)
        except TierError as error:
            _log.warning("the origin did not drop %d items, they wait: %s", len(behind), error)
            return [row for row in pending if not row.needs_drop]
        run_blocking(self.log.dropped, [(row.id, row.drop_asked) for row in behind])
        return list(pending)

    def _plan(
        self, ready: Sequence[PendingItem], state: BudgetState
    ) -> tuple[Plan, dict[PurgeItem, list[PendingItem]]]:
        over = self._over_quota(ready)
        rows: dict[PurgeItem, list[PendingItem]] = {}
        for row in ready:
            rows.setdefault(row.item, []).append(row)
        in_progress = run_blocking(self.log.in_progress)
        capabilities = self.sender.capabilities
        own = {row.item for row in ready if row.tenant in over}
        first = plan([item for item in rows if item not in own], capabilities, state=state, in_progress=in_progress)
        if not own:
            return first, rows
        # A tenant beyond its quota is folded to the utmost: it pays with misses of its own, and nobody's copy stays
        # stale.
        more = type(in_progress)(in_progress.items + first.items, capabilities.prefixes_in_progress or 0)
        rest = plan(own, capabilities, state="limit", in_progress=more)
        return Plan(first.batches + rest.batches, first.deferred | rest.deferred), rows

    def _over_quota(self, ready: Sequence[PendingItem]) -> set[str]:
        quota = self.options.quota_hour
        if quota is None:
            return set()
        waiting: dict[str, int] = {}
        for row in ready:
            waiting[row.tenant] = waiting.get(row.tenant, 0) + 1
        now = self._clock.wall()
        over = set()
        for tenant, count in waiting.items():
            spent = run_blocking(self.log.spent, now, tenant=tenant, hours=1)
            if spent + count > quota:
                over.add(tenant)
        return over

    def _rest(self, tries: int, error: SendThrottled) -> float:
        pause_s = self._pause(tries)
        if error.retry_after_s is not None:  # never at once, whatever the CDN or its clock says
            pause_s = max(error.retry_after_s, self.options.retry.first_s / 2)
        self._bucket.rest(self._clock.monotonic() + pause_s)
        return pause_s

    def _pause(self, tries: int) -> float:
        return self.options.retry.pause_s(tries, secrets.randbelow(1000) / 1000)

    def _pause_s(self, waits_s: float | None) -> float:
        waits = [self.options.keep_s if waits_s is None else waits_s, self.options.lease_s / 3]
        if self.options.again_s is not None:
            waits.append(self.options.again_s)
        if run_blocking(self.log.batches, "sent"):
            waits.append(self.options.poll_s)
        stored = run_blocking(self.log.batches, "new")
        if stored:
            postponed_s = min(batch.not_before_s for batch in stored) - self._clock.wall()
            waits.append(max(self._bucket.wait_s(self._clock.monotonic()), postponed_s, self._turn_pause_s()))
        return max(0.01, min(waits))

    def _turn_pause_s(self) -> float:
        """Return when to ask for the turn again: its holder may give it back long before its time runs out."""
        return min(self._turn_in_s, _TURN_PAUSE_S)
