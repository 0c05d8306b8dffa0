"""
The URL that names an edge, taken apart.

::

    folder:///var/lib/shop/edge
    s3+cloudfront://bucket/DISTRIBUTION?region=eu-central-1&endpoint=http://127.0.0.1:5000
    cloudfront://DISTRIBUTION                     (pulls from the application; origin=s3://bucket to publish)
    fastly://SERVICE?origin=s3://bucket&host=www.example.com
    cloudflare://ZONE?host=www.example.com
    varnish://10.0.0.1:6081,10.0.0.2:6081?method=bans   (Varnish nodes, or embedded edges)

Options are query parameters; an unknown one is refused by name. Secrets are never part of the URL: AWS's come from its
usual chain, the others' from a file that ``token_file`` names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tiercel.errors import ConfigurationError

COMMON = frozenset(
    {
        "salt",
        "overflow",
        "window",
        "rate",
        "burst",
        "host",
        "origin",
        "name",
        "quota",
        "again",
        "alone",
        "lease",
        "budget",
        "concurrency",
    }
)
AWS = frozenset(
    {"region", "endpoint", "prefix", "checksums", "tag_header", "tags", "tenant", "profile", "cloudfront_endpoint"}
)
OPTIONS: dict[str, frozenset[str]] = {
    "folder": COMMON,
    "s3": COMMON | AWS,
    "s3+cloudfront": COMMON | AWS,
    "cloudfront": COMMON | (AWS - {"prefix"}),
    "fastly": COMMON | {"endpoint", "token_file"},
    "cloudflare": COMMON | {"endpoint", "token_file"},
    "varnish": COMMON | {"method"},
}


@dataclass(frozen=True, slots=True)
class EdgeUrl:
    """
    One parsed edge URL.

    Args:
        scheme: Which CDN.
        place: Host part: bucket, service, zone, or nodes.
        path: What follows the host part: a folder or a distribution.
        options: Query parameters.
    """

    scheme: str
    place: str
    path: str
    options: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, default: float, least: float = 0.0) -> float:
        """Return option *name* as a number of at least *least*; raise `ConfigurationError` where it is none."""
        try:
            value = float(self.options.get(name, default))
        except ValueError as error:
            raise ConfigurationError(f"edge option {name}={self.options[name]!r}: must be a number") from error
        if not least <= value < float("inf"):
            raise ConfigurationError(f"edge option {name}={value}: must be at least {least}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return option *name*, the first of *allowed* where it is not set."""
        value = self.options.get(name, allowed[0])
        if value not in allowed:
            raise ConfigurationError(f"edge option {name}={value!r}: allowed are {', '.join(allowed)}")
        return value

    @property
    def name(self) -> str:
        """Name of the edge in reports and tickets: the ``name`` option, else scheme and place."""
        return (
            self.options.get("name")
            or f"{self.scheme}:{self.place or self.path}{'/' + self.path if self.place and self.path else ''}"
        )


def parse_edge_url(url: str) -> EdgeUrl:
    """
    Take *url* apart.

    Raises:
        ConfigurationError: an unknown scheme, an unknown or doubled option, or a part that is missing.
    """
    split = urlsplit(url)
    allowed = OPTIONS.get(split.scheme)
    if allowed is None:
        raise ConfigurationError(f"edge URL {url!r}: the scheme must be one of {', '.join(sorted(OPTIONS))}")
    if "@" in split.netloc:
        raise ConfigurationError("edge URL: no credentials in the URL; use token_file, or AWS's usual chain")
    pairs = parse_qsl(split.query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigurationError(f"edge URL {url!r}: an option is given twice")
    for name in options:
        if name not in allowed:
            raise ConfigurationError(f"edge URL option {name!r}: {split.scheme} knows {', '.join(sorted(allowed))}")
    place = split.netloc if split.scheme == "varnish" else (split.netloc or "")
    path = split.path if split.scheme == "folder" else split.path.strip("/")
    parsed = EdgeUrl(split.scheme, place, path, options)
    _check_parts(parsed, url)
    return parsed


def _check_parts(parsed: EdgeUrl, url: str) -> None:
    if parsed.scheme == "folder" and (parsed.place or not parsed.path.strip("/")):
        raise ConfigurationError(f"edge URL {url!r}: write folder:///absolute/path")
    if parsed.scheme != "folder" and not parsed.place:
        raise ConfigurationError(f"edge URL {url!r}: what follows {parsed.scheme}:// is missing")
    if parsed.scheme == "s3+cloudfront" and not parsed.path:
        raise ConfigurationError(f"edge URL {url!r}: write s3+cloudfront://bucket/DISTRIBUTION")
