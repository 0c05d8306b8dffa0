"""
A light search server that speaks OpenSearch's protocol: the in-memory emulator of the ``osmem-server`` wheel.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.rig.process import LOOPBACK, Missing, Server, accepts, free_port


def osmem_binary() -> Path:
    """Return the emulator's program."""
    spec = importlib.util.find_spec("osmem_server")
    if spec and spec.origin:
        return Path(spec.origin).parent / "bin" / "osmem-server"
    raise Missing("osmem-server is not installed (pip install osmem-server)")


class OpenSearchServer(Server):
    """The emulator: starts in milliseconds, no refresh delay, nothing on disk. Use opensearch-py with it."""

    name = "opensearch"
    version = "osmem (an emulator of OpenSearch)"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    @property
    def url(self) -> str:
        """``http://`` address."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start it and wait for its port."""
        self.spawn([osmem_binary(), "-no-stdin-watch", "-addr", f"{LOOPBACK}:{self.port}"], lambda: accepts(self.port))
