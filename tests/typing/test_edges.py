"""
The exported names of edges: mypy accepts what users write with them, and each is there when it is asked for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tiercel

ROOT = Path(__file__).resolve().parents[2]


def test_what_users_write_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "tests/typing/edges.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", [name for name in tiercel.__all__ if not name.startswith("_")])
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(tiercel, name) is not None
    assert name in dir(tiercel)
