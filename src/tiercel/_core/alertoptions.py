"""
Where alerts are sent, and how often: the options of notifications.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tiercel._core.alertrules import Severity
from tiercel.options import require

__all__ = ["AlertingOptions", "SinkKind", "SinkOptions"]

SinkKind: TypeAlias = Literal["log", "webhook", "slack", "smtp", "alertmanager"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """
    One place that alerts are sent to.

    Args:
        kind: ``log`` (Python logging), ``webhook`` (JSON by POST), ``slack`` (Slack's webhook format, which Mattermost
            and others read), ``smtp`` (e-mail) or ``alertmanager`` (Prometheus Alertmanager's API).
        url: Of the webhook or Alertmanager; for ``smtp`` ``smtp://[user:pass@]host[:port]``, ``smtps://`` for TLS.
        sender: Address that e-mail comes from.
        recipients: Addresses that e-mail goes to.
        least_severity: Alerts below this severity are not sent here.
        timeout_s: Longest time that one try may take.
    """

    kind: SinkKind
    url: str | None = field(default=None, repr=False)  # a webhook's URL is a secret
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    least_severity: Severity = "info"
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        where = f"alert sink {self.kind!r}: "
        require((self.kind == "log") == (self.url is None), f"{where}url must be set, except for kind 'log'")
        require(
            self.kind != "smtp" or (self.sender is not None and bool(self.recipients)),
            f"{where}sender={self.sender} and recipients={list(self.recipients)} must both be set",
        )
        require(
            self.kind == "smtp" or (self.sender is None and not self.recipients),
            f"{where}sender and recipients are only for kind 'smtp'",
        )
        schemes = ("smtp://", "smtps://") if self.kind == "smtp" else ("http://", "https://", "${")
        require(
            self.url is None or self.url.startswith((*schemes, "${")),
            f"{where}url must begin with {' or '.join(schemes[:2])}",
        )
        require(self.timeout_s > 0, f"{where}timeout={self.timeout_s}: must be greater than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingOptions:
    """
    How alerts become notifications.

    Args:
        interval_s: How often the rules are evaluated.
        group_wait_s: How long a first alert waits for others of its rule, so that one message tells of all.
        repeat_s: A firing alert is sent again after this long.
        sinks: Where notifications go; none means the log.
    """

    interval_s: float = 15.0
    group_wait_s: float = 10.0
    repeat_s: float = 4 * 3600.0
    sinks: tuple[SinkOptions, ...] = ()

    def __post_init__(self) -> None:
        require(self.interval_s > 0, f"alerting interval={self.interval_s}: must be greater than 0")
        require(self.group_wait_s >= 0, f"alerting group_wait={self.group_wait_s}: must not be negative")
        require(
            self.repeat_s > self.interval_s,
            f"alerting repeat={self.repeat_s} must exceed interval={self.interval_s}",
        )
