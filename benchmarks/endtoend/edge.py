"""
Requests a second on a hit: ``python -m benchmarks.endtoend.edge --json``.

The same page of 8 KB from the bare application, from the application behind the middleware and behind the embedded
edge (one Python process each, with uvicorn), and from Varnish in front of the bare application. ``wrk`` drives each in
turn over loopback, every variant three times; the median counts. Client and servers share the machine's cores; what a
busy neighbour cannot spoil is the processor time that the server spends on a request, its backend's not included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
APPS = ("bare", "middleware", "edge")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_COUNT = re.compile(r"(\d+) requests in")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def measure(seconds: float, connections: int, rounds: int) -> dict[str, Any]:
    """Return rates and latencies by variant."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_application(name)) for name in APPS}
        if shutil.which("varnishd", path=os.environ.get("PATH", "") + ":/usr/sbin"):
            servers["varnish"] = stack.enter_context(_varnish(servers["bare"].port))
        runs: dict[str, list[Run]] = {name: [] for name in servers}
        for _ in range(rounds):  # in turn, so that a busy neighbour is everybody's neighbour
            for name, server in servers.items():
                runs[name].append(_wrk(server, seconds, connections))
    rates = {name: round(median(run.rate for run in figures)) for name, figures in runs.items()}
    return {
        "connections": connections,
        "seconds": seconds,
        "rounds": rounds,
        "requests_per_s": rates,
        "p99_ms": {name: round(median(run.p99_ms for run in figures), 2) for name, figures in runs.items()},
        "cpu_us": {name: round(median(run.cpu_us for run in figures), 1) for name, figures in runs.items()},
        "times_bare": {name: round(rate / rates["bare"], 2) for name, rate in rates.items()},
    }


class Server(NamedTuple):
    """A server under test: where it listens, and the process that serves, with its children."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time spent so far."""
        return sum(_cpu_s(pid) for pid in (self.pid, *_children(self.pid)))


class Run(NamedTuple):
    """What one run of the load generator showed."""

    rate: float
    p99_ms: float
    cpu_us: float


def _wrk(server: Server, seconds: float, connections: int) -> Run:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", f"http://127.0.0.1:{server.port}/list"]
    spent_s = server.cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    spent_s = server.cpu_s() - spent_s
    rate, p99, count = (pattern.search(done.stdout) for pattern in (_RATE, _P99, _COUNT))
    if rate is None or p99 is None or count is None or "Non-2xx" in done.stdout:
        raise RuntimeError(f"wrk: {done.stdout}")
    return Run(float(rate[1]), float(p99[1]) * _MS[p99[2]], spent_s * 1e6 / int(count[1]))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


@contextmanager
def _application(name: str) -> Iterator[Server]:
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.endtoend.edge_apps", name, str(port)]
    with _running(command, port) as server:
        yield server


@contextmanager
def _varnish(backend: int) -> Iterator[Server]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="tiercel-varnish-") as folder:
        Path(folder).chmod(0o755)  # Varnish compiles and serves as accounts of its own
        command = ["varnishd", "-F", "-n", f"{folder}/work", "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{backend}"]
        with _running([*command, "-S", "none", "-T", "none", "-s", "malloc,64m"], port) as server:
            yield server


@contextmanager
def _running(command: list[str], port: int) -> Iterator[Server]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    environment["PATH"] = environment.get("PATH", "") + ":/usr/sbin"
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(15)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one run")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        print("edge: wrk is not installed", file=sys.stderr)
        return 4
    figures = measure(arguments.seconds, arguments.connections, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return 0
    for name, rate in figures["requests_per_s"].items():
        print(f"{name:12} {rate:8} /s  {figures['times_bare'][name]:6}x bare", end="")
        print(f"  p99 {figures['p99_ms'][name]:7} ms  {figures['cpu_us'][name]:7} us of processor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
