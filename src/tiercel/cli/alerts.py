"""
``tiercel alerts``: test the sinks, list the rules, export them for Prometheus, write a Grafana dashboard.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from tiercel._core.alertoptions import SinkOptions
from tiercel._core.alertrules import METRICS, AlertRule
from tiercel._core.alertstate import AlertState
from tiercel.cli._exits import DONE, NO
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.cli.check import alert_table
from tiercel.observe.alerting import Alert, Notification, Sink
from tiercel.observe.grafana import dashboard
from tiercel.observe.promrules import prometheus_rules
from tiercel.observe.sinks import make_sink

__all__ = ["command"]

_FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
_OUTPUT = click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")


@click.group("alerts")
def command() -> None:
    """Work with the alert rules of a matrix FILE, or with the built-in ones."""


@command.command("list")
@_FILE
@json_option
def list_rules(file: Path | None, as_json: bool) -> None:
    """Show every rule and what it watches."""
    matrix = load_matrix(file)
    if as_json:
        print_json([_as_json(rule) for rule in matrix.alerts])
    else:
        print_table(alert_table(matrix.alerts))


@command.command("test")
@_FILE
@json_option
def test_sinks(file: Path | None, as_json: bool) -> int:
    """Send a test alert, and its end, to every sink; exit code 1 where one does not take it."""
    options = load_matrix(file).alerting.sinks or (SinkOptions(kind="log"),)
    results = [_try(make_sink(one)) for one in options]
    if as_json:
        print_json({"ok": all(error is None for _, error in results), "sinks": dict(results)})
    else:
        for name, error in results:
            click.echo(f"{'failed' if error else 'sent  '}  {name}{f': {error}' if error else ''}")
    return NO if any(error for _, error in results) else DONE


@command.command("prometheus")
@_FILE
@_OUTPUT
@click.option("--interval", "interval_s", type=float, help="Seconds between evaluations, instead of the file's.")
def export_prometheus(file: Path | None, output: Path | None, interval_s: float | None) -> None:
    """Write the rules as a Prometheus rule file."""
    matrix = load_matrix(file)
    _write(prometheus_rules(matrix.alerts, interval_s=interval_s or matrix.alerting.interval_s), output)


@command.command("grafana")
@_OUTPUT
def export_grafana(output: Path | None) -> None:
    """Write a Grafana dashboard of every exported metric that matters."""
    _write(json.dumps(dashboard(), indent=2) + "\n", output)


def _try(sink: Sink) -> tuple[str, str | None]:
    """Send a test alert and its end; return the sink's name and what went wrong."""
    progress(f"sending to {sink.name}")
    rule = AlertRule(
        name="TiercelTest",
        metric="hit_rate",
        below=0.5,
        severity="critical",
        summary="A test sent by `tiercel alerts test`; nothing is wrong",
    )
    now_s = time.time()
    alert = Alert(rule, "", AlertState("firing", now_s, 0.42))
    try:
        sink.send(Notification(rule, (alert,), (), now_s))
        sink.send(Notification(rule, (), (alert,), now_s))
    except Exception as error:  # whatever a sink raises is this command's answer
        return sink.name, f"{type(error).__name__}: {error}"
    return sink.name, None


def _as_json(rule: AlertRule) -> dict[str, object]:
    side = "above" if rule.above is not None else "below"
    return {
        "name": rule.name,
        "metric": rule.metric,
        side: rule.threshold,
        "clear": rule.clear,
        "for_s": rule.for_s,
        "window_s": rule.window_s,
        "region": rule.region,
        "severity": rule.severity,
        "enabled": rule.enabled,
        "unit": METRICS[rule.metric].unit,
        "summary": rule.summary,
    }


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
        progress(f"wrote {output}")
