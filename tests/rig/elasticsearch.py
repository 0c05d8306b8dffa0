"""
A real Elasticsearch node, from the distribution that Maven Central carries for integration tests.

``tools/install_servers.py`` puts it where `elasticsearch_folder` looks. That distribution has no root page, painless or
reindex module, so ``GET /``, scripts and ``_delete_by_query`` are not served. It needs Java and refuses to run as root.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from tests.rig.process import LOOPBACK, Missing, Server, find_program, free_port

HEAP = "512m"
_JVM_OPTIONS = """\
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-Xms{heap}
-Xmx{heap}
-Djava.io.tmpdir=${{ES_TMPDIR}}
-XX:+ExitOnOutOfMemoryError
20-:--add-modules=jdk.incubator.vector
"""


def installed_servers() -> Path:
    """Return the folder of servers that no package manager installs: readable by every account where this is root."""
    if os.geteuid() == 0:
        return Path("/var/cache/tiercel-servers")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiercel-servers"


def elasticsearch_folder() -> Path:
    """Return the newest unpacked distribution."""
    found = sorted(installed_servers().glob("elasticsearch-*/bin/elasticsearch"))
    if not found:
        raise Missing("Elasticsearch is not installed (python tools/install_servers.py, with Maven and Java 17)")
    return found[-1].parent.parent


class ElasticsearchServer(Server):
    """
    A single Elasticsearch node without security, with half a gigabyte of heap.

    Disk watermarks are off, so that a full machine does not make its indexes read-only.
    """

    name = "elasticsearch"
    user = "nobody"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self._transport_port = free_port()

    @property
    def url(self) -> str:
        """``http://`` address of the node."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def version(self) -> str:
        """Engine and version."""
        nodes = self.request("GET", "/_nodes/_local?filter_path=nodes.*.version")["nodes"]
        return f"Elasticsearch {next(iter(nodes.values()))['version']}"

    def start(self) -> None:
        """Write the configuration and start: about ten seconds, mostly Java's."""
        program = elasticsearch_folder()
        java = find_program("java").resolve().parent.parent
        config = self._configure(program)
        env = {
            "ES_PATH_CONF": str(config),
            "ES_TMPDIR": str(self.folder("tmp")),
            "ES_JAVA_HOME": str(java),
            "CLI_JAVA_OPTS": "-Xms16m -Xmx64m -XX:TieredStopAtLevel=1",
            "HOME": str(self.home),
        }
        self.spawn([program / "bin" / "elasticsearch"], self._is_well, env=env, timeout_s=120)

    def _configure(self, program: Path) -> Path:
        config = self.home / "config"
        if not config.exists():
            shutil.copytree(program / "config", config)
        settings = {
            "xpack.security.enabled": False,
            "discovery.type": "single-node",
            "network.host": LOOPBACK,
            "http.port": self.port,
            "transport.port": self._transport_port,
            "path.data": str(self.folder("storage")),
            "path.logs": str(self.folder("logs")),
            "cluster.routing.allocation.disk.threshold_enabled": False,
        }
        lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
        (config / "elasticsearch.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (config / "jvm.options").write_text(_JVM_OPTIONS.format(heap=HEAP), encoding="utf-8")
        for path in (config, *config.rglob("*")):
            self.give(path)
        return config

    def _is_well(self) -> bool:
        return bool(self.request("GET", "/_cluster/health")["status"] in {"green", "yellow"})

    def restart(self) -> None:
        """Stop the node and start it with its data."""
        self.stop()
        self.start()

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send one request and return the JSON answer; raise OSError (urllib's) for an error status."""
        payload = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, payload, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def flush(self) -> None:
        """Delete every index."""
        indexes = [row["index"] for row in self.request("GET", "/_cat/indices?format=json")]
        if indexes:
            self.request("DELETE", "/" + ",".join(indexes))
