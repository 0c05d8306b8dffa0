"""The Elasticsearch driver, as little of it as the search store needs."""

from __future__ import annotations

from typing import Any

from elastic_transport import ConnectionTimeout, TransportError
from elasticsearch import ApiError, AsyncElasticsearch

from tiercel._core.storeurl import StoreAddress
from tiercel.errors import ConfigurationError, StoreError, StoreTimeout

__all__ = ["AsyncElasticsearchClient"]


class AsyncElasticsearchClient:
    """A pool of connections to one cluster; the driver's retries are off: whoever writes repeats under its guard."""

    def __init__(self, address: StoreAddress, *, timeout_s: float, pool_size: int) -> None:
        self._name = address.shown
        try:
            self._driver = AsyncElasticsearch(
                address.driver_url, request_timeout=timeout_s, connections_per_node=pool_size, max_retries=0
            )
        except ValueError:
            # The driver's words may quote the address with its password.
            raise ConfigurationError(f"{address.shown}: write elasticsearch://host:port#index") from None

    async def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Return status and answer; raises `StoreError` or `StoreTimeout` where there is none, or for 429 and 5xx."""
        content_type = "application/x-ndjson" if path.endswith("/_bulk") else "application/json"
        headers = {"accept": "application/json"} | ({"content-type": content_type} if body else {})
        try:
            answer = await self._driver.perform_request(method, path, headers=headers, body=body)
        except ApiError as error:
            if error.status_code == 429 or error.status_code >= 500:
                raise self._failure(StoreError, method, f"status {error.status_code}") from error
            return error.status_code, error.body
        except ConnectionTimeout as error:
            raise self._failure(StoreTimeout, method, "no answer in time") from error
        except TransportError as error:
            raise self._failure(StoreError, method, error.message) from error
        return answer.meta.status, answer.body

    def _failure(self, kind: type[StoreError], method: str, reason: str) -> StoreError:
        return kind(f"{self._name}: {method} failed: {reason}", tier="elasticsearch", operation=method)

    async def aclose(self) -> None:
        """Close the connections; calling twice is harmless."""
        await self._driver.close()
