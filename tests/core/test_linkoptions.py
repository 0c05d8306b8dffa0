"""A link's settings and the verdict of its health."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tiercel._core.linkoptions import LinkHealth, LinkOptions, NodeHealth
from tiercel.errors import ConfigurationError

NODE = NodeHealth(
    name="h:1",
    role="primary",
    is_connected=True,
    breaker="closed",
    breaker_opened=0,
    connections=1,
    in_flight=0,
    reconnects=0,
    commands=1,
    errors=0,
    latency_s=0.001,
    version="redis 7.0.15",
    last_error="",
)


@pytest.mark.parametrize(
    "wrong", [{"connect_timeout_s": 0.0}, {"max_in_flight": 0}, {"max_tries": 0}, {"reconnect_max_s": 0.001}]
)
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        LinkOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("node", "coverage", "expected"),
    [
        (NODE, 1.0, True),
        (NODE, 0.9, False),
        (replace(NODE, breaker="open"), 1.0, False),
        (replace(NODE, is_connected=False), 1.0, False),
        (replace(NODE, is_connected=False, role="replica"), 1.0, True),
    ],
)
def test_health_is_the_primaries_and_the_coverage(node: NodeHealth, coverage: float, expected: bool) -> None:
    health = LinkHealth(topology="cluster", nodes={"h:1": node}, coverage=coverage)
    assert health.is_healthy is expected
