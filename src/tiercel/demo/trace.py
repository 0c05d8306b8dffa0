"""
Recorded traces: one key a line; plain, gzip (``.gz``) or Zstandard (``.zst``).
"""

from __future__ import annotations

import gzip
import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tiercel._core.keys import encode_key
from tiercel.errors import ConfigurationError, KeyRefused


def read_trace(path: Path) -> Iterator[str]:
    """
    Return the keys of a trace, in order; blank lines are passed over.

    Raises:
        ConfigurationError: no such file, damaged, not text, or a line that is no key; the message names the line.
    """
    number = 0
    try:
        with _opened(path) as lines:
            for line in lines:
                number += 1
                key = line.rstrip("\r\n")
                if key:
                    encode_key(key)
                    yield key
    except KeyRefused as error:
        raise ConfigurationError(f"{path}, line {number}: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}, after line {number}: this is not text: {error.reason}") from error
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path}, after line {number}: cannot be read: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield lines
    elif path.suffix == ".zst":
        with _zstandard(path) as lines:
            yield lines
    else:
        with path.open(encoding="utf-8") as lines:
            yield lines


@contextmanager
def _zstandard(path: Path) -> Iterator[IO[str]]:
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError as error:
        raise ConfigurationError('a .zst trace needs: pip install "tiercel[compression]"') from error
    try:
        with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            yield io.TextIOWrapper(io.BufferedReader(reader), encoding="utf-8")
    except zstandard.ZstdError as error:
        raise OSError(str(error)) from error
