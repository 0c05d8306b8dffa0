"""
The alerter: evaluates the rules on each snapshot, groups what changed, and hands notifications to the sinks.

One notification a rule: alerts of several regions that fire within ``group_wait_s`` of each other travel together. A
firing group is sent again after ``repeat_s``, and when its members change. What is silenced is evaluated and not
sent. A sink that fails is tried again at the next evaluation; its failure is counted and logged, and stops nobody
else.

One thread or task drives it: `evaluate` is not re-entrant and blocks for as long as the sinks take (``timeout_s``
each).
"""

from __future__ import annotations

import fnmatch
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tiercel._core.alertoptions import AlertingOptions
from tiercel._core.alertrules import METRICS, AlertRule, Severity
from tiercel._core.alertstate import AlertState, next_state
from tiercel.observe.alertfigures import figures_of
from tiercel.observe.snapshot import Snapshot

__all__ = ["Alert", "Alerter", "Notification", "Silence", "Sink"]

_log = logging.getLogger("tiercel.alerts")
_POINTS_A_WINDOW = 60


@dataclass(frozen=True, slots=True)
class Alert:
    """
    One alert of one region, as it stands.

    Args:
        rule: Its rule.
        region: Empty for the whole cache.
        state: Where it stands.
        is_silenced: Whether somebody silenced it.
    """

    rule: AlertRule
    region: str
    state: AlertState
    is_silenced: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """
    What a sink sends: all alerts of one rule, firing ones and those that ended since the last time.

    Args:
        rule: The rule of them all.
        firing: Alerts that fire.
        resolved: Alerts that fired when the last notification went out, and do no longer.
        at_s: When, seconds since the epoch.
    """

    rule: AlertRule
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    at_s: float

    @property
    def status(self) -> str:
        """``firing`` or ``resolved``."""
        return "firing" if self.firing else "resolved"

    @property
    def title(self) -> str:
        """One line that says it all."""
        alerts = self.firing or self.resolved
        places = ", ".join(alert.region for alert in alerts if alert.region)
        return f"[{self.status}] {self.rule.name}" + (f" ({places})" if places else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """
    Alerts that nobody wants to hear of for a while.

    Args:
        rule: Pattern of rule names; ``*`` matches any text.
        region: Pattern of region names.
        until_s: When it ends, seconds since the epoch.
        reason: Why, and who says so.
    """

    rule: str = "*"
    region: str = "*"
    until_s: float
    reason: str = ""

    def covers(self, rule: str, region: str, now: float) -> bool:
        """Say whether an alert is silenced at *now*."""
        return now < self.until_s and fnmatch.fnmatchcase(rule, self.rule) and fnmatch.fnmatchcase(region, self.region)


class Sink(Protocol):
    """Sends notifications somewhere; blocking."""

    name: str
    least_severity: Severity
    repeat_s: float | None
    """How often a firing alert is sent again; None for the general setting."""

    def send(self, notification: Notification) -> None:
        """Send, or raise any exception to be asked again later."""


@dataclass(slots=True)
class _Group:
    """What was sent about one rule, and what waits to be sent."""

    waiting_since_s: float | None = None
    sent: dict[str, Alert] = field(default_factory=dict)
    sent_at_s: list[float] = field(default_factory=list)
    """By sink."""


class Alerter:
    """
    Evaluates rules and sends notifications.

    Args:
        rules: The rules; disabled ones are left out.
        options: Grouping and repetition.
        sinks: Where notifications go.
    """

    def __init__(self, rules: Iterable[AlertRule], options: AlertingOptions, sinks: Sequence[Sink]) -> None:
        self.rules = [rule for rule in rules if rule.enabled]
        self.silences: list[Silence] = []
        self.sink_errors = 0
        self._options = options
        self._sinks = sinks
        self._states: dict[tuple[str, str], AlertState] = {}
        self._groups = {rule.name: _Group(sent_at_s=[0.0] * len(sinks)) for rule in self.rules}
        self._unsent: dict[tuple[int, str], Notification] = {}
        longest_s = max((rule.window_s for rule in self.rules), default=0.0)
        self._history = _History(longest_s)

    def evaluate(self, now: Snapshot) -> list[Alert]:
        """Look at every rule, send what is due, and return every alert that is pending or firing."""
        self.silences = [silence for silence in self.silences if now.at_s < silence.until_s]
        alerts = [alert for rule in self.rules for alert in self._look(rule, now)]
        self._history.add(now)
        self._retry()
        for rule in self.rules:
            firing = {
                alert.region: alert
                for alert in alerts
                if alert.rule is rule and alert.state.phase == "firing" and not alert.is_silenced
            }
            self._notify(rule, firing, now.at_s)
        return alerts

    def silence(self, silence: Silence) -> None:
        """Silence alerts until ``silence.until_s``."""
        self.silences.append(silence)

    def _look(self, rule: AlertRule, now: Snapshot) -> list[Alert]:
        window = now.since(self._history.before(now.at_s - rule.window_s) or now) if _is_windowed(rule) else now
        figures = figures_of(rule, now, window)
        for name, region in self._states:
            if name == rule.name:
                figures.setdefault(region, None)  # a region that is gone ends its alert
        for region, value in figures.items():
            state = self._states.get((rule.name, region), AlertState())
            self._states[rule.name, region] = next_state(rule, state, value, now.at_s)
        return [
            Alert(rule, region, state, self._is_silenced(rule.name, region, now.at_s))
            for (name, region), state in self._states.items()
            if name == rule.name and state.phase != "inactive"
        ]

    def _is_silenced(self, rule: str, region: str, now_s: float) -> bool:
        return any(silence.covers(rule, region, now_s) for silence in self.silences)

    def _notify(self, rule: AlertRule, firing: dict[str, Alert], now_s: float) -> None:
        group = self._groups[rule.name]
        if firing.keys() == group.sent.keys():
            group.waiting_since_s = None
            if firing:
                self._repeat(group, Notification(rule, tuple(firing.values()), (), now_s))
            return
        if group.waiting_since_s is None:
            group.waiting_since_s = now_s
        has_new = not firing.keys() <= group.sent.keys()
        if has_new and now_s - group.waiting_since_s < self._options.group_wait_s:
            return  # others of this rule may follow within moments
        resolved = tuple(alert for region, alert in group.sent.items() if region not in firing)
        notification = Notification(rule, tuple(firing.values()), resolved, now_s)
        for number in range(len(self._sinks)):
            self._send(number, notification)
        group.sent, group.waiting_since_s = dict(firing), None
        group.sent_at_s = [now_s] * len(self._sinks)

    def _repeat(self, group: _Group, notification: Notification) -> None:
        for number, sink in enumerate(self._sinks):
            repeat_s = self._options.repeat_s if sink.repeat_s is None else sink.repeat_s
            if notification.at_s - group.sent_at_s[number] >= repeat_s:
                self._send(number, notification)
                group.sent_at_s[number] = notification.at_s

    def _retry(self) -> None:
        unsent, self._unsent = self._unsent, {}
        for (number, _), notification in unsent.items():
            self._send(number, notification)

    def _send(self, number: int, notification: Notification) -> None:
        """Send to one sink; a notification that fails waits, until a newer one of its rule takes its place."""
        sink = self._sinks[number]
        if _RANK[notification.rule.severity] < _RANK[sink.least_severity]:
            return
        self._unsent.pop((number, notification.rule.name), None)
        try:
            sink.send(notification)
        except Exception as error:  # a sink that is down must not stop the others, nor the evaluation
            self.sink_errors += 1
            self._unsent[number, notification.rule.name] = notification
            _log.warning("alert sink %s failed, it is tried again: %s", sink.name, error)


_RANK: dict[str, int] = {"info": 0, "warning": 1, "critical": 2}


def _is_windowed(rule: AlertRule) -> bool:
    return METRICS[rule.metric].is_windowed


class _History:
    """Snapshots of the longest window, at most `_POINTS_A_WINDOW` of them."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._snapshots: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Keep *snapshot*, unless the last one kept is too near to it."""
        if self._snapshots and snapshot.at_s - self._snapshots[-1].at_s < self._longest_s / _POINTS_A_WINDOW:
            return
        self._snapshots.append(snapshot)
        while len(self._snapshots) > 1 and self._snapshots[1].at_s <= snapshot.at_s - self._longest_s:
            self._snapshots.popleft()

    def before(self, at_s: float) -> Snapshot | None:
        """Return the youngest snapshot that is not younger than *at_s*, else the oldest there is."""
        found = None
        for snapshot in self._snapshots:
            if snapshot.at_s > at_s:
                break
            found = snapshot
        return found or (self._snapshots[0] if self._snapshots else None)
