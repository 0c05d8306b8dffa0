"""Both implementations answer alike: a Hypothesis machine, and a short run of the fuzzer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proofs import fuzz_native
from tiercel._core.clock import ManualClock
from tiercel.local._reference import ReferenceTable
from tiercel.local.ticker import ClockReader
from tiercel.options import LocalOptions

try:
    from tiercel.local.accelerated import NativeTable
except ImportError:
    pytest.skip("the accelerator tiercel.local._native was not built", allow_module_level=True)

KEYS = st.sampled_from(["a", "b", b"a", "", "é", "日本", *(f"k{number}" for number in range(20))])
TENANTS = st.sampled_from(["acme", "globex"])
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 10.0, 1e9])
TAGS = st.sampled_from([(), ((1, 2),)])
OPTIONS = st.sampled_from(
    [
        LocalOptions(max_entries=1),
        LocalOptions(max_entries=8),
        LocalOptions(max_entries=8, tenant_share=0.5),
        LocalOptions(max_entries=None, max_bytes=2000),
        LocalOptions(max_entries=None, max_bytes=2000, objective="bytes"),
    ]
)


class Tables(RuleBasedStateMachine):
    """The same table twice; every rule asks both."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        options = LocalOptions(max_entries=8)
        self.tables: list[Any] = [
            NativeTable(options, self.clock, overhead_bytes=100),
            ReferenceTable(options, ClockReader(self.clock), overhead_bytes=100),
        ]
        self.looks: list[tuple[str, Any, list[Any]]] = []
        self.fills: list[tuple[str, Any, int]] = []

    def ask(self, tenant: str, verb: str, *args: Any, **kwargs: Any) -> Any:
        native, reference = [getattr(table.view(tenant), verb)(*args, **kwargs) for table in self.tables]
        assert native == reference
        return reference

    @rule(tenant=TENANTS, key=KEYS)
    def get(self, tenant: str, key: Any) -> None:
        self.ask(tenant, "get", key)

    @rule(tenant=TENANTS, key=KEYS, ttl_s=SECONDS, keep_s=SECONDS, version=st.integers(0, 3), tags=TAGS)
    def set(self, tenant: str, key: Any, ttl_s: float, keep_s: float, version: int, tags: Any) -> None:
        self.ask(tenant, "set", key, [key], ttl_s=ttl_s, keep_s=keep_s, version=version, tags=tags)

    @rule(tenant=TENANTS, key=KEYS, weight=st.integers(0, 300))
    def set_weight(self, tenant: str, key: Any, weight: int) -> None:
        self.ask(tenant, "set", key, 1, ttl_s=10, weight=weight)

    @rule(tenant=TENANTS, key=KEYS, verb=st.sampled_from(["delete", "expire", "ttl", "entry"]))
    def one_key(self, tenant: str, key: Any, verb: str) -> None:
        self.ask(tenant, verb, key)

    @rule(tenant=TENANTS, key=KEYS, ttl_s=SECONDS)
    def touch(self, tenant: str, key: Any, ttl_s: float) -> None:
        self.ask(tenant, "touch", key, ttl_s)

    @rule(tenant=TENANTS, key=KEYS)
    def look(self, tenant: str, key: Any) -> None:
        looks = [table.view(tenant).entry(key) for table in self.tables]
        if looks[0] is not None:
            self.looks.append((tenant, key, looks))

    @rule(which=st.integers(0, 100))
    def restamp(self, which: int) -> None:
        if self.looks:
            tenant, key, looks = self.looks[which % len(self.looks)]
            answers = [table.view(tenant).restamp(key, look) for table, look in zip(self.tables, looks, strict=True)]
            assert answers[0] == answers[1]

    @rule(tenant=TENANTS, key=KEYS)
    def begin_fill(self, tenant: str, key: Any) -> None:
        self.fills.append((tenant, key, self.ask(tenant, "begin_fill", key)))

    @rule(which=st.integers(0, 100), is_good=st.booleans())
    def end_fill(self, which: int, is_good: bool) -> None:
        if self.fills:
            tenant, key, token = self.fills.pop(which % len(self.fills))
            if is_good:
                self.ask(tenant, "commit_fill", key, token, "filled", ttl_s=10, keep_s=5)
            else:
                self.ask(tenant, "abandon_fill", key, token)

    @rule(tenant=st.none() | TENANTS, verb=st.sampled_from(["bump_epoch", "clear"]))
    def sweeping(self, tenant: str | None, verb: str) -> None:
        for table in self.tables:
            getattr(table if tenant is None else table.view(tenant), verb)()

    @rule(options=OPTIONS)
    def configure(self, options: LocalOptions) -> None:
        for table in self.tables:
            table.configure(options, None)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 20.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(budget=st.integers(0, 50))
    def sweep(self, budget: int) -> None:
        removed = [table.sweep(budget) for table in self.tables]
        assert removed[0] == removed[1]

    @invariant()
    def counts_agree(self) -> None:
        native, reference = [table.stats() for table in self.tables]
        assert native == reference
        bound = self.tables[1].options
        assert bound.max_entries is None or reference.entries <= bound.max_entries
        assert bound.max_bytes is None or reference.size_bytes <= bound.max_bytes


TestTables = Tables.TestCase
TestTables.settings = settings(max_examples=60, stateful_step_count=60)


@pytest.mark.slow
def test_the_fuzzer_finds_no_difference_and_nothing_left_behind() -> None:
    figures = fuzz_native.run(60_000, seed=11)
    assert figures["differences"] == figures["values_left"] == 0
    assert figures["finalizers_run"] > 100
