"""
The AWS emulator ``moto``, for S3 and CloudFront's control plane. It serves nothing at an edge and knows no quotas.
"""

from __future__ import annotations

import importlib.util
import sys
import urllib.request

from tests.rig.process import LOOPBACK, Missing, Server, accepts, free_port


class MotoServer(Server):
    """One moto server for every AWS service; any credentials are accepted."""

    name = "moto"
    region = "us-east-1"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    @property
    def url(self) -> str:
        """Endpoint address for boto3's ``endpoint_url``."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def version(self) -> str:
        """The emulator's version."""
        import moto

        return f"moto {moto.__version__}"

    def start(self) -> None:
        """Start it and wait for its port: about two seconds, mostly imports."""
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
            raise Missing("moto is not installed (pip install moto[server])")
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]
        self.spawn(command, lambda: accepts(self.port), env={"PYTHONWARNINGS": ""}, timeout_s=60)

    def flush(self) -> None:
        """Delete every bucket and distribution."""
        request = urllib.request.Request(self.url + "/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).close()
