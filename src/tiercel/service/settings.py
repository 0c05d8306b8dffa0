"""
Settings of the service: who may sign in and how, and where it may listen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiercel.errors import ConfigurationError

__all__ = ["PROXY_SECRET_HEADER", "ServiceSettings", "check_address", "is_loopback"]

PROXY_SECRET_HEADER = "x-tiercel-proxy-secret"  # noqa: S105  # a header's name, not its content
PROXY_SECRET_VARIABLE = "TIERCEL_PROXY_SECRET"  # noqa: S105  # a variable's name, not its content
LEAST_SECRET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """
    How the service is reached and who may use it.

    Args:
        state_dir: Folder of the audit log and the key of the sessions.
        users: The password file; None for no sign-in, which is refused on any address but loopback.
        proxy_user_header: Header in which a proxy names the user that it signed in (OIDC); None to believe no header.
        proxy_secret: What that proxy must send as ``X-Tiercel-Proxy-Secret``, so that nobody else can pose as it.
        is_https: Browsers reach the service through TLS: cookies are sent only there.
        session_s: How long a session lasts.
        figures: Folder in which the application's processes publish their figures; None for this process's own.
    """

    state_dir: Path
    users: Path | None = None
    proxy_user_header: str | None = None
    proxy_secret: str | None = field(default=None, repr=False)
    is_https: bool = False
    session_s: float = 8 * 3600.0
    figures: Path | None = None

    def __post_init__(self) -> None:
        if self.proxy_user_header is None:
            return
        if self.users is None:
            raise ConfigurationError("proxy_user_header without users: the users file says who may do what")
        if self.proxy_secret is None or len(self.proxy_secret) < LEAST_SECRET:
            raise ConfigurationError(
                f"proxy_user_header without a secret: set {PROXY_SECRET_VARIABLE} to {LEAST_SECRET} characters or more"
            )

    @staticmethod
    def secret_of(environment: Mapping[str, str]) -> str | None:
        """Return the proxy's secret from *environment*, where it is set."""
        return environment.get(PROXY_SECRET_VARIABLE) or None


def is_loopback(host: str) -> bool:
    """Say whether *host*, a name or an address, is this machine talking to itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(host: str, settings: ServiceSettings) -> None:
    """Raise ConfigurationError where listening on *host* would open the service to others without sign-in."""
    if settings.users is None and not is_loopback(host):
        raise ConfigurationError(
            f"host {host!r} can be reached by others: name a password file (--users FILE), or listen on 127.0.0.1"
        )
