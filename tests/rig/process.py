"""
A server's process: started in a session and a scratch folder of its own, waited for, paused, killed and cleaned up.

Everything is on loopback. Ports come from below the kernel's ephemeral range, so that no outgoing connection takes the
port of a server that is down between a kill and a restart. Times are seconds. Objects are used by one thread at a time.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rig import reaper

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)
SWITCH = "TIERCEL_TEST_SERVERS"
"""Environment variable: ``off`` makes every server unavailable, for a quick run."""

_given: set[int] = set()


class Unavailable(Exception):
    """A server cannot be had on this machine; the message says what is missing or what it said as it died."""


class Missing(Unavailable):
    """The server is not installed here, or left out on purpose: wherever a test meets this, it is skipped by name."""


def free_port() -> int:
    """Return a loopback port that nobody listens on and that this run has not given away."""
    for port in random.sample(PORTS, k=200):
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise Unavailable(f"no free port between {PORTS.start} and {PORTS.stop}")


def find_program(*names: str, folders: Sequence[str] = ("/usr/sbin", "/usr/local/sbin")) -> Path:
    """Return the first program of *names* on the path or in *folders*; raise `Missing` naming the first."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
    for name in names:
        found = shutil.which(name, path=search)
        if found:
            return Path(found)
    raise Missing(f"{names[0]} is not installed")


def wait_until(is_ready: Callable[[], bool], what: str, *, timeout_s: float = 30.0, every_s: float = 0.02) -> None:
    """Poll *is_ready* until true; raise `Unavailable` after *timeout_s*. Connection errors mean "not yet"."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(OSError):
            if is_ready():
                return
        time.sleep(every_s)
    raise Unavailable(f"{what}: not within {timeout_s:g} s")


def accepts(port: int) -> bool:
    """Say whether something accepts connections on *port*."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


class Process:
    """
    One operating-system process with its children, in a session of its own.

    Args:
        command: Program and arguments.
        home: Working folder; the log is ``home/log``.
        user: Account to run as where this run is root; ``None`` keeps the caller's.
        env: Variables added to the caller's environment.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        home: Path,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.home = home
        self.log = home / "log"
        self._user = user if os.geteuid() == 0 else None
        self._env = dict(env or {})
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id, which is also the process group's; 0 where it does not run."""
        return self._child.pid if self._child else 0

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self, is_ready: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
        """Start and wait until *is_ready*; raise `Unavailable` with the log's end if it dies or stays silent."""
        self._launch()
        try:
            wait_until(lambda: self._died() or is_ready(), self.command[0], timeout_s=timeout_s)
        except Unavailable as error:
            self.kill()
            raise Unavailable(f"{error}; its log ends: {self.log_tail()}") from error

    def run(self, timeout_s: float) -> None:
        """Run a program that ends by itself; raise `Unavailable` with its log's end if it fails or takes longer."""
        child = self._launch()
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        self.kill()
        if status:
            raise Unavailable(f"{self.command[0]} ended with {status}; its log ends: {self.log_tail()}")

    def _launch(self) -> subprocess.Popen[bytes]:
        account = pwd.getpwnam(self._user) if self._user else None
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env={**os.environ, **self._env},
                start_new_session=True,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
        reaper.watch(child.pid)
        self._child = child
        return child

    def _died(self) -> bool:
        if not self.is_running:
            raise Unavailable(f"{self.command[0]} ended at once")
        return False

    def log_tail(self, lines: int = 5) -> str:
        """Return the last *lines* of what the process printed, joined by " | "."""
        return " | ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children; nothing happens if they are gone."""
        if self._child:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL, children included, and wait."""
        self._end(signal.SIGKILL, 10.0)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> None:
        """End it politely with signal *number*, by force after *timeout_s*."""
        self.send(signal.SIGCONT)
        self._end(number, timeout_s)

    def _end(self, number: signal.Signals, timeout_s: float) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            os.kill(child.pid, number)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.send(signal.SIGKILL)
        reaper.forget(child.pid)
        self._child = None


class Server:
    """
    A real server of the rig: a context manager that starts in a scratch folder and leaves nothing behind.

    Subclasses set `name` (and `user` where root is refused) and write `start`; a server of several processes also
    overrides `stop`. ``start`` raises `Unavailable` where the server cannot be had.
    """

    name = "server"
    user: str | None = None

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"tiercel-{self.name}-"))
        reaper.scratch(self.home)
        self.give(self.home)
        self.processes: list[Process] = []
        self.started_in_s = 0.0

    def start(self) -> None:
        """Start every process of the server and wait until it serves."""
        raise Unavailable(f"{self.name} has no start")

    def spawn(
        self,
        command: Sequence[str | Path],
        is_ready: Callable[[], bool],
        *,
        home: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Process:
        """Start one process of this server as its user and keep it for `stop`."""
        process = Process(command, home or self.home, user=self.user, env=env)
        self.processes.append(process)
        process.start(is_ready, timeout_s=timeout_s)
        return process

    def folder(self, name: str) -> Path:
        """Return the sub-folder *name* of the scratch folder, made for the server's user."""
        path = self.home / name
        path.mkdir(exist_ok=True)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Make *path* the property of the server's user, where there is one and this run is root."""
        if self.user and os.geteuid() == 0:
            try:
                shutil.chown(path, self.user, pwd.getpwnam(self.user).pw_gid)
            except KeyError as error:
                raise Unavailable(f"there is no account {self.user!r}") from error

    def kill(self) -> None:
        """SIGKILL the server: what it had not written is lost."""
        for process in self.processes:
            process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        for process in self.processes:
            process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        for process in self.processes:
            process.send(signal.SIGCONT)

    def stop(self) -> None:
        """End every process, last started first."""
        while self.processes:
            self.processes.pop().stop()

    def __enter__(self) -> Self:
        began = time.monotonic()
        try:
            if os.environ.get(SWITCH) == "off":
                raise Missing(f"{self.name} is left out ({SWITCH}=off)")
            self.start()
        except BaseException:
            self.close()
            raise
        self.started_in_s = time.monotonic() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove its scratch folder."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
