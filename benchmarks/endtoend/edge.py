"""
Requests a second on a hit: ``python -m benchmarks.endtoend.edge --json``.

The same page of 8 KB from the bare application, from the application behind the middleware and behind the embedded
edge (one Python process each, with uvicorn), and from Varnish in front of the bare application. ``wrk`` drives each in
turn over loopback, every variant three times, and the median counts. Client and servers share the machine's cores.
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
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
APPS = ("bare", "middleware", "edge")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def measure(seconds: float, connections: int, rounds: int) -> dict[str, Any]:
    """Return rates and latencies by variant."""
    with ExitStack() as stack:
        ports = {name: stack.enter_context(_application(name)) for name in APPS}
        if shutil.which("varnishd", path=os.environ.get("PATH", "") + ":/usr/sbin"):
            ports["varnish"] = stack.enter_context(_varnish(ports["bare"]))
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
        for _ in range(rounds):  # in turn, so that a busy neighbour is everybody's neighbour
            for name, port in ports.items():
                runs[name].append(_wrk(port, seconds, connections))
    rates = {name: round(median(rate for rate, _ in figures)) for name, figures in runs.items()}
    return {
        "connections": connections,
        "seconds": seconds,
        "rounds": rounds,
        "requests_per_s": rates,
        "p99_ms": {name: round(median(p99 for _, p99 in figures), 2) for name, figures in runs.items()},
        "times_bare": {name: round(rate / rates["bare"], 2) for name, rate in rates.items()},
    }


def _wrk(port: int, seconds: float, connections: int) -> tuple[float, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", f"http://127.0.0.1:{port}/list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    rate, p99 = _RATE.search(done.stdout), _P99.search(done.stdout)
    if rate is None or p99 is None or "Non-2xx" in done.stdout:
        raise RuntimeError(f"wrk: {done.stdout}")
    return float(rate[1]), float(p99[1]) * _MS[p99[2]]


@contextmanager
def _application(name: str) -> Iterator[int]:
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.endtoend.edge_apps", name, str(port)]
    with _running(command, port):
        yield port


@contextmanager
def _varnish(backend: int) -> Iterator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="tiercel-varnish-") as folder:
        Path(folder).chmod(0o755)  # Varnish compiles and serves as accounts of its own
        command = ["varnishd", "-F", "-n", f"{folder}/work", "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{backend}"]
        with _running([*command, "-S", "none", "-T", "none", "-s", "malloc,64m"], port):
            yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    environment["PATH"] = environment.get("PATH", "") + ":/usr/sbin"
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield
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
        print(f"{name:12} {rate:8} /s  p99 {figures['p99_ms'][name]:8} ms  {figures['times_bare'][name]}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
