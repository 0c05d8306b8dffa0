"""``tiercel journal`` and ``tiercel worker``: on a file journal, SQLite rows and a constraint that refuses some."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiercel._core.clock import SystemClock
from tiercel._sync.crew import FlushCrew
from tiercel._sync.journals.places import JournalPlaces, journal_options
from tiercel._sync.stores import open_store
from tiercel._sync.writebehind import WriteBehind
from tiercel.cli import main
from tiercel.matrix import Matrix

MATRIX = """
[cache]
state_dir = "{home}/state"

[regions.price]
tiers = ["local"]
ttl = "1m"
strategy = "write-behind"
store = "sqlite:///{home}/shop.db#prices?key=sku"

[regions.price.journal]
flush = false
interval = "20ms"
retry = "10ms"
poison_after = 2
"""


@pytest.fixture
def matrix_file(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE prices (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL CHECK (cents >= 0))")
    database.close()
    path = tmp_path / "tiercel.toml"
    path.write_text(MATRIX.format(home=tmp_path), encoding="utf-8")
    return path


@pytest.fixture
def write(matrix_file: Path) -> Callable[..., None]:
    """Journal prices, as an application node would, and go."""

    def write(**cents: int) -> None:
        matrix = Matrix.from_toml(matrix_file)
        places = JournalPlaces(matrix, clock=SystemClock())
        store = open_store(matrix.store_url("price") or "")
        options = journal_options(matrix, "price")
        behind = WriteBehind("price", options, store, places.journal("price"), clock=SystemClock())
        behind.start()
        behind.write_many("acme", {sku: {"cents": value} for sku, value in cents.items()})
        behind.close()
        store.close()
        places.close()

    return write


def prices(matrix_file: Path) -> dict[str, int]:
    database = sqlite3.connect(matrix_file.parent / "shop.db")
    try:
        return dict(database.execute("SELECT sku, cents FROM prices"))
    finally:
        database.close()


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_drain_list_show_retry_and_drop(
    matrix_file: Path, write: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(matrix_file)
    write(apple=100, plum=-1, fig=-2)
    assert main(["journal", "list", file, "--json"]) == 0
    listed = answer(capsys)["price"]
    assert (listed["waiting"], listed["dead"]) == (3, 0)

    assert main(["journal", "drain", file, "--json"]) == 0
    assert answer(capsys)["price"]["flushed"] == 1
    assert prices(matrix_file) == {"apple": 100}

    assert main(["journal", "list", file, "--json"]) == 1
    letters = answer(capsys)["price"]["dead_letters"]
    assert sorted(letter["key"] for letter in letters) == ["fig", "plum"]
    assert all("CHECK" in letter["reason"] for letter in letters)
    shown = [{name: part for name, part in letter.items() if name != "reason"} for letter in letters]
    assert "-1" not in json.dumps(shown), "values are shown by 'show' only"

    first = letters[0]["id"]
    assert main(["journal", "show", file, "price", first]) == 0
    assert answer(capsys)["value"]["cents"] in (-1, -2)
    assert main(["journal", "retry", file, "price", first, "--json"]) == 0
    assert answer(capsys) == {"region": "price", "retried": 1}
    assert main(["journal", "drop", file, "price", "--all", "--dry-run", "--json"]) == 0
    assert len(answer(capsys)["dropped"]) == 1
    assert main(["journal", "drop", file, "price", "--all"]) == 0
    assert "1 dead letters dropped" in capsys.readouterr().err
    assert main(["journal", "list", file]) == 0
    assert "price" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "{file}", "price", "nope"], "no dead letter 'nope'"),
        (["retry", "{file}", "price"], "name the dead letters, or say --all"),
        (["drop", "{file}", "price", "x", "--all"], "name the dead letters, or say --all"),
        (["list", "{file}", "--region", "session"], "region 'session' has no journal"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    matrix_file: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", *(word.format(file=matrix_file) for word in arguments)]) in (2, 3)
    assert says in capsys.readouterr().err


def test_drain_says_that_the_deadline_came_first(
    matrix_file: Path,
    write: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(apple=100)
    monkeypatch.setattr(FlushCrew, "start", lambda self: None)  # else it may be faster than no time at all
    assert main(["journal", "drain", str(matrix_file), "--deadline", "0"]) == 1
    assert "1 left" in capsys.readouterr().err


def test_worker_flushes_serves_metrics_and_hands_over(matrix_file: Path, write: Callable[..., None]) -> None:
    write(apple=100, plum=-1)
    program = "import sys; from tiercel.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "worker", str(matrix_file), "--metrics", "0", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        told: dict[str, str] = {}
        while not {"metrics", "row_parked"} <= told.keys():
            name, _, rest = process.stderr.readline().partition(": ")
            assert name, "the worker ended"
            told[name] = rest.strip()
        with urllib.request.urlopen(told["metrics"], timeout=10) as response:
            metrics = response.read().decode()
    finally:
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert re.search(r'tiercel_journal_dead_letters\{region="price"\} [01]', metrics)
    assert json.loads(out)["price"]["dead"] == 1
    assert prices(matrix_file) == {"apple": 100}


def test_worker_ends_by_itself(matrix_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        assert main(["worker", str(matrix_file), "--seconds", "0", "--json"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert answer(capsys)["price"]["depth"] == 0


def test_worker_needs_a_journal_that_others_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiercel.toml"
    path.write_text('[regions.profile]\nttl = "1m"\n', encoding="utf-8")
    assert main(["worker", str(path)]) == 3
    assert "no region of this matrix journals" in capsys.readouterr().err
