"""
``tiercel edge``: a caching reverse proxy in front of an HTTP server.

It serves until it is interrupted. What it caches is decided by the origin's headers (RFC 9111) and kept in this
process's memory; other processes purge it as they would a Varnish node, where ``--purge-from`` lets them.
"""

from __future__ import annotations

import click

from tiercel._core.durations import format_size, parse_duration, parse_size
from tiercel.cli._output import print_json, progress
from tiercel.errors import ConfigurationError

__all__ = ["command"]


@click.command("edge")
@click.option("--origin", required=True, metavar="URL", help="The server that is asked, http://host:port.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT", help="Where to serve.")
@click.option("--memory", default="64 MB", show_default=True, help="Most bytes kept.")
@click.option("--purge-from", multiple=True, metavar="NETWORK", help="Who may purge, as 10.0.0.0/8; repeat for more.")
@click.option("--stale-if-error", default="60s", show_default=True, help="Serve stale so long where the origin fails.")
@click.option("--ignore-reload", is_flag=True, help="No client can force a request to the origin.")
@click.option("--origin-timeout", default="30s", show_default=True, help="Longest wait for the origin.")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one JSON object.")
def command(
    origin: str,
    listen: str,
    memory: str,
    purge_from: tuple[str, ...],
    stale_if_error: str,
    ignore_reload: bool,
    origin_timeout: str,
    as_json: bool,
) -> None:
    """Serve a shared HTTP cache in front of the server at --origin."""
    import uvicorn

    from tiercel.http.edge import Edge
    from tiercel.http.proxy import OriginProxy
    from tiercel.http.rules.messages import EdgeOptions
    from tiercel.http.storage import MemoryStorage

    host, port = _address(listen)
    options = EdgeOptions(if_error_s=_seconds("stale-if-error", stale_if_error), honour_reload=not ignore_reload)
    storage = MemoryStorage(_bytes("memory", memory))
    proxy = OriginProxy(origin, timeout_s=_seconds("origin-timeout", origin_timeout))
    edge = Edge(proxy, storage=storage, options=options, purgers=purge_from)
    if as_json:
        print_json({"listen": f"http://{host}:{port}", "origin": origin, "max_bytes": storage.max_bytes})
    progress(f"edge: http://{host}:{port} in front of {origin}, up to {format_size(storage.max_bytes)}")
    # The edge's answers carry the origin's Date and Server; addresses are the peers' own, whatever they claim.
    uvicorn.run(
        edge,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )


def _address(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise ConfigurationError(f"--listen={listen!r}: must be HOST:PORT")
    return host.strip("[]"), int(port)


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"--{option}: {error}") from error


def _bytes(option: str, text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise ConfigurationError(f"--{option}: {error}") from error
