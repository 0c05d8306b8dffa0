"""
pytest fixtures of the test kit; a conftest takes them with ``pytest_plugins = ["tiercel.testing"]``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tiercel._chaos.proxy import FaultProxy
from tiercel._core.clock import ManualClock

__all__ = ["fault_proxy", "manual_clock"]


@pytest.fixture
def manual_clock() -> ManualClock:
    """Give a clock that stands still until told."""
    return ManualClock()


@pytest.fixture
def fault_proxy() -> Iterator[Callable[[int], FaultProxy]]:
    """Give a function that starts a `FaultProxy` in front of a port; all are closed at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(FaultProxy(port))
