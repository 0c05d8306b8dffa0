"""
The rig's part of a pytest run: tests that use a server are marked so, and the run closes with each real server that ran
and, by reason, the name of each test that was skipped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator

import pytest
from _pytest.fixtures import FixtureFunctionDefinition

from tests.rig import fixtures
from tests.rig.process import Missing
from tests.schedules.totals import totals

FIXTURES = {name for name, value in vars(fixtures).items() if isinstance(value, FixtureFunctionDefinition)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses one of the rig's fixtures with ``server``."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skip a test whose fixture starts a server that is not installed."""
    try:
        return (yield)
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skip a test that itself starts a server that is not installed."""
    try:
        return (yield)
    except Missing as reason:
        pytest.skip(str(reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the servers that ran and, by reason, the name of every test that was skipped."""
    if totals.schedules:
        terminalreporter.line(f"races: {totals.schedules:,} schedules played through the real code")
    if fixtures.started:
        terminalreporter.section("real servers")
        for fixture, told in sorted(fixtures.started.items()):
            terminalreporter.line(f"{fixture}: {told}")
    by_reason: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.getreports("skipped"):
        by_reason[_reason(report)].append(report.nodeid)
    if by_reason:
        terminalreporter.section(f"skipped: {sum(map(len, by_reason.values()))}")
        for reason, names in sorted(by_reason.items()):
            terminalreporter.line(f"{reason}")
            for name in names:
                terminalreporter.line(f"    {name}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return getattr(report, "wasxfail", None) or "no reason given"
