"""
Where a command finds a report: a file that ``demo`` or the service wrote, standard input, or a running service.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tiercel.errors import ConfigurationError, TierUnavailable
from tiercel.observe.report import Report

__all__ = ["DEFAULT_SERVICE", "read_report"]

DEFAULT_SERVICE: Final = "http://127.0.0.1:8600"
REPORT_PATH: Final = "/api/report"
_TIMEOUT_S: Final = 5.0


def read_report(source: str) -> Report:
    """
    Return the report at *source*.

    Args:
        source: A path, ``-`` for standard input, or the URL of a service (its report path is added where none is
            given).

    Raises:
        ConfigurationError: There is no such file, or it holds something else.
        TierUnavailable: The service does not answer.
    """
    if source == "-":
        return Report.from_json(sys.stdin.buffer.read())
    if source.startswith(("http://", "https://")):
        return Report.from_json(_fetch(source))
    try:
        return Report.from_json(Path(source).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{source}: cannot be read: {error.strerror or error}") from error


def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    full = urlunsplit(parts._replace(path=REPORT_PATH)) if parts.path in {"", "/"} else url
    try:
        with urllib.request.urlopen(full, timeout=_TIMEOUT_S) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        raise TierUnavailable(f"{full} answers {error.code} {error.reason}") from error
    except OSError as error:
        raise TierUnavailable(f"{full} does not answer: {getattr(error, 'reason', error)}") from error
