"""
The monitor: a background thread that samples the figures, keeps the time series and drives the alerts.

It serves both façades alike, because everything it does is synchronous and short. A sample that fails is logged and
counted, and the next one is taken as if nothing had happened.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Self

from tiercel._core.alertoptions import AlertingOptions, SinkOptions
from tiercel._core.alertrules import AlertRule
from tiercel.observe.alerting import Alert, Alerter
from tiercel.observe.sinks import make_sink
from tiercel.observe.snapshot import Snapshot
from tiercel.observe.timeline import Timeline

__all__ = ["Monitor"]

_log = logging.getLogger("tiercel.observe")
_TIMELINE_S = 10.0


class Monitor:
    """
    Samples in the background between `start` and `stop`; also a context manager.

    Args:
        take: Returns a fresh snapshot; called on the monitor's thread.
        rules: Alert rules.
        options: How alerts are sent; without sinks they go to the log.
        publish: Called with each snapshot, for example `SharedFigures.publish`.

    Attributes:
        timeline: The figures of the last day.
        alerter: Rules, silences and their state.
        failures: Samples that failed.
    """

    def __init__(
        self,
        take: Callable[[], Snapshot],
        rules: Sequence[AlertRule] = (),
        options: AlertingOptions | None = None,
        *,
        publish: Callable[[Snapshot], None] | None = None,
    ) -> None:
        options = options or AlertingOptions()
        self.timeline = Timeline()
        self.alerter = Alerter(rules, options, [make_sink(one) for one in options.sinks or (SinkOptions(kind="log"),)])
        self.failures = 0
        self._take = take
        self._publish = publish
        self._interval_s = min(options.interval_s, _TIMELINE_S)
        self._alerts: list[Alert] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Take the first sample now and the others in the background; calling twice is harmless."""
        if self._thread is None:
            self._stopped.clear()
            self.sample()
            self._thread = threading.Thread(target=self._run, name="tiercel-monitor", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread, waiting up to *timeout_s* for a sink that is just being sent to."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def sample(self) -> None:
        """Take one sample; never raises."""
        try:
            snapshot = self._take()
            self.timeline.add(snapshot)
            self._alerts = self.alerter.evaluate(snapshot)
            if self._publish is not None:
                self._publish(snapshot)
        except Exception:  # the next sample may well succeed, and nobody waits for this one
            self.failures += 1
            _log.exception("a sample of the figures failed")

    def alerts(self) -> list[Alert]:
        """Return the alerts that were pending or firing at the last sample."""
        return list(self._alerts)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self.sample()
