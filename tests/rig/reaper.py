"""
The watcher that ends every server of a rig when the run that started them is gone, however it died.

It is a process of its own, in a session of its own. The run writes lines to its standard input: ``watch PID``, ``forget
PID`` or ``scratch PATH``. The end of that input, which the kernel brings about even for a run that was killed,
makes it kill the process groups still watched and remove the scratch folders. A parent-death signal would not do: Linux
sends it when the *thread* that forked ends, and a test may restart a server from any thread.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_lock = threading.Lock()
_watchers: dict[int, subprocess.Popen[str]] = {}


def watch(pid: int) -> None:
    """Have the process group of *pid* killed when this run ends."""
    _tell(f"watch {pid}")


def forget(pid: int) -> None:
    """Say that the process group of *pid* has ended, so that a later process with its number is safe."""
    _tell(f"forget {pid}")


def scratch(path: Path) -> None:
    """Have *path* removed when this run ends."""
    _tell(f"scratch {path}")


def _tell(line: str) -> None:
    with _lock:
        stdin = _watcher().stdin
        assert stdin is not None
        stdin.write(line + "\n")
        stdin.flush()


def _watcher() -> subprocess.Popen[str]:
    """Return this process's watcher, starting it at first use; a forked child gets one of its own."""
    pid = os.getpid()
    if pid not in _watchers:
        command = [sys.executable, "-E", "-s", __file__]
        _watchers[pid] = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        atexit.register(_finish, pid)
    return _watchers[pid]


def _finish(pid: int) -> None:
    watcher = _watchers.get(pid)
    if pid != os.getpid() or watcher is None or watcher.stdin is None:
        return
    watcher.stdin.close()
    with suppress(subprocess.TimeoutExpired):  # it goes on by itself: nothing here depends on its end
        watcher.wait(timeout=10)


def reap(lines: Iterable[str]) -> None:
    """Follow *lines* to their end, then kill and remove what is still listed."""
    pids: set[int] = set()
    folders: set[str] = set()
    for line in lines:
        verb, _, argument = line.rstrip("\n").partition(" ")
        if verb == "watch":
            pids.add(int(argument))
        elif verb == "forget":
            pids.discard(int(argument))
        else:
            folders.add(argument)
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(pid, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    reap(sys.stdin)
