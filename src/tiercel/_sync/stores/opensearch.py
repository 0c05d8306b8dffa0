# Generated from src/tiercel/_async/stores/opensearch.py by tools/unasync.py. Do not edit.
"""The OpenSearch driver, as little of it as the search store needs."""

from __future__ import annotations

from typing import Any

from opensearchpy import OpenSearch, ImproperlyConfigured
from opensearchpy.exceptions import ConnectionTimeout, OpenSearchException, TransportError

from tiercel._core.storeurl import StoreAddress
from tiercel.errors import ConfigurationError, StoreError, StoreTimeout

__all__ = ["OpenSearchClient"]


class OpenSearchClient:
    """A pool of connections to one cluster; the driver's retries are off: whoever writes repeats under its guard."""

    def __init__(self, address: StoreAddress, *, timeout_s: float, pool_size: int) -> None:
        self._name = address.shown
        try:
            self._driver = OpenSearch(address.driver_url, timeout=timeout_s, pool_maxsize=pool_size, max_retries=0)
        except (ValueError, ImproperlyConfigured):
            # The driver's words may quote the address with its password.
            raise ConfigurationError(f"{address.shown}: write opensearch://host:port#index") from None

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Return status and answer; raises `StoreError` or `StoreTimeout` where there is none, or for 429 and 5xx."""
        content_type = "application/x-ndjson" if path.endswith("/_bulk") else "application/json"
        try:
            answer = self._driver.transport.perform_request(
                method, path, headers={"content-type": content_type}, body=body
            )
        except ConnectionTimeout as error:
            raise self._failure(StoreTimeout, method, "no answer in time") from error
        except TransportError as error:
            status = error.status_code
            if not isinstance(status, int) or status == 429 or status >= 500:
                raise self._failure(StoreError, method, f"status {status}") from error
            return status, error.info
        except OpenSearchException as error:
            raise self._failure(StoreError, method, type(error).__name__) from error
        return 200, answer

    def _failure(self, kind: type[StoreError], method: str, reason: str) -> StoreError:
        return kind(f"{self._name}: {method} failed: {reason}", tier="opensearch", operation=method)

    def close(self) -> None:
        """Close the connections; calling twice is harmless."""
        self._driver.close()
