"""The sinks, each against a server of its kind: what arrives, what fails, and that secrets stay out of names."""

from __future__ import annotations

import json
import logging
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.rig.prometheus import AlertmanagerServer
from tiercel._core.alertoptions import SinkOptions
from tiercel._core.alertrules import AlertRule
from tiercel._core.alertstate import AlertState
from tiercel.errors import ConfigurationError
from tiercel.observe.alerting import Alert, Notification
from tiercel.observe.sinks import make_sink

RULE = AlertRule(
    name="JournalLag",
    metric="journal_lag",
    above=60,
    region="*",
    severity="critical",
    summary="Look at the store",
)
NOW_S = 1_800_000_000.0
FIRING = Alert(RULE, "profile", AlertState("firing", NOW_S - 90, 75.25))
ENDED = Alert(RULE, "orders", AlertState("firing", NOW_S - 500, 61.0))
NOTIFICATION = Notification(RULE, (FIRING,), (ENDED,), NOW_S)


class Receiver:
    """An HTTP server that remembers what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.bodies.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/canary"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class MailHandler(socketserver.StreamRequestHandler):
    """Speaks enough SMTP to take one message."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    mail += part
                self.server.mails.append(mail.decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


@pytest.fixture
def mail_server() -> Iterator[socketserver.TCPServer]:
    server = socketserver.TCPServer(("127.0.0.1", 0), MailHandler)
    server.mails = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tiercel.alerts"):
        make_sink(SinkOptions(kind="log")).send(NOTIFICATION)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message.splitlines() == [
        "[firing] JournalLag (profile)",
        "profile: journal_lag is 75.25, above 60 since 2027-01-15T07:58:30.000Z",
        "ended: orders",
        "Look at the store",
    ]


def test_a_webhook(receiver: Receiver) -> None:
    make_sink(SinkOptions(kind="webhook", url=receiver.url)).send(NOTIFICATION)
    (body,) = receiver.bodies
    assert (body["status"], body["rule"], body["severity"], body["threshold"]) == (
        "firing",
        "JournalLag",
        "critical",
        60,
    )
    assert body["firing"] == [{"region": "profile", "value": 75.25, "since": "2027-01-15T07:58:30.000Z"}]
    assert [alert["region"] for alert in body["resolved"]] == ["orders"]


def test_slack(receiver: Receiver) -> None:
    sink = make_sink(SinkOptions(kind="slack", url=receiver.url))
    sink.send(NOTIFICATION)
    sink.send(Notification(RULE, (), (ENDED,), NOW_S))
    colours = [body["attachments"][0]["color"] for body in receiver.bodies]
    assert colours == ["#a30200", "#2eb886"]
    assert receiver.bodies[1]["text"] == "[resolved] JournalLag (orders)"


def test_a_refusal_raises_and_the_name_keeps_the_secret(receiver: Receiver) -> None:
    receiver.status = 500
    sink = make_sink(SinkOptions(kind="webhook", url=receiver.url))
    with pytest.raises(HTTPError) as caught:
        sink.send(NOTIFICATION)
    caught.value.close()
    assert sink.name == "webhook at 127.0.0.1"
    assert "canary" not in repr(SinkOptions(kind="webhook", url=receiver.url))


def test_mail(mail_server: socketserver.TCPServer) -> None:
    options = SinkOptions(
        kind="smtp",
        url=f"smtp://127.0.0.1:{mail_server.server_address[1]}",
        sender="cache@example.com",
        recipients=("ops@example.com", "night@example.com"),
    )
    make_sink(options).send(NOTIFICATION)
    (mail,) = mail_server.mails  # type: ignore[attr-defined]
    assert "Subject: [firing] JournalLag (profile)" in mail
    assert "To: ops@example.com, night@example.com" in mail
    assert "journal_lag is 75.25, above 60" in mail


def test_a_password_is_not_sent_in_the_clear(
    mail_server: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiercel.observe.sinks._LOOPBACK", frozenset())
    options = SinkOptions(
        kind="smtp",
        url=f"smtp://u:canary@127.0.0.1:{mail_server.server_address[1]}",
        sender="cache@example.com",
        recipients=("ops@example.com",),
    )
    with pytest.raises(ConfigurationError, match="offers no encryption, the password was not sent"):
        make_sink(options).send(NOTIFICATION)
    assert mail_server.mails == []  # type: ignore[attr-defined]


def test_a_real_alertmanager(alertmanager_server: AlertmanagerServer) -> None:
    now_s = time.time()
    alert = Alert(RULE, "profile", AlertState("firing", now_s - 90, 75.25))
    sink = make_sink(SinkOptions(kind="alertmanager", url=alertmanager_server.url))
    sink.send(Notification(RULE, (alert,), (), now_s))
    (held,) = [one for one in alertmanager_server.alerts() if one["labels"].get("service") == "tiercel"]
    assert held["labels"] == {
        "alertname": "JournalLag",
        "severity": "critical",
        "region": "profile",
        "service": "tiercel",
    }
    assert held["annotations"]["summary"] == "Look at the store"
    assert held["status"]["state"] in {"active", "unprocessed"}
    sink.send(Notification(RULE, (), (alert,), now_s))
    assert not [one for one in alertmanager_server.alerts() if one["labels"].get("service") == "tiercel"]
