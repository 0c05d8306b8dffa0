"""
Prometheus and Alertmanager, Debian's, on loopback.
"""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from tests.rig.process import LOOPBACK, Server, find_program, free_port


def _is_ready(url: str) -> bool:
    with urllib.request.urlopen(url + "/-/ready", timeout=2) as answer:
        return bool(answer.status == 200)


def _version(program: str) -> str:
    done = subprocess.run([find_program(program), "--version"], capture_output=True, text=True, check=True)
    words = (done.stdout or done.stderr).split()
    return f"{words[0].removesuffix(',').capitalize()} {words[2].split('+')[0]}"


class PrometheusServer(Server):
    """
    A Prometheus that scrapes every half second what `configure` gave it.
    """

    name = "prometheus"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    @property
    def url(self) -> str:
        """``http://`` address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def version(self) -> str:
        """Engine and version, as the program says."""
        return _version("prometheus")

    def start(self) -> None:
        """Start it without targets."""
        program = find_program("prometheus")
        self._write((), "", ())
        place = (f"--web.listen-address={LOOPBACK}:{self.port}", f"--storage.tsdb.path={self.home / 'tsdb'}")
        command = [str(program), *place, f"--config.file={self.home / 'prometheus.yml'}", "--web.enable-lifecycle"]
        self.spawn(command, lambda: _is_ready(self.url))

    def configure(self, targets: Sequence[str] = (), rules: str = "", alertmanagers: Sequence[str] = ()) -> None:
        """From now on scrape *targets* (``host:port``), evaluate *rules* (a rule file's text), tell *alertmanagers*."""
        self._write(targets, rules, alertmanagers)
        request = urllib.request.Request(self.url + "/-/reload", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def _write(self, targets: Sequence[str], rules: str, alertmanagers: Sequence[str]) -> None:
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"},
            "scrape_configs": [{"job_name": "tiercel", "static_configs": [{"targets": list(targets)}]}],
            "rule_files": ["rules.yml"] if rules else [],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        }
        (self.home / "rules.yml").write_text(rules, encoding="utf-8")
        (self.home / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def flush(self) -> None:
        """Forget targets, rules and receivers; samples stay."""
        self.configure()


class AlertmanagerServer(Server):
    """
    An Alertmanager that groups for a tenth of a second and sends to what `configure` gave it.
    """

    name = "alertmanager"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    @property
    def url(self) -> str:
        """``http://`` address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def version(self) -> str:
        """Engine and version, as the program says."""
        return _version("prometheus-alertmanager")

    def start(self) -> None:
        """Start it without a receiver."""
        program = find_program("prometheus-alertmanager", "alertmanager")
        self._write(None)
        place = (f"--web.listen-address={LOOPBACK}:{self.port}", f"--storage.path={self.home / 'storage'}")
        command = [str(program), *place, "--cluster.listen-address=", f"--config.file={self.home / 'alertmanager.yml'}"]
        self.spawn(command, lambda: _is_ready(self.url))

    def configure(self, webhook_url: str | None) -> None:
        """Send every alert to *webhook_url* from now on; ``None`` sends nowhere."""
        self._write(webhook_url)
        self.processes[0].send(signal.SIGHUP)

    def _write(self, webhook_url: str | None) -> None:
        receiver: dict[str, Any] = {"name": "rig"}
        if webhook_url:
            receiver["webhook_configs"] = [{"url": webhook_url}]
        route = {"receiver": "rig", "group_wait": "100ms", "group_interval": "100ms", "repeat_interval": "1h"}
        config = {"route": route, "receivers": [receiver]}
        (self.home / "alertmanager.yml").write_text(json.dumps(config), encoding="utf-8")

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it holds."""
        with urllib.request.urlopen(self.url + "/api/v2/alerts", timeout=10) as answer:
            held: list[dict[str, Any]] = json.load(answer)
        return held
