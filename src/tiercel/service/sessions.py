"""
Sessions: signed cookies that say who signed in and until when, and the tokens that prove a change came from our pages.

Nothing is kept on the server but the key and the sessions that were signed out before their end. A cookie is bound to
the user's password hash: a new password ends the sessions of the old one. Times are seconds since the epoch.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
from pathlib import Path
from typing import Final

import msgspec

from tiercel.errors import ConfigurationError
from tiercel.service.users import User

__all__ = ["Session", "Sessions", "session_key"]

KEY_BYTES: Final = 32


class Session(msgspec.Struct, frozen=True):
    """
    What a cookie says.

    Attributes:
        id: Random; names the session.
        user: Who signed in.
        ends_s: When it ends.
        proof: Ties it to the password hash of that moment.
    """

    id: str
    user: str
    ends_s: float
    proof: str


class Sessions:
    """
    Makes and checks session cookies; safe for many threads.

    Args:
        key: Secret of at least 32 bytes; the same for every process that serves.
        life_s: How long a session lasts.
    """

    def __init__(self, key: bytes, life_s: float) -> None:
        self._key = key
        self._life_s = life_s
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, user: User, now: float) -> str:
        """Return the cookie of a new session."""
        session = Session(secrets.token_urlsafe(18), user.name, now + self._life_s, self._proof(user))
        body = _text(msgspec.json.encode(session))
        return f"{body}.{self._mac('session', body)}"

    def read(self, cookie: str, now: float) -> Session | None:
        """Return the session of *cookie* where it is ours, not over and not ended; the user is still to be checked."""
        body, _, mac = cookie.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", body).encode()):
            return None
        session = msgspec.json.decode(_bytes(body), type=Session)
        with self._lock:
            is_over = now >= session.ends_s or session.id in self._ended
        return None if is_over else session

    def fits(self, session: Session, user: User) -> bool:
        """Say whether *user* still has the password that the session was begun with."""
        return hmac.compare_digest(session.proof, self._proof(user))

    def end(self, session: Session, now: float) -> None:
        """Refuse the session from now on, in this process."""
        with self._lock:
            self._ended = {id_: ends_s for id_, ends_s in self._ended.items() if ends_s > now}
            self._ended[session.id] = session.ends_s

    def token(self, session_id: str) -> str:
        """Return what a form or a script must send along with a change in this session."""
        return self._mac("csrf", session_id)

    def _proof(self, user: User) -> str:
        return self._mac("user", f"{user.name}:{user.password_hash}")

    def _mac(self, purpose: str, text: str) -> str:
        return _text(hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).digest())


def session_key(state_dir: Path) -> bytes:
    """
    Return the key kept in *state_dir*, made there at the first start, so that sessions outlive a restart.

    Raises:
        ConfigurationError: the folder cannot be written, or the file holds something else.
    """
    path = state_dir / "service.key"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            unfinished = state_dir / f".service.key.{os.getpid()}"
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(secrets.token_bytes(KEY_BYTES))
            unfinished.replace(path)
        key = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    if len(key) < KEY_BYTES:
        raise ConfigurationError(f"{path}: is no key of {KEY_BYTES} bytes; remove it and everybody signs in again")
    return key


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
