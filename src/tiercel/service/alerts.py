"""
Alerts as an operator sees them, and silences, which the monitor's own thread takes up at its next sample.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec

from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.observe.alerting import Alert, Silence
from tiercel.observe.monitor import Monitor
from tiercel.observe.snapshot import Snapshot

__all__ = ["AlertView", "Alerts", "AlertsView", "SilenceRequest", "SilenceView"]

LONGEST_SILENCE_S = 30 * 86_400.0


class SilenceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts that nobody is to be told of: patterns of rule and region names, and for how many seconds."""

    rule: str = "*"
    region: str = "*"
    duration_s: float = 3600.0
    reason: str = ""


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, and where it stands in one region; ``phase`` is ``inactive``, ``pending`` or ``firing``."""

    rule: str
    severity: str
    metric: str
    region: str
    phase: str
    since_s: float = 0.0
    value: float | None = None
    is_silenced: bool = False


class SilenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One silence and when it ends, seconds since the epoch."""

    rule: str
    region: str
    until_s: float
    reason: str


class AlertsView(msgspec.Struct, frozen=True, kw_only=True):
    """Pending and firing alerts first, then the rules that are quiet; and the silences."""

    alerts: list[AlertView]
    silences: list[SilenceView]


class Alerts:
    """
    The monitor of a cache, and the silences asked for.

    Args:
        take: Returns a fresh snapshot; called on the monitor's thread.
        matrix: Rules and where alerts are sent.
    """

    def __init__(self, take: Callable[[], Snapshot], matrix: Matrix) -> None:
        self._take = take
        self._asked: deque[Silence] = deque()
        self.monitor = Monitor(self._sample, matrix.alerts, matrix.alerting)

    def _sample(self) -> Snapshot:
        while self._asked:
            self.monitor.alerter.silence(self._asked.popleft())
        return self._take()

    def view(self) -> AlertsView:
        """Return alerts and silences as of the last sample."""
        active = [_active(alert) for alert in self.monitor.alerts()]
        busy = {alert.rule for alert in active}
        quiet = [
            AlertView(rule=rule.name, severity=rule.severity, metric=rule.metric, region=rule.region, phase="inactive")
            for rule in self.monitor.alerter.rules
            if rule.name not in busy
        ]
        silences = [*self.monitor.alerter.silences, *self._asked]
        return AlertsView(
            alerts=sorted(active, key=lambda alert: alert.phase) + quiet,
            silences=[
                SilenceView(rule=one.rule, region=one.region, until_s=one.until_s, reason=one.reason)
                for one in silences
            ],
        )

    def silence(self, asked: SilenceRequest, by: str) -> SilenceView:
        """Silence alerts from the next sample on; raises ConfigurationError for a duration that is none."""
        if not 0 < asked.duration_s <= LONGEST_SILENCE_S:
            raise ConfigurationError(f"duration_s={asked.duration_s}: must lie in (0, {LONGEST_SILENCE_S:g}]")
        until_s = time.time() + asked.duration_s
        reason = f"{asked.reason} ({by})".strip()
        self._asked.append(Silence(rule=asked.rule, region=asked.region, until_s=until_s, reason=reason))
        return SilenceView(rule=asked.rule, region=asked.region, until_s=until_s, reason=reason)


def _active(alert: Alert) -> AlertView:
    return AlertView(
        rule=alert.rule.name,
        severity=alert.rule.severity,
        metric=alert.rule.metric,
        region=alert.region,
        phase=alert.state.phase,
        since_s=alert.state.since_s,
        value=alert.state.value,
        is_silenced=alert.is_silenced,
    )
