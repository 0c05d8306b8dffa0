"""
The password file: who may sign in, as what, one line a user: ``name:role:argon2 hash``.

A role may do all that the one before it may: *viewer* looks, *operator* makes things fall, retries and silences,
*admin* throws dead letters away and reads the audit log. A hash of ``-`` is a user whom only a proxy signs in. The file
is read again when it changes, so that taking a line out ends that user's sessions at once.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from tiercel.errors import ConfigurationError

__all__ = ["ROLES", "Role", "User", "UserFile"]

Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
PROXY_ONLY: Final = "-"
LEAST_PASSWORD: Final = 10
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


@dataclass(frozen=True, slots=True)
class User:
    """
    One line of the file.

    Args:
        name: As typed at sign-in, or as a proxy sends it.
        role: What the user may do.
        password_hash: Argon2 in its usual text form, or ``-``.
    """

    name: str
    role: Role
    password_hash: str


class UserFile:
    """
    The users of one file; safe for many threads.

    Args:
        path: The file.
        hasher: Argon2's cost; the library's defaults where None.
    """

    def __init__(self, path: Path, hasher: PasswordHasher | None = None) -> None:
        self._path = path
        self._hasher = hasher or PasswordHasher()
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._users: dict[str, User] = {}
        # What a name that is not there is compared with, so that it takes as long to refuse as a wrong password.
        self._nobody = self._hasher.hash("nobody has this password")

    def find(self, name: str) -> User | None:
        """Return a user; raises ConfigurationError where the file cannot be read or a line is wrong."""
        with self._lock:
            self._refresh()
            return self._users.get(name)

    def count(self) -> int:
        """Return how many users there are."""
        with self._lock:
            self._refresh()
            return len(self._users)

    def verify(self, name: str, password: str) -> User | None:
        """Return the user whose password this is, else None; takes tens of milliseconds of one core either way."""
        user = self.find(name)
        known = user is not None and user.password_hash != PROXY_ONLY
        try:
            self._hasher.verify(user.password_hash if user is not None and known else self._nobody, password)
        except (Argon2Error, InvalidHashError):
            return None
        return user if known else None

    def add(self, name: str, role: Role, password: str | None) -> None:
        """
        Add a user or change one; None as *password* leaves signing in to a proxy.

        Raises:
            ConfigurationError: a name that cannot be used, a password that is too short, a file that cannot be written.
        """
        if _NAME.fullmatch(name) is None:
            raise ConfigurationError(f"user name {name!r}: must match {_NAME.pattern}")
        if password is not None and len(password) < LEAST_PASSWORD:
            raise ConfigurationError(f"the password has fewer than {LEAST_PASSWORD} characters")
        hashed = PROXY_ONLY if password is None else self._hasher.hash(password)
        with self._lock:
            if self._path.exists():
                self._refresh()
            self._write({**self._users, name: User(name, role, hashed)})
            self._stamp = None

    def _write(self, users: dict[str, User]) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        lines = "".join(f"{user.name}:{user.role}:{user.password_hash}\n" for user in users.values())
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.touch(mode=0o600)
            unfinished.write_text(lines, encoding="utf-8")
            unfinished.replace(self._path)
        except OSError as error:
            raise ConfigurationError(f"{self._path}: cannot be written: {error.strerror or error}") from error

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._users = _parse(self._path.read_text(encoding="utf-8"), self._path)
                self._stamp = stamp
        except OSError as error:
            raise ConfigurationError(f"{self._path}: cannot be read: {error.strerror or error}") from error


def _parse(text: str, path: Path) -> dict[str, User]:
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.strip().partition(":")
        role, _, hashed = rest.partition(":")
        found = next((each for each in ROLES if each == role), None)
        if found is None or not hashed or _NAME.fullmatch(name) is None:
            raise ConfigurationError(f"{path}:{number}: write name:role:hash, with the role {', '.join(ROLES)}")
        users[name] = User(name, found, hashed)
    return users
