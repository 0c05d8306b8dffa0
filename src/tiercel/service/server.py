"""
The server: the service on uvicorn, on loopback unless somebody can sign in.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from tiercel._async.cache import AsyncCache
from tiercel.matrix import Matrix
from tiercel.service.app import service_app
from tiercel.service.dispatch import Endpoint
from tiercel.service.settings import ServiceSettings, check_address

__all__ = ["DEFAULT_PORT", "serve_dashboard"]

DEFAULT_PORT: Final = 8600
CLOSING_S: Final = 5


async def serve_dashboard(
    cache: AsyncCache,
    port: int = DEFAULT_PORT,
    *,
    host: str = "127.0.0.1",
    settings: ServiceSettings | None = None,
    matrix: Matrix | None = None,
    others: Sequence[Endpoint] = (),
) -> None:
    """
    Serve the dashboard of a started cache until SIGINT or SIGTERM.

    Args:
        cache: The cache; it is used and not closed.
        port: Where to listen.
        host: Address; loopback unless *settings* name a password file.
        settings: Who may use it; None for everybody on this machine.
        matrix: Whose journals and edge are shown; None for the cache's own.
        others: What is answered beside the service's own, see `service_app`.

    Raises:
        ConfigurationError: an address that others can reach, without sign-in.
    """
    settings = settings or ServiceSettings(state_dir=Path(cache.matrix.cache.state_dir))
    check_address(host, settings)
    config = uvicorn.Config(
        service_app(cache, settings, matrix, others),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        # An address from a header is anybody's word; limits and the audit log go by the connection's.
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSING_S,
    )
    await DashboardServer(config).serve()


class DashboardServer(uvicorn.Server):
    """A server that returns when told to end, where uvicorn's would raise the signal again and end the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to end; in another thread than the main one nobody sends them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
