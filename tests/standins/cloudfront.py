"""
CloudFront's invalidations as they really behave, which moto's are not.

`CloudFrontModel` is the behaviour, on a clock that is handed in: an invalidation is *InProgress* for a while and then
*Completed*; at most 3,000 items and 15 wildcards of a distribution are in progress; the seventh call in a row is
throttled, without a Retry-After; a reference that was seen returns the first invalidation, or an error where the
items differ; a tag needs the distribution's ``CacheTagConfig``. `CloudFrontStandIn` serves it by the API's XML, so
that boto3 talks to it. A callback hears of each invalidation as it completes, so that it can drive a real edge.
"""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.standins.serving import Reply, Request, Serving
from tiercel.typing import Clock

NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
_CREATE = re.compile(r"/2020-05-31/distribution/([^/]+)/invalidation/?")
_GET = re.compile(r"/2020-05-31/distribution/([^/]+)/invalidation/([^/]+)")
_CONFIG = re.compile(r"/2020-05-31/distribution/([^/]+)/config")


class Refusal(Exception):
    """An error of the API."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@dataclass
class Invalidation:
    """One invalidation and when it completes."""

    id: str
    reference: str
    items: tuple[str, ...]
    completes_s: float
    is_complete: bool = False


@dataclass
class CloudFrontModel:
    """One distribution's invalidations under the real limits; thread-safe."""

    clock: Clock
    completes_after_s: float = 5.0
    tag_header: str = "x-amz-meta-cache-tag"
    calls_at_once: int = 6
    calls_per_s: float = 0.5
    on_complete: Callable[[Sequence[str]], None] | None = None
    invalidations: dict[str, Invalidation] = field(default_factory=dict)
    references: dict[str, Invalidation] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    poison: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._tokens = float(self.calls_at_once)
        self._filled_s = self.clock.monotonic()
        self._lock = threading.RLock()
        self._open: list[Invalidation] = []

    @property
    def billed(self) -> int:
        """Items of all invalidations."""
        return sum(len(one.items) for one in self.invalidations.values())

    def create(self, reference: str, items: Sequence[str]) -> Invalidation:
        """Create an invalidation, or raise `Refusal`."""
        with self._lock:
            self.calls += 1
            try:
                return self._create(reference, tuple(items))
            except Refusal as refusal:
                self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
                raise

    def get(self, identity: str) -> Invalidation:
        """Return an invalidation, completed by now or not."""
        with self._lock:
            self.settle()
            if identity not in self.invalidations:
                raise Refusal("NoSuchInvalidation", 404)
            return self.invalidations[identity]

    def settle(self) -> None:
        """Complete what is due."""
        with self._lock:
            now = self.clock.monotonic()
            due = [one for one in self._open if one.completes_s <= now]
            self._open = [one for one in self._open if one.completes_s > now]
            for one in due:
                one.is_complete = True
                if self.on_complete is not None:
                    self.on_complete(one.items)

    def _create(self, reference: str, items: tuple[str, ...]) -> Invalidation:
        self._throttle()
        self.settle()
        known = self.references.get(reference)
        if known is not None:
            if known.items != items:
                raise Refusal("InvalidationBatchAlreadyExists", 409)
            return known
        self._check(items)
        under_way = [item for one in self._open for item in one.items]
        wildcards = sum(item.endswith("*") for item in (*under_way, *items))
        if len(under_way) + len(items) > 3000 or wildcards > 15:
            raise Refusal("TooManyInvalidationsInProgress", 400)
        one = Invalidation(
            f"I{len(self.invalidations):012d}", reference, items, self.clock.monotonic() + self.completes_after_s
        )
        self.invalidations[one.id] = self.references[reference] = one
        self._open.append(one)
        return one

    def _throttle(self) -> None:
        now = self.clock.monotonic()
        self._tokens = min(self.calls_at_once, self._tokens + (now - self._filled_s) * self.calls_per_s)
        self._filled_s = now
        if self._tokens < 1.0:
            raise Refusal("Throttling", 400)
        self._tokens -= 1.0

    def _check(self, items: Sequence[str]) -> None:
        if len(items) > 3000:
            raise Refusal("BatchTooLarge", 413)
        for item in items:
            is_tag = item.startswith("#")
            if is_tag and not self.tag_header:
                raise Refusal("InvalidArgument")
            if is_tag and (len(item) > 257 or "*" in item or "," in item or not item.isascii()):
                raise Refusal("InvalidArgument")
            if not is_tag and (not item.startswith("/") or "*" in item[:-1] or not item.isascii() or " " in item):
                raise Refusal("InvalidArgument")
            if item in self.poison:
                raise Refusal("InvalidArgument")


class CloudFrontStandIn(Serving):
    """Serves a `CloudFrontModel` to boto3 (``cloudfront_endpoint=`` in an edge's URL)."""

    def __init__(self, model: CloudFrontModel) -> None:
        super().__init__(self._answer)
        self.model = model

    def _answer(self, request: Request) -> Reply:
        try:
            return self._route(request)
        except Refusal as refusal:
            body = f"<ErrorResponse xmlns='{NAMESPACE}'><Error><Type>Sender</Type><Code>{refusal.code}</Code>"
            body += f"<Message>{refusal.code}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            return Reply(refusal.status, body.encode(), {"Content-Type": "text/xml"})

    def _route(self, request: Request) -> Reply:
        if request.method == "POST" and _CREATE.fullmatch(request.path):
            try:
                root = ET.fromstring(request.body)  # noqa: S314 - written by boto3 in the same test
            except ET.ParseError as error:  # its sender was killed half-way
                raise Refusal("MalformedXML") from error
            items = [node.text or "" for node in root.iter(f"{{{NAMESPACE}}}Path")]
            reference = root.findtext(f"{{{NAMESPACE}}}CallerReference") or ""
            return Reply(201, _document(self.model.create(reference, items)), {"Content-Type": "text/xml"})
        found = _GET.fullmatch(request.path)
        if request.method == "GET" and found:
            return Reply(200, _document(self.model.get(found[2])), {"Content-Type": "text/xml"})
        if request.method == "GET" and _CONFIG.fullmatch(request.path):
            return Reply(200, self._config(), {"Content-Type": "text/xml", "ETag": "E1"})
        raise Refusal("NoSuchDistribution", 404)

    def _config(self) -> bytes:
        tag = (
            f"<CacheTagConfig><HeaderName>{self.model.tag_header}</HeaderName></CacheTagConfig>"
            if self.model.tag_header
            else ""
        )
        return f"""<DistributionConfig xmlns='{NAMESPACE}'><CallerReference>c</CallerReference><Comment/>
            <Enabled>true</Enabled>
            <Origins><Quantity>0</Quantity></Origins><DefaultCacheBehavior><TargetOriginId>o</TargetOriginId>
            <ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy><MinTTL>60</MinTTL></DefaultCacheBehavior>
            {tag}</DistributionConfig>""".encode()


def _document(one: Invalidation) -> bytes:
    paths = "".join(f"<Path>{escape(item)}</Path>" for item in one.items)
    status = "Completed" if one.is_complete else "InProgress"
    return (
        f"<Invalidation xmlns='{NAMESPACE}'><Id>{one.id}</Id><Status>{status}</Status>"
        f"<CreateTime>2026-11-22T00:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>{len(one.items)}</Quantity>"
        f"<Items>{paths}</Items></Paths><CallerReference>{escape(one.reference)}</CallerReference></InvalidationBatch>"
        "</Invalidation>"
    ).encode()
