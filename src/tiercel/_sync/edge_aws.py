# Generated from src/tiercel/_async/edge_aws.py by tools/unasync.py. Do not edit.
"""
Where boto3 enters: clients for S3 and CloudFront, made from an edge's URL.

Credentials come from AWS's usual chain (environment, profile, instance role), never from the URL. boto3 clients are
thread-safe; they block, and are called in worker threads.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tiercel._edges.aws import AwsErrors
from tiercel._edges.cloudfront import CloudFrontSender
from tiercel._edges.s3 import S3Origin
from tiercel._edges.uploads import UploadLedger
from tiercel.cdn.capabilities import CLOUDFRONT
from tiercel.cdn.edgeurl import EdgeUrl
from tiercel.errors import ConfigurationError

CHECKSUMS = ("when_required", "when_supported")


def open_s3(parsed: EdgeUrl, state_dir: Path | None) -> S3Origin:
    """Return the bucket of *parsed* as an origin, its unfinished uploads noted in *state_dir*."""
    client, errors = _client("s3", parsed, parsed.options.get("endpoint"))
    prefix = parsed.options.get("prefix", "").strip("/")
    header = parsed.options.get("tag_header", CLOUDFRONT.tag_header)
    if not header.startswith("x-amz-meta-"):
        raise ConfigurationError(f"tag_header={header!r}: an S3 origin can only send x-amz-meta-… headers")
    return S3Origin(
        client,
        errors,
        parsed.place,
        prefix=f"{prefix}/" if prefix else "",
        tag_meta=header.removeprefix("x-amz-meta-"),
        ledger=UploadLedger(None if state_dir is None else state_dir / "uploads"),
    )


def open_cloudfront(parsed: EdgeUrl) -> CloudFrontSender:
    """Return the distribution of *parsed* as a sender of purges."""
    endpoint = parsed.options.get("cloudfront_endpoint") or parsed.options.get("endpoint")
    client, errors = _client("cloudfront", parsed, endpoint)
    capabilities = replace(
        CLOUDFRONT,
        tags=parsed.choice("tags", ("on", "off")) == "on",
        tag_header=parsed.options.get("tag_header") or CLOUDFRONT.tag_header,
    )
    return CloudFrontSender(
        client, errors, parsed.path or parsed.place, tenant=parsed.options.get("tenant"), capabilities=capabilities
    )


def _client(service: str, parsed: EdgeUrl, endpoint: str | None) -> tuple[Any, AwsErrors]:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    except ImportError as error:
        raise ConfigurationError("S3 and CloudFront need boto3: pip install tiercel[cdn]") from error
    # Newer boto3 sends checksums that other S3 servers reject, so they are left out where the endpoint is not AWS.
    checksums: Literal["when_required", "when_supported"] = "when_required" if endpoint else "when_supported"
    if "checksums" in parsed.options:
        checksums = "when_required" if parsed.choice("checksums", CHECKSUMS) == "when_required" else "when_supported"
    config = Config(
        signature_version="s3v4" if service == "s3" else None,  # the default presigns by version 2, which most refuse
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 1 if service == "cloudfront" else 3},
        max_pool_connections=int(parsed.number("concurrency", 8, 1)) + 2,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )
    session = boto3.session.Session(profile_name=parsed.options.get("profile"))
    region = parsed.options.get("region") or session.region_name or "us-east-1"
    client = session.client(service, region_name=region, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]
    return client, AwsErrors(ClientError, (BotoCoreError, HTTPClientError))
