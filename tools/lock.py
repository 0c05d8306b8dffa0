"""
Write the locks ``requirements/*.txt`` from ``pyproject.toml``: exact versions, hashes for every platform, no addresses.

``run.txt`` is what ``make run`` needs, ``test.txt`` everything. The second is resolved first and constrains the first,
so that one environment can hold both. ``--upgrade`` takes the newest versions; without it pins stay where they fit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")
LOCKS = {
    "test.txt": ("--all-extras", "--group", "test", "--group", "build"),
    "run.txt": ("--extra", "demo", "--group", "build", "--constraint", "requirements/test.txt"),
}


def main() -> int:
    """Write both locks and return the first failure's status."""
    for name, choice in LOCKS.items():
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *OPTIONS, *choice]
        command += ["--output-file", f"requirements/{name}", *sys.argv[1:]]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
