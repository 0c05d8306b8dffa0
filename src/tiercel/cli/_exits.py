"""Exit codes of the command line, and which error means which."""

from __future__ import annotations

from typing import Final

from tiercel.errors import ConfigurationError, StoreError, TierError

__all__ = ["DONE", "INTERRUPTED", "MISCONFIGURED", "NO", "UNREACHABLE", "USAGE", "exit_code_of"]

DONE: Final = 0
NO: Final = 1
"""The command worked and the answer is "no": a wrong matrix, a failed probe, a firing alert."""
USAGE: Final = 2
MISCONFIGURED: Final = 3
UNREACHABLE: Final = 4
INTERRUPTED: Final = 130


def exit_code_of(error: BaseException) -> int:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, ConfigurationError):
        return MISCONFIGURED
    if isinstance(error, (TierError, StoreError, OSError)):
        return UNREACHABLE
    return NO
