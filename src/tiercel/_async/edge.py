"""
Edges by URL: what publishes to and purges a CDN distribution, or a folder where there is none.

::

    edge = await open_edge("s3+cloudfront://bucket/E123?region=eu-central-1", state_dir=Path("state"))
    await edge.publish("/acme/static/site.css", css, content_type="text/css; charset=utf-8", ttl_s=86400, tags=["x"])
    ticket = await edge.purge(PurgeRequest(tags=["x"]))

URLs and their options are listed in `tiercel.cdn.edgeurl`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tiercel._async.edge_aws import open_cloudfront, open_s3
from tiercel._async.edge_distribution import AsyncDistribution, DistributionParts
from tiercel._async.edge_turn import AsyncTurn
from tiercel._async.purger import AsyncPurger, PurgerOptions
from tiercel._core.clock import SystemClock
from tiercel._edges.folder import FolderOrigin
from tiercel._edges.protocols import Origin, Sender
from tiercel._edges.purgelog import PurgeLog
from tiercel._edges.restcdn import cloudflare_sender, fastly_sender
from tiercel._edges.varnish import VarnishSender
from tiercel._paired import async_run_blocking
from tiercel.cdn.budget import Budget, Spending
from tiercel.cdn.capabilities import Capabilities
from tiercel.cdn.edgeurl import EdgeUrl, parse_edge_url
from tiercel.cdn.objects import EdgeObject, Published
from tiercel.cdn.purge import PurgeRequest, PurgeStatus, PurgeTicket
from tiercel.cdn.tagcodec import TagCodec
from tiercel.cdn.varnish import METHODS
from tiercel.errors import ConfigurationError
from tiercel.typing import GLOBAL, Clock

__all__ = ["AsyncEdge", "open_edge"]


class AsyncEdge(Protocol):
    """One CDN distribution, or the embedded one. Safe to share between tasks."""

    name: str

    async def publish(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str,
        ttl_s: float,
        tags: Sequence[str] = (),
        immutable: bool = False,
        grace_s: float = 0.0,
        keep_s: float = 0.0,
        tenant: str = GLOBAL,
    ) -> Published:
        """Put one object where the edge serves it from, conditionally; see `AsyncDistribution.publish`."""

    async def fetch(self, path: str) -> EdgeObject | None:
        """Return what is published at *path*, with its headers and age; None where there is nothing."""

    async def remove(self, path: str) -> bool:
        """Take *path* away everywhere; say whether it was there."""

    async def purge(self, request: PurgeRequest) -> PurgeTicket:
        """Make copies fall; stored durably when this returns."""

    async def status(self, ticket: PurgeTicket) -> PurgeStatus:
        """Say how far a purge is."""

    def served(self, path: str, tags: Sequence[str], tenant: str = GLOBAL) -> None:
        """Note that the application answered *path* with what depends on *tags*; see `AsyncDistribution.served`."""

    async def ping(self) -> None:
        """Raise `TierError` where the edge cannot be used."""

    async def aclose(self) -> None:
        """End background work."""


async def open_edge(
    url: str,
    *,
    state_dir: Path | None = None,
    clock: Clock | None = None,
    start: bool = True,
    on_spending: Callable[[Spending], None] | None = None,
    turns: Callable[[str, float], AsyncTurn] | None = None,
) -> AsyncDistribution:
    """
    Open the edge that *url* names.

    Args:
        url: See `tiercel.cdn.edgeurl`.
        state_dir: Where purges are kept until they are complete; None keeps them in memory, and a crash loses them.
        clock: Time; the system's where None.
        start: Send purges in the background; off, somebody else calls ``edge.purger.step()``.
        on_spending: Hears what the month's purges cost so far, in each round that has something to send; must not
            block.
        turns: Makes the turn of a distribution (its name in Redis, the lease's seconds), where several machines send
            to it; without one, each machine sends at its own pace.

    Raises:
        ConfigurationError: a bad URL, or an extra that is not installed.
        TierUnavailable: the folder or the log cannot be opened.
    """
    parsed = parse_edge_url(url)
    time = clock or SystemClock()
    origin = await async_run_blocking(_open_origin, parsed, state_dir)
    sender = await async_run_blocking(_open_sender, parsed, time)
    purger = None
    if sender is not None:
        log = await async_run_blocking(PurgeLog, _log_file(state_dir, parsed))
        options = _purger_options(parsed, sender.capabilities)
        turn = None if turns is None else turns(f"purge:{_digest(parsed)}", options.lease_s)
        purger = AsyncPurger(log, sender, origin, time, options, turn)
        purger.on_spending = on_spending
    parts = DistributionParts(
        name=parsed.name,
        codec=TagCodec(
            parsed.options.get("salt", "tiercel"),
            expand_overflow=parsed.choice("overflow", ("bucket", "uncacheable")) == "bucket",
        ),
        clock=time,
        origin=origin,
        purger=purger,
        concurrency=int(parsed.number("concurrency", 8, 1)),
        alone_s=parsed.number("alone", 0.0) if "alone" in parsed.options else None,
    )
    if purger is not None and start:
        purger.start()
    return AsyncDistribution(parts)


def _open_origin(parsed: EdgeUrl, state_dir: Path | None) -> Origin | None:
    if parsed.scheme == "folder":
        return FolderOrigin(Path(parsed.path))
    if parsed.scheme in ("s3", "s3+cloudfront"):
        return open_s3(parsed, state_dir)
    return _open_origin(parse_edge_url(parsed.options["origin"]), state_dir) if "origin" in parsed.options else None


def _open_sender(parsed: EdgeUrl, clock: Clock) -> Sender | None:
    if parsed.scheme in ("cloudfront", "s3+cloudfront"):
        return _paced(open_cloudfront(parsed), parsed)
    host, endpoint = parsed.options.get("host", ""), parsed.options.get("endpoint")
    if parsed.scheme == "fastly":
        return _paced(
            fastly_sender(endpoint or "https://api.fastly.com", parsed.place, _token(parsed), host, clock.wall), parsed
        )
    if parsed.scheme == "cloudflare":
        api = endpoint or "https://api.cloudflare.com"
        return _paced(cloudflare_sender(api, parsed.place, _token(parsed), host, clock.wall), parsed)
    if parsed.scheme == "varnish":
        return _paced(VarnishSender(parsed.place.split(","), method=parsed.choice("method", METHODS)), parsed)
    return None


def _token(parsed: EdgeUrl) -> str:
    file = parsed.options.get("token_file")
    if not file:
        raise ConfigurationError(f"{parsed.scheme}: add token_file=/path, a file that holds the API token")
    try:
        token = Path(file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{parsed.scheme}: token_file={file}: {error}") from error
    if not token or any(character.isspace() for character in token):
        raise ConfigurationError(f"{parsed.scheme}: token_file={file}: must hold one token and nothing else")
    return token


def _paced(sender: Sender, parsed: EdgeUrl) -> Sender:
    own = sender.capabilities
    rate_per_s = parsed.number("rate", own.rate_per_s, 1e-6)
    sender.capabilities = replace(own, rate_per_s=rate_per_s, burst=int(parsed.number("burst", own.burst, 1)))
    return sender


def _purger_options(parsed: EdgeUrl, capabilities: Capabilities) -> PurgerOptions:
    usd_month = parsed.number("budget", 0.0) if "budget" in parsed.options else None
    return PurgerOptions(
        window_s=parsed.number("window", PurgerOptions().window_s),
        budget=Budget.of(capabilities, usd_month),
        lease_s=parsed.number("lease", PurgerOptions().lease_s, 0.01),
        again_s=parsed.number("again", 0.0, 0.001) if "again" in parsed.options else None,
        quota_hour=int(parsed.number("quota", 0, 1)) if "quota" in parsed.options else None,
    )


def _log_file(state_dir: Path | None, parsed: EdgeUrl) -> Path | None:
    if state_dir is None:
        return None
    return state_dir / f"purges-{_digest(parsed)}.sqlite"


def _digest(parsed: EdgeUrl) -> str:
    """Return what names the distribution of *parsed*, the same on every machine."""
    place = f"{parsed.scheme}://{parsed.place}/{parsed.path}?{parsed.options.get('tenant', '')}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]
