"""The exported Prometheus rules decide as the built-in evaluation does: ``promtool test rules`` on random histories."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.observe.figures import FakeLocalTier, journal, link, node
from tiercel._core.alertoptions import AlertingOptions
from tiercel._core.alertrules import DEFAULT_RULES, AlertRule
from tiercel.local import LocalStats
from tiercel.observe import Recorder
from tiercel.observe.alerting import Alerter
from tiercel.observe.families import BOUND_EXPONENTS, FAMILIES, HISTOGRAMS
from tiercel.observe.promrules import prometheus_rules
from tiercel.observe.snapshot import Snapshot, take_snapshot
from tiercel.options import LocalOptions, RegionOptions

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: apt-get install prometheus")

STEP_S = 60
STEPS = 60
QUIET_STEPS = 6
HISTORIES = 5

RULES = (
    *(replace(rule, for_s=min(rule.for_s, 180), min_requests=20) for rule in DEFAULT_RULES),
    AlertRule(name="SearchHits", metric="hit_rate", below=0.5, clear=0.7, for_s=60, region="search", min_requests=30),
    AlertRule(name="EachHits", metric="hit_rate", below=0.5, clear=0.7, for_s=120, region="*", min_requests=30),
    AlertRule(name="EachErrors", metric="error_rate", above=0.02, for_s=0, region="*", min_requests=0),
    AlertRule(name="EachSlow", metric="latency_p99", above=0.01, clear=0.005, for_s=60, region="*", min_requests=10),
    AlertRule(name="Depth", metric="journal_depth", above=50, clear=20, for_s=60),
)


def _history(seed: int) -> Iterator[Snapshot]:
    """Yield a snapshot a minute of a cache that has good and bad phases."""
    chance = random.Random(seed)
    recorder = Recorder(wall=lambda: 0.0)
    for name in ("search", "product"):
        recorder.region(name).tier("redis")
    is_bad = dict.fromkeys(("hits", "errors", "slow", "lag", "breaker", "gap", "used"), False)
    for step in range(STEPS):
        for topic in is_bad:
            is_bad[topic] ^= chance.random() < 0.15
        if step >= QUIET_STEPS:
            _traffic(recorder, chance, is_bad)
        lag_s = chance.choice((30.0, 70.0, 90.0)) if is_bad["lag"] else chance.choice((0.0, 5.0, 20.0))
        breaker = "open" if is_bad["breaker"] else "closed"
        high = chance.choice((0.75, 0.9)) if is_bad["used"] else chance.choice((0.5, 0.72))
        yield take_snapshot(
            recorder,
            step * STEP_S,
            local_tier=FakeLocalTier({"product": LocalStats(entries=int(1000 * high) + 99 * is_bad["used"])}),
            policies={"product": RegionOptions(name="product", local=LocalOptions(max_entries=1000))},
            links={"redis": link(node(breaker=breaker))},
            journals={"product": journal(oldest_age_s=lag_s, depth=int(lag_s), dead=int(is_bad["lag"]))},
            gauges={"backplane_lag": lag_s / 20, "purge_budget_used": high, "inconsistency": lag_s / 5e5}
            | {"changes_lag": lag_s / 2, "changes_retained": lag_s * 2**25},
        )


def _traffic(recorder: Recorder, chance: random.Random, is_bad: dict[str, bool]) -> None:
    for name in ("search", "product"):
        region = recorder.region(name)
        tier = region.tier("redis")
        reads = chance.choice((0, 3, 100, 400))
        hits = int(reads * (chance.uniform(0.2, 0.65) if is_bad["hits"] else chance.uniform(0.55, 1)))
        tier.hits += hits
        tier.misses += reads - hits
        region.load_errors += int(reads * 0.05) if is_bad["errors"] else 0
        for _ in range(reads // 4):
            tier.latency.observe(chance.uniform(0.001, 0.2 if is_bad["slow"] else 0.02))
    if is_bad["gap"] and chance.random() < 0.3:
        recorder.event("backplane_gap")


def _series(snapshot: Snapshot) -> dict[str, float]:
    """Return the exported series of a snapshot that rules look at, by name and labels."""
    found: dict[str, float] = {}
    rules = prometheus_rules(RULES)
    for family in FAMILIES:
        if family.name not in rules:
            continue
        suffix = "_total" if family.kind == "counter" else ""
        for labels, value in family.samples(snapshot):
            found[_name(family.name + suffix, family.labels, labels)] = value
    for histogram_family in HISTOGRAMS:
        if histogram_family.name not in rules:
            continue
        for labels, histogram in histogram_family.histograms(snapshot):
            names, count = histogram_family.labels, histogram.count
            for bound, up_to in [*histogram.cumulative(BOUND_EXPONENTS), ("+Inf", count)]:
                found[_name(f"{histogram_family.name}_bucket", (*names, "le"), (*labels, str(bound)))] = up_to
            found[_name(f"{histogram_family.name}_count", names, labels)] = count
    return found


def _name(name: str, labels: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ", ".join(f"{label}={json.dumps(value)}" for label, value in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}}"


def _unit_test(seed: int) -> tuple[dict[str, Any], int]:
    """Return promtool's description of a history with the alerts that the built-in evaluation finds, and how many."""
    alerter = Alerter(RULES, AlertingOptions(), [])
    series: dict[str, list[str]] = {}
    expected: list[dict[str, Any]] = []
    total = 0
    for step, snapshot in enumerate(_history(seed)):
        for name, value in _series(snapshot).items():
            series.setdefault(name, ["_"] * step).append(repr(float(value)))
        firing = [alert for alert in alerter.evaluate(snapshot) if alert.state.phase == "firing"]
        total += len(firing)
        for rule in RULES:
            labels = [
                {"severity": rule.severity} | ({"region": alert.region} if alert.region else {})
                for alert in firing
                if alert.rule is rule
            ]
            alerts = [{"exp_labels": one} for one in labels]
            expected.append({"eval_time": f"{step}m", "alertname": rule.name, "exp_alerts": alerts})
    inputs = [{"series": name, "values": " ".join(values)} for name, values in series.items()]
    return {"interval": "1m", "input_series": inputs, "alert_rule_test": expected}, total


def _rules_without_annotations() -> str:
    """Return the rule file without the texts, which promtool would compare too."""
    lines = prometheus_rules(RULES, interval_s=STEP_S).splitlines()
    texts = ("        annotations:", "          summary:", "          description:")
    return "\n".join(line for line in lines if not line.startswith(texts)) + "\n"


def _promtool(folder: Path, rules: str, tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    (folder / "rules.yml").write_text(rules)
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "test.yml").write_text(json.dumps(document))
    command = [PROMTOOL or "promtool", "test", "rules", str(folder / "test.yml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@needs_promtool
def test_both_sides_fire_and_end_at_the_same_minutes(tmp_path: Path) -> None:
    made = [_unit_test(seed) for seed in range(HISTORIES)]
    done = _promtool(tmp_path, _rules_without_annotations(), [test for test, _ in made])
    assert done.returncode == 0, done.stdout[:3000] + done.stderr[:3000]
    assert sum(total for _, total in made) > 300
    fired = {one["alertname"] for test, _ in made for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fired == {rule.name for rule in RULES}


@needs_promtool
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('alertstate=\\"firing\\"', 'alertstate=\\"never\\"'),
        (">= 20", ">= 2000000"),
        ("histogram_quantile(0.99", "histogram_quantile(0.5"),
        ("for: 60s", "for: 0s"),
    ],
)
def test_a_rule_that_differs_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    rules = _rules_without_annotations()
    assert right in rules
    tests = [_unit_test(seed)[0] for seed in range(2)]
    assert _promtool(tmp_path, rules.replace(right, wrong), tests).returncode != 0


@needs_promtool
def test_the_rule_file_is_valid(tmp_path: Path) -> None:
    odd = AlertRule(name="Odd", metric="hit_rate", below=0.25, region="a.b-c", for_s=0.5, summary='say "{{ no }}"')
    (tmp_path / "rules.yml").write_text(
        prometheus_rules([*DEFAULT_RULES, odd, replace(odd, name="Off", enabled=False)])
    )
    done = subprocess.run(
        [PROMTOOL or "promtool", "check", "rules", str(tmp_path / "rules.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(DEFAULT_RULES) + 1} rules found" in done.stdout
