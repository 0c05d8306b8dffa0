"""
Fastly and Cloudflare as senders of purges: one request a batch, complete when it is accepted.

Both CDNs finish a purge within about 150 ms of accepting it, so there is nothing to poll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tiercel._edges.rest import RestClient
from tiercel.cdn import cloudflare, fastly
from tiercel.cdn.capabilities import CLOUDFLARE, FASTLY, Capabilities
from tiercel.cdn.httpcall import HttpAnswer, HttpCall, fault
from tiercel.cdn.purge import PurgeItem

Wall: TypeAlias = Callable[[], float]


class RestSender:
    """
    Purges of one Fastly service or Cloudflare zone; made by the functions below.

    Args:
        client: The API's server.
        capabilities: The CDN's.
        build: Makes the request for one batch.
        probe: A request that fails where credentials or names are wrong.
        reason: Reads the CDN's explanation.
        wall: Clock for times of reset, seconds since the epoch.
    """

    def __init__(
        self,
        client: RestClient,
        capabilities: Capabilities,
        build: Callable[[Sequence[PurgeItem]], HttpCall],
        probe: HttpCall,
        reason: Callable[[HttpAnswer], str],
        wall: Callable[[], float],
    ) -> None:
        self.capabilities = capabilities
        self._client = client
        self._build = build
        self._probe = probe
        self._reason = reason
        self._wall = wall

    def send(self, reference: str, items: Sequence[PurgeItem]) -> None:
        """Send one batch; repeating it is harmless."""
        self._check(self._client.call(self._build(items)))

    def poll(self, provider_id: str) -> bool:
        """Say yes: what was accepted is complete."""
        return True

    def ping(self) -> None:
        """Raise `TierError` where the API cannot be reached or refuses the credentials."""
        self._check(self._client.call(self._probe))

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def _check(self, answer: HttpAnswer) -> None:
        # Cloudflare says "success": false under status 200 for some refusals.
        if not 200 <= answer.status < 300:
            raise fault(self.capabilities.name, answer, self._wall(), self._reason(answer))
        if answer.json().get("success") is False:
            refused = HttpAnswer(400, answer.headers, answer.body)
            raise fault(self.capabilities.name, refused, self._wall(), self._reason(answer))


def fastly_sender(endpoint: str, service: str, token: str, host: str, wall: Wall) -> RestSender:
    """Return a sender for Fastly *service*, whose site is at *host*."""

    def build(items: Sequence[PurgeItem]) -> HttpCall:
        return fastly.purge_call(service, token, host, items)

    return RestSender(RestClient(endpoint), FASTLY, build, fastly.service_call(service, token), fastly.reason, wall)


def cloudflare_sender(endpoint: str, zone: str, token: str, host: str, wall: Wall) -> RestSender:
    """Return a sender for Cloudflare *zone*, whose site is at *host*."""

    def build(items: Sequence[PurgeItem]) -> HttpCall:
        return cloudflare.purge_call(zone, token, host, items)

    return RestSender(
        RestClient(endpoint), CLOUDFLARE, build, cloudflare.zone_call(zone, token), cloudflare.reason, wall
    )
