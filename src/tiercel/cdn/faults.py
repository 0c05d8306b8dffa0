"""
How a CDN says no: the answers that the purger treats differently.

`SendThrottled` is slowed down for and sent again, `SendRefused` goes to the dead letters, and any other `TierError`
is a network's failure and sent again. The same reference is used each time, so a request that did arrive has no
second effect.
"""

from __future__ import annotations

from tiercel.errors import TierError, TierUnavailable


class SendThrottled(TierError):
    """The CDN asks for a slower pace."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, tier: str = "cdn") -> None:
        super().__init__(message, tier=tier, operation="purge")
        self.retry_after_s = retry_after_s


class SendRefused(TierError):
    """The CDN refuses the request as it is."""

    def __init__(self, message: str, *, items_at_fault: bool = True, tier: str = "cdn") -> None:
        super().__init__(message, tier=tier, operation="purge")
        self.items_at_fault = items_at_fault
        """
        False where credentials or the distribution are wrong, so that the same items may pass once that is mended.
        """


class SendPartly(TierUnavailable):
    """Some nodes of the edge did not confirm; the others have, and other purges need not wait."""
