"""
CloudFront as a sender of purges, over a boto3 client that is handed in.

Purges a distribution, or one *distribution tenant* of a multi-tenant distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tiercel._edges.aws import AwsErrors
from tiercel.cdn.capabilities import CLOUDFRONT, Capabilities
from tiercel.cdn.cloudfront import invalidation_batch, translate
from tiercel.cdn.purge import PurgeItem
from tiercel.errors import TierUnavailable


class CloudFrontSender:
    """
    Invalidations of one distribution.

    Args:
        client: A boto3 CloudFront client.
        errors: The driver's exception types.
        distribution: Distribution id.
        tenant: Distribution tenant id; None to purge the whole distribution.
        capabilities: CloudFront's, where rate or tag support differ from the default.
    """

    def __init__(
        self,
        client: Any,
        errors: AwsErrors,
        distribution: str,
        *,
        tenant: str | None = None,
        capabilities: Capabilities = CLOUDFRONT,
    ) -> None:
        self.capabilities = capabilities
        self.distribution = distribution
        self._client = client
        self._errors = errors
        self._tenant = tenant

    def send(self, reference: str, items: Sequence[PurgeItem]) -> str | None:
        """Create the invalidation; a repeat under the same reference returns the first one's id."""
        batch = invalidation_batch(reference, items)
        if self._tenant is not None:
            create = self._client.create_invalidation_for_distribution_tenant
            reply = self._call(create, Id=self._tenant, InvalidationBatch=batch)
        else:
            reply = self._call(
                self._client.create_invalidation, DistributionId=self.distribution, InvalidationBatch=batch
            )
        return str(reply["Invalidation"]["Id"])

    def poll(self, provider_id: str) -> bool:
        """Say whether the invalidation is complete."""
        if self._tenant is not None:
            get = self._client.get_invalidation_for_distribution_tenant
            reply = self._call(get, DistributionTenantId=self._tenant, Id=provider_id)
        else:
            reply = self._call(self._client.get_invalidation, DistributionId=self.distribution, Id=provider_id)
        return str(reply["Invalidation"]["Status"]).lower() == "completed"

    def settings(self) -> dict[str, Any]:
        """Return the distribution's configuration, for the doctor."""
        reply = self._call(self._client.get_distribution_config, Id=self.distribution)
        return dict(reply["DistributionConfig"])

    def ping(self) -> None:
        """Raise `TierError` where the distribution is unknown or cannot be reached."""
        self.settings()

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _call(self, function: Callable[..., Any], **request: Any) -> Any:
        try:
            return function(**request)
        except self._errors.coded as error:
            reply: dict[str, Any] = getattr(error, "response", {})
            metadata = reply.get("ResponseMetadata", {})
            fault = reply.get("Error", {})
            raise translate(
                str(fault.get("Code", "")),
                int(metadata.get("HTTPStatusCode", 0)),
                str(fault.get("Message", "")),
                metadata.get("HTTPHeaders"),
            ) from error
        except self._errors.network as error:
            raise TierUnavailable(f"CloudFront: {error}", tier="cdn", operation="purge") from error
