"""
A Varnish edge in front of a scripted origin, with surrogate keys (xkey), soft purges and bans.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.rig.origin import OriginServer
from tests.rig.process import (
    LOOPBACK,
    Server,
    Unavailable,
    accepts,
    find_program,
    free_port,
)

DEFAULT_VCL = Path(__file__).with_name("edge.vcl")


class VarnishServer(Server):
    """
    A Varnish instance with its own `origin`.

    Args:
        vcl: Text of the VCL; ``{backend_port}`` in it becomes the origin's port. By default ``edge.vcl`` beside this:
            ``PURGE`` and ``SOFTPURGE`` by ``Surrogate-Key`` (``PURGE`` without it: that URL), ``BAN`` by ``X-Ban``.
    """

    name = "varnish"

    def __init__(self, vcl: str | None = None) -> None:
        super().__init__()
        self.port = free_port()
        self.admin_port = free_port()
        self.origin = OriginServer()
        self._vcl = DEFAULT_VCL.read_text(encoding="utf-8") if vcl is None else vcl

    @property
    def url(self) -> str:
        """``http://`` address of the edge."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def version(self) -> str:
        """Engine and version, as the program says."""
        done = subprocess.run([find_program("varnishd"), "-V"], capture_output=True, text=True, check=True)
        return done.stderr.split("(")[1].split(" ")[0].replace("varnish-", "Varnish ")

    def start(self) -> None:
        """Start the origin, compile the VCL (about a second) and start the edge."""
        program = find_program("varnishd")
        self.origin.__enter__()
        path = self.home / "edge.vcl"
        path.write_text(self._vcl.replace("{backend_port}", str(self.origin.port)), encoding="utf-8")
        self.home.chmod(0o755)  # Varnish compiles and serves as accounts of its own
        work = ("-n", str(self.home / "work"), "-f", str(path), "-s", "malloc,64m", "-P", str(self.home / "pid"))
        listen = ("-F", "-a", f"{LOOPBACK}:{self.port}", "-T", f"{LOOPBACK}:{self.admin_port}")
        self.spawn([program, *listen, *work, "-p", "ban_lurker_sleep=0.01"], lambda: accepts(self.port))

    def stop(self) -> None:
        """Stop the edge and its origin."""
        is_started = bool(self.processes)
        super().stop()
        if is_started:
            self.origin.__exit__(None, None, None)

    def admin(self, *words: str) -> str:
        """Run one varnishadm command and return what it prints."""
        command = [str(find_program("varnishadm")), "-n", str(self.home / "work"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        if done.returncode:
            raise Unavailable(f"varnishadm {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def flush(self) -> None:
        """Make every stored object unusable and forget what the origin knows."""
        self.admin("ban", "obj.status != 0")
        self.origin.flush()
