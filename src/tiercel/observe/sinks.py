"""
Sinks: where notifications go. Log, webhook, Slack's format, e-mail, and Prometheus Alertmanager.

All are blocking with a timeout, use the standard library alone, and raise on failure so that the alerter tries again.
"""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from tiercel._core.alertoptions import SinkOptions
from tiercel._core.alertrules import METRICS, Severity
from tiercel.errors import ConfigurationError
from tiercel.observe.alerting import Alert, Notification, Sink

__all__ = ["AlertmanagerSink", "LogSink", "SlackSink", "SmtpSink", "WebhookSink", "make_sink"]

_log = logging.getLogger("tiercel.alerts")
_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HOLDS_S: Final = 240.0
_COLOURS: Final = {"info": "#439fe0", "warning": "#daa038", "critical": "#a30200"}


def make_sink(options: SinkOptions) -> Sink:
    """Return the sink that *options* describe."""
    return _SINKS[options.kind](options)


class LogSink:
    """Writes notifications to the logger ``tiercel.alerts``, at a level that fits the severity."""

    def __init__(self, options: SinkOptions) -> None:
        self.name = "log"
        self.least_severity: Severity = options.least_severity
        self.repeat_s: float | None = None

    def send(self, notification: Notification) -> None:
        """Log it."""
        level = _LEVELS[notification.rule.severity] if notification.firing else logging.INFO
        _log.log(level, "%s", "\n".join([notification.title, *_lines(notification)]))


class _HttpSink:
    """What the sinks that POST JSON share."""

    def __init__(self, options: SinkOptions) -> None:
        self.url = options.url or ""
        self.name = f"{options.kind} at {urlsplit(self.url).hostname}"
        self.least_severity: Severity = options.least_severity
        self.repeat_s: float | None = None
        self._timeout_s = options.timeout_s

    def _post(self, url: str, body: Any) -> None:
        request = urllib.request.Request(
            url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
            response.read()


class WebhookSink(_HttpSink):
    """POSTs the notification as one JSON object."""

    def send(self, notification: Notification) -> None:
        """POST it; an answer other than 2xx raises."""
        rule = notification.rule
        self._post(
            self.url,
            {
                "status": notification.status,
                "rule": rule.name,
                "severity": rule.severity,
                "metric": rule.metric,
                "threshold": rule.threshold,
                "summary": rule.summary,
                "at": _iso(notification.at_s),
                "firing": [_alert_json(alert) for alert in notification.firing],
                "resolved": [_alert_json(alert) for alert in notification.resolved],
            },
        )


class SlackSink(_HttpSink):
    """POSTs Slack's attachment format, which Mattermost, Rocket.Chat and others read too."""

    def send(self, notification: Notification) -> None:
        """POST it; an answer other than 2xx raises."""
        colour = _COLOURS[notification.rule.severity] if notification.firing else "#2eb886"
        text = "\n".join(_lines(notification))
        attachment = {"color": colour, "title": notification.title, "text": text, "ts": int(notification.at_s)}
        self._post(self.url, {"text": notification.title, "attachments": [attachment]})


class AlertmanagerSink(_HttpSink):
    """
    POSTs to Alertmanager's API v2, which does its own grouping and silencing.

    A firing alert is sent every minute with an end four minutes ahead, so that Alertmanager ends it by itself where
    this process dies.
    """

    def __init__(self, options: SinkOptions) -> None:
        super().__init__(options)
        self.repeat_s = 60.0

    def send(self, notification: Notification) -> None:
        """POST it; an answer other than 2xx raises."""
        firing = [self._alert(notification, alert, notification.at_s + _HOLDS_S) for alert in notification.firing]
        resolved = [self._alert(notification, alert, notification.at_s) for alert in notification.resolved]
        self._post(f"{self.url.rstrip('/')}/api/v2/alerts", firing + resolved)

    def _alert(self, notification: Notification, alert: Alert, ends_at_s: float) -> dict[str, Any]:
        rule = notification.rule
        labels = {"alertname": rule.name, "severity": rule.severity, "service": "tiercel"}
        if alert.region:
            labels["region"] = alert.region
        return {
            "labels": labels,
            "annotations": {"summary": rule.summary or METRICS[rule.metric].meaning, "description": _line(alert)},
            "startsAt": _iso(alert.state.since_s),
            "endsAt": _iso(ends_at_s),
        }


class SmtpSink:
    """Sends e-mail, encrypted where the server can; a password is never sent in the clear, except to this machine."""

    def __init__(self, options: SinkOptions) -> None:
        parts = urlsplit(options.url or "")
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (465 if self._is_tls else 25)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender, self._recipients = options.sender or "", options.recipients
        self._timeout_s = options.timeout_s
        self.name = f"smtp at {self._host}"
        self.least_severity: Severity = options.least_severity
        self.repeat_s: float | None = None

    def send(self, notification: Notification) -> None:
        """Send one message to all recipients; a refusal raises."""
        message = EmailMessage()
        message["Subject"] = notification.title
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message.set_content("\n".join(_lines(notification)))
        with self._connect() as server:
            is_encrypted = self._is_tls or self._upgraded(server)
            if self._user:
                if not (is_encrypted or self._host in _LOOPBACK):
                    raise ConfigurationError(
                        f"{self.name} offers no encryption, the password was not sent: use smtps://"
                    )
                server.login(self._user, self._password)
            server.send_message(message)

    def _upgraded(self, server: smtplib.SMTP) -> bool:
        """Encrypt the connection where the server offers it; return whether it did."""
        server.ehlo()
        if not server.has_extn("starttls"):
            return False
        server.starttls(context=ssl.create_default_context())
        return True

    def _connect(self) -> smtplib.SMTP:
        if self._is_tls:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)


_SINKS: Final[dict[str, Callable[[SinkOptions], Sink]]] = {
    "log": LogSink,
    "webhook": WebhookSink,
    "slack": SlackSink,
    "smtp": SmtpSink,
    "alertmanager": AlertmanagerSink,
}


def _lines(notification: Notification) -> list[str]:
    lines = [f"{_line(alert)} since {_iso(alert.state.since_s)}" for alert in notification.firing]
    lines += [f"ended: {alert.region or 'the whole cache'}" for alert in notification.resolved]
    return [*lines, notification.rule.summary] if notification.rule.summary else lines


def _line(alert: Alert) -> str:
    rule = alert.rule
    side = "above" if rule.above is not None else "below"
    value = "unknown" if alert.state.value is None else f"{alert.state.value:.4g}"
    return f"{alert.region or 'the whole cache'}: {rule.metric} is {value}, {side} {rule.threshold:g}"


def _alert_json(alert: Alert) -> dict[str, Any]:
    return {"region": alert.region, "value": alert.state.value, "since": _iso(alert.state.since_s)}


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
