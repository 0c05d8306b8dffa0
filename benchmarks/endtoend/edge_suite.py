"""
The HTTP caching test-suite against the embedded edge: ``python -m benchmarks.endtoend.edge_suite --json``.

The suite is the npm package ``http-cache-tests``, fetched into a cache folder at first use; ``--suite DIR`` takes a
checkout of its repository instead, which is newer. It brings an origin and a client; between them runs ``tiercel edge``
as a user starts it, with no option that would please a test. A test counts as passed only where the suite says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

PACKAGE = "http-cache-tests@0.4.5"
ROOT = Path(__file__).resolve().parents[2]
_START_S = 30.0
_RUN_S = 420.0

# The suite's origin listens on every address; tests listen on loopback only.
_ON_LOOPBACK = """
const net = require('net')
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) { return listen.call(this, port, '127.0.0.1', ...rest) }
"""
_LIST_KINDS = """
const tests = (await import(process.argv[2])).default
const kinds = {}
for (const suite of tests) {
  for (const test of suite.tests) {
    if (test.browser_only !== true) kinds[test.id] = test.kind || 'required'
  }
}
console.log(JSON.stringify(kinds))
"""


class SuiteUnavailable(Exception):
    """The suite cannot be run here; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class SuiteScore:
    """
    What the suite said.

    Args:
        suite: Name and version.
        required_passed, required_total: Tests of what HTTP demands.
        optimal_passed, optimal_total: Tests of what a good cache does beyond that.
        check_yes, check_total: Questions without a right answer.
        failed: Required and optimal tests that did not pass, with the suite's reason.
        seconds: How long it took.
    """

    suite: str
    required_passed: int
    required_total: int
    optimal_passed: int
    optimal_total: int
    check_yes: int
    check_total: int
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Suite:
    """A copy of the suite on disk; *engine* is the folder of its client and server."""

    folder: Path
    engine: Path

    @property
    def name(self) -> str:
        """Package name and version."""
        package: dict[str, Any] = json.loads((self.folder / "package.json").read_text(encoding="utf-8"))
        newer = "" if self.engine == self.folder else " (repository)"
        return f"{package['name']} {package['version']}{newer}"


def find_suite(folder: Path | None = None) -> Suite:
    """Return the suite in *folder*, or the npm package's, installed at first use."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise SuiteUnavailable("node and npm are not installed")
    if folder is None:
        folder = _installed()
    for engine in (folder / "test-engine", folder):
        if (engine / "cli.mjs").is_file():
            return Suite(folder, engine)
    raise SuiteUnavailable(f"{folder} holds no cli.mjs")


def run_suite(suite: Suite) -> SuiteScore:
    """Run every test once and return the score."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tiercel-suite-") as scratch:
        preload = Path(scratch) / "loopback.cjs"
        preload.write_text(_ON_LOOPBACK, encoding="utf-8")
        origin_port, edge_port = _free_port(), _free_port()
        environment = _environment(origin_port, edge_port, Path(scratch))
        server = ["node", "--require", str(preload), "--no-warnings", str(suite.engine / "server" / "server.mjs")]
        edge = [sys.executable, "-c", "from tiercel.cli import main; raise SystemExit(main())", "edge"]
        edge += ["--origin", f"http://127.0.0.1:{origin_port}", "--listen", f"127.0.0.1:{edge_port}"]
        with _running(server, origin_port, suite.folder, environment), _running(edge, edge_port, None, environment):
            results = _client(suite, environment)
    return _score(suite, results, time.monotonic() - started)


def _installed() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tiercel" / "http-cache-tests"
    package = cache / "node_modules" / "http-cache-tests"
    if not (package / "cli.mjs").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache), PACKAGE]
        done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise SuiteUnavailable(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-300:]}")
    return package


def _environment(origin_port: int, edge_port: int, scratch: Path) -> dict[str, str]:
    """Return what npm would set; both ids are empty, which runs all tests."""
    settings = {
        "protocol": "http",
        "port": str(origin_port),
        "base": f"http://127.0.0.1:{edge_port}",
        "pidfile": str(scratch / "origin.pid"),
        "id": "",
    }
    variables = {f"npm_config_{name}": value for name, value in settings.items()}
    return {**os.environ, **variables, "npm_package_config_id": "", "PYTHONPATH": str(ROOT / "src")}


@contextmanager
def _running(command: list[str], port: int, folder: Path | None, environment: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            _wait_for(port, process, errors)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], errors: IO[str]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            errors.seek(0)
            raise SuiteUnavailable(f"{process.args!r} ended: {errors.read()[-500:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SuiteUnavailable(f"nothing listens on port {port} after {_START_S:g} s")


def _client(suite: Suite, environment: dict[str, str]) -> dict[str, Any]:
    command = ["node", "--no-warnings", str(suite.engine / "cli.mjs")]
    done = subprocess.run(
        command, cwd=suite.folder, env=environment, capture_output=True, text=True, timeout=_RUN_S, check=False
    )
    start = done.stdout.find("{")
    if start < 0:
        raise SuiteUnavailable(f"the suite's client printed no results: {done.stderr.strip()[-500:]}")
    results: dict[str, Any] = json.loads(done.stdout[start:])
    return results


def _score(suite: Suite, results: dict[str, Any], seconds: float) -> SuiteScore:
    kinds = _kinds(suite)
    totals = Counter(kinds.values())
    passed = Counter(kind for test, kind in kinds.items() if results.get(test) is True)
    failed = {
        test: _reason(results.get(test))
        for test, kind in sorted(kinds.items())
        if kind != "check" and results.get(test) is not True
    }
    return SuiteScore(
        suite=suite.name,
        required_passed=passed["required"],
        required_total=totals["required"],
        optimal_passed=passed["optimal"],
        optimal_total=totals["optimal"],
        check_yes=passed["check"],
        check_total=totals["check"],
        failed=failed,
        seconds=round(seconds, 1),
    )


def _kinds(suite: Suite) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="tiercel-suite-") as scratch:
        program = Path(scratch) / "kinds.mjs"
        program.write_text(_LIST_KINDS, encoding="utf-8")
        index = (suite.folder / "tests" / "index.mjs").as_uri()
        command = ["node", "--no-warnings", str(program), index]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    kinds: dict[str, str] = json.loads(done.stdout)
    return kinds


def _reason(result: Any) -> str:
    return "not run" if result is None else ": ".join(str(part) for part in result)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--suite", type=Path, help="a checkout of the suite's repository")
    arguments = parser.parse_args()
    try:
        score = run_suite(find_suite(arguments.suite))
    except SuiteUnavailable as error:
        print(f"edge_suite: {error}", file=sys.stderr)
        return 4
    if arguments.json:
        print(json.dumps(asdict(score)))
        return 0
    print(f"{score.suite}: required {score.required_passed} of {score.required_total}, ", end="")
    print(f"optimal {score.optimal_passed} of {score.optimal_total} in {score.seconds} s")
    for test, reason in score.failed.items():
        print(f"  {test}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
