"""Doctor's probes: each condition gives its finding, its level and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.observe.figures import link, node
from tiercel._core.redisfacts import ServerFacts, parse_facts
from tiercel.observe.findings import (
    Finding,
    judge_backplane,
    judge_clock,
    judge_codec,
    judge_connections,
    judge_local_tier,
    judge_server,
    judge_slots,
)
from tiercel.options import JournalOptions, RegionOptions

SOUND = ServerFacts(
    engine="redis",
    version=(8, 2, 2),
    max_memory_bytes=1 << 30,
    used_memory_bytes=1 << 20,
    eviction_policy="volatile-lfu",
    evicted_keys=0,
    is_aof_on=True,
    appendfsync="always",
    role="master",
    replicas=2,
    is_cluster=False,
    clients=5,
    max_clients=10_000,
    is_loading=False,
    clock_offset_s=0.001,
    round_trip_s=0.0002,
)


def _region(durability: str = "always") -> RegionOptions:
    journal = JournalOptions(kind="redis", durability=durability)  # type: ignore[arg-type]
    return RegionOptions(name="profile", strategy="write-behind", store="sqlite:///x#u", journal=journal)


def _worst(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_a_sound_server_has_no_findings() -> None:
    findings = judge_server("h:1", SOUND, [_region("replicated")])
    assert _worst(findings) == []
    assert len(findings) == 4


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"max_memory_bytes": 0}, "warning", "memory is unbounded"),
        ({"eviction_policy": "noeviction"}, "warning", "refuses writes"),
        ({"eviction_policy": "allkeys-lru"}, "error", "journals may be evicted: profile"),
        ({"is_aof_on": False}, "error", "the append-only file is off"),
        ({"appendfsync": "everysec"}, "error", "appendfsync is everysec"),
        ({"appendfsync": None}, "error", "CONFIG is refused"),
        ({"is_loading": True}, "error", "still loading"),
        ({"clients": 9000}, "warning", "9000 of 10000 clients"),
        ({"clock_offset_s": 3.0}, "warning", "differs by 3000.0 ms"),
        ({"clock_offset_s": -1.0}, "note", "differs by 1000.0 ms"),
        ({"version": (6, 2, 21)}, "error", "too old"),
        ({"version": (8, 2, 1)}, "warning", "CVE-2025-49844"),
        ({"version": (7, 0, 15)}, "warning", "CVE-2024-31228"),
        ({"engine": "valkey", "version": (8, 1, 3)}, "warning", "CVE-2025-49844"),
    ],
)
def test_each_weakness_is_found_and_comes_with_advice(changes: dict[str, object], level: str, words: str) -> None:
    found = _worst(judge_server("h:1", replace(SOUND, **changes), [_region()]))  # type: ignore[arg-type]
    assert any(finding.level == level and words in finding.message for finding in found)
    assert all(finding.action for finding in found if finding.level != "note")


def test_a_newer_branch_is_not_blamed_for_old_holes() -> None:
    for engine, version in (("redis", (8, 6, 0)), ("valkey", (9, 1, 0)), ("valkey", (8, 1, 4))):
        assert _worst(judge_server("h:1", replace(SOUND, engine=engine, version=version), [])) == []


def test_one_replica_is_not_enough_for_replicated() -> None:
    found = _worst(judge_server("h:1", replace(SOUND, replicas=1), [_region("replicated")]))
    assert "1 replicas" in found[0].message


def test_an_offset_within_the_error_of_its_measurement_is_fine() -> None:
    assert judge_clock("x", 0.9, 1.0).level == "ok"


def test_the_rest_of_the_installation() -> None:
    assert judge_local_tier("native").level == "ok"
    assert "compiler" in judge_local_tier("reference", "not built").action
    assert judge_codec("msgpack", True, 1e-5).level == "ok"
    assert judge_codec("msgpack", False, 1e-5).level == "error"
    assert judge_slots("redis", link(coverage=0.75)).message == "25.0 % of the key space has no server"
    assert judge_slots("redis", link()).level == "ok"


def test_connections_are_judged_by_node() -> None:
    nodes = (
        node("a:1"),
        node("b:1", breaker="open", last_error="slow"),
        node("c:1", is_connected=False, last_error="x"),
    )
    assert [finding.level for finding in judge_connections("redis", link(*nodes))] == ["ok", "error", "error"]


def test_a_slow_backplane_breaks_the_bound_on_staleness() -> None:
    regions = {"product": RegionOptions(name="product", max_staleness_s=0.5)}
    assert judge_backplane(0.6, regions).level == "error"
    assert judge_backplane(0.001, regions).level == "ok"


def test_facts_are_read_from_info() -> None:
    text = (
        "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.4\r\nmaxmemory:1048576\r\n"
        "maxmemory_policy:allkeys-lfu\r\nused_memory:5\r\naof_enabled:1\r\nrole:master\r\n"
        "connected_slaves:2\r\nconnected_clients:3\r\nloading:0\r\n"
    )
    facts = parse_facts(text, {"appendfsync": "everysec"}, clock_offset_s=0.1, round_trip_s=0.2)
    assert (facts.engine, facts.version, facts.version_text) == ("valkey", (8, 1, 4), "valkey 8.1.4")
    assert (facts.max_memory_bytes, facts.eviction_policy, facts.replicas) == (1 << 20, "allkeys-lfu", 2)
    assert (facts.is_aof_on, facts.appendfsync, facts.max_clients) == (True, "everysec", 0)
