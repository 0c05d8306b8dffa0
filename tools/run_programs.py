"""
Run every program of a room (``proofs`` or ``benchmarks``) one after another and close with a line for each.

A program is a module with a ``__main__`` part. It prints what it measured and exits 0 where its promise held; what a
proof printed then is kept on the page of proofs.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from tools.proof_record import record

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 1800


def programs(room: str) -> list[str]:
    """Return the dotted names of the programs under *room*."""
    paths = sorted((ROOT / room).rglob("*.py"))
    found = [path for path in paths if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]


def run(name: str) -> tuple[int, float]:
    """Run one program, showing what it prints; return its exit status (124 after the time limit) and its seconds."""
    print(f"\n== python -m {name}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", name], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        limit = threading.Timer(TIMEOUT_S, program.kill)
        limit.start()
        assert program.stdout is not None
        output = ""
        for line in program.stdout:
            print(line, end="", flush=True)
            output += line
        status = program.wait()
        limit.cancel()
    seconds = time.monotonic() - began
    if status == 0 and name.startswith("proofs."):
        record(name, output, seconds)
    return (124 if seconds >= TIMEOUT_S else status), seconds


def main() -> int:
    """Run the room named on the command line; of its programs those whose names hold one of the words that follow."""
    room, *words = sys.argv[1:]
    wanted = [name for name in programs(room) if not words or any(word in name for word in words)]
    outcomes = {name: run(name) for name in wanted}
    failed = sum(status != 0 for status, _ in outcomes.values())
    print()
    for name, (status, seconds) in outcomes.items():
        print(f"{'ok' if status == 0 else f'exit {status}':9} {seconds:7.1f} s  {name}")
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
