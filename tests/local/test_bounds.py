"""How much a table holds, who gives way, and what a neighbour can do."""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict

import pytest

from tests.local.conftest import MakeTable
from tiercel._core.clock import ManualClock
from tiercel.local import LocalTable, LocalTier, LocalView
from tiercel.local.weigh import weigh
from tiercel.options import LocalOptions
from tiercel.typing import MISS

OVERHEAD_BYTES = {"native": 112, "reference": 500}


def zipf(count: int, keys: int, seed: int = 1) -> list[str]:
    weights = list(itertools.accumulate(1 / (rank + 5) ** 0.9 for rank in range(keys)))
    return [f"k{rank}" for rank in random.Random(seed).choices(range(keys), cum_weights=weights, k=count)]


def hits(view: LocalView, requests: list[str], ttl_s: float = 1e6) -> int:
    found = 0
    for key in requests:
        if view.get(key) is MISS:
            view.set(key, 1, ttl_s=ttl_s)
        else:
            found += 1
    return found


def lru_hits(requests: list[str], size: int) -> int:
    held: OrderedDict[str, None] = OrderedDict()
    found = 0
    for key in requests:
        if key in held:
            held.move_to_end(key)
            found += 1
        else:
            held[key] = None
            if len(held) > size:
                held.popitem(last=False)
    return found


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 1000])
def test_never_more_entries_than_the_bound(make_table: MakeTable, bound: int) -> None:
    table = make_table(max_entries=bound)
    view = table.view("acme")
    for key in zipf(3000, 5000):
        view.set(key, 1, ttl_s=10)
        assert table.stats().entries <= bound
    assert table.stats().entries == bound


def test_bytes_bound_what_is_held(make_table: MakeTable, tier: LocalTier) -> None:
    table = make_table(max_bytes=100_000)
    view = table.view("acme")
    for key in zipf(3000, 5000):
        view.set(key, "x" * random.Random(key).randrange(2000), ttl_s=10)
        stats = table.stats()
        assert stats.size_bytes <= 100_000
    entries = stats.entries
    assert stats.size_bytes > 80_000
    assert stats.tenants["acme"].cost == stats.size_bytes
    assert stats.size_bytes > entries * OVERHEAD_BYTES[tier.implementation]


def test_what_is_too_large_is_refused_and_ends_the_old_value(make_table: MakeTable) -> None:
    table = make_table(max_bytes=80_000)
    view = table.view("acme")
    assert view.set("k", "small", ttl_s=10)
    assert not view.set("k", "x" * 20_000, ttl_s=10)
    assert view.get("k") is MISS
    assert view.set("given", "x", ttl_s=10, weight=5_000)
    assert not view.set("given", "x", ttl_s=10, weight=50_000)


def test_overwriting_with_another_weight_is_accounted(make_table: MakeTable) -> None:
    table = make_table(max_bytes=1_000_000)
    view = table.view("acme")
    view.set("k", "x", ttl_s=10, weight=100)
    small = table.stats().size_bytes
    view.set("k", "x", ttl_s=10, weight=1100)
    assert table.stats().size_bytes == small + 1000
    view.delete("k")
    assert table.stats().size_bytes == 0


def test_a_scan_does_not_flush_what_is_used(make_table: MakeTable) -> None:
    view = make_table(max_entries=500).view("acme")
    favourites = [f"hot{number}" for number in range(300)]
    hits(view, favourites * 5)
    requests = [
        key
        for number in range(12_000)
        for key in (f"scan{number}", favourites[number // 5 % 300])[: 1 + (number % 5 == 0)]
    ]
    assert hits(view, requests) > 2400 * 0.9
    assert lru_hits(favourites * 5 + requests, 500) < 1200 + 100, "an LRU keeps none of them"


def test_a_loop_larger_than_the_table_still_hits(make_table: MakeTable) -> None:
    loop = [f"k{number % 1500}" for number in range(30_000)]
    assert lru_hits(loop, 1000) == 0
    assert hits(make_table(max_entries=1000).view("acme"), loop) > 12_000


def test_more_hits_than_lru_on_skewed_keys_with_one_hit_wonders(make_table: MakeTable) -> None:
    chance = random.Random(2)
    requests = [key if chance.random() < 0.7 else f"once{number}" for number, key in enumerate(zipf(60_000, 20_000))]
    assert hits(make_table(max_entries=1000).view("acme"), requests) > lru_hits(requests, 1000) * 1.1


def test_a_new_catalogue_is_learned(make_table: MakeTable) -> None:
    view = make_table(max_entries=500).view("acme")
    hits(view, zipf(30_000, 2000))
    changed = ["new" + key for key in zipf(30_000, 2000, seed=3)]
    hits(view, changed[:15_000])
    assert hits(view, changed[15_000:]) >= lru_hits(changed, 500) / 2


def test_the_expired_give_way_before_the_living(make_table: MakeTable, clock: ManualClock) -> None:
    table = make_table(max_entries=400)
    view = table.view("acme")
    hits(view, [f"short{number}" for number in range(200)], ttl_s=1)
    hits(view, [f"long{number}" for number in range(200)], ttl_s=1000)
    clock.advance(2)
    hits(view, [f"new{number}" for number in range(150)], ttl_s=1000)
    assert sum(view.get(f"long{number}") is not MISS for number in range(200)) == 200
    assert table.stats().evictions == 0


def test_sweep_clears_a_mass_expiry_in_small_steps(tier: LocalTier, clock: ManualClock) -> None:
    table = tier.table("many", LocalOptions(max_entries=20_000))
    hits(table.view("acme"), [f"k{number}" for number in range(20_000)], ttl_s=1)
    assert tier.sweep() == 0
    clock.advance(2)
    assert table.sweep(20) <= 20
    assert tier.sweep() <= 300
    for _ in range(70):
        tier.sweep()
    assert table.stats().entries == 0
    assert table.stats().expirations == 20_000


def test_a_tenant_never_exceeds_its_share(make_table: MakeTable) -> None:
    table = make_table(max_entries=100, tenant_share=0.3)
    hits(table.view("acme"), [f"k{number}" for number in range(1000)])
    assert table.stats().tenants["acme"].entries == 30


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_scanning_neighbour_hardly_moves_the_hit_rate(tier: LocalTier, share: float) -> None:
    requests = zipf(9000, 5000)

    def rate(scans: int) -> float:
        """Return the mean of three runs: victims depend on the hashes, which differ by process and tenant."""
        found = 0
        for run in range(3):
            table = tier.table(f"scans{scans}-{run}", LocalOptions(max_entries=1000, tenant_share=share))
            shop, scanner = table.view(f"shop{run}"), table.view(f"scanner{run}")
            hits(shop, requests[:4000])
            for number, key in enumerate(requests[4000:]):
                found += hits(shop, [key])
                for scan in range(scans):
                    scanner.set(f"s{number}-{scan}", 1, ttl_s=1e6)
        return 100 * found / 15_000

    assert abs(rate(0) - rate(10)) < 2


def test_many_tenants_share_one_bound(make_table: MakeTable) -> None:
    table = make_table(max_entries=300)
    for number, key in enumerate(zipf(20_000, 500)):
        hits(table.view(f"tenant{number % 40}"), [key])
    stats = table.stats()
    assert stats.entries == 300
    assert min(tenant.entries for tenant in stats.tenants.values()) >= 1


def test_smaller_bounds_evict_and_keep_the_rest(tier: LocalTier) -> None:
    table = tier.table("items", LocalOptions(max_entries=100))
    view = table.view("acme")
    hits(view, [f"k{number}" for number in range(100)])
    assert tier.table("items", LocalOptions(max_entries=40)) is table
    assert table.stats().entries == 40
    assert sum(view.get(f"k{number}") is not MISS for number in range(100)) == 40
    tier.table("items", LocalOptions(max_entries=None, max_bytes=100_000))
    assert table.stats().entries == 0
    assert view.set("k", 1, ttl_s=1)


def test_measured_weights_follow_containers() -> None:
    rows = [{"sku": f"sku-{number}", "price": number * 1000} for number in range(100)]
    assert weigh(rows) > 100 * weigh(rows[0]) * 0.5
    assert weigh("x" * 1000) >= 1000
    shared = ["y" * 10_000]
    assert weigh([shared, shared]) < 12_000


def test_a_table_is_what_the_mapping_shows(tier: LocalTier, table: LocalTable) -> None:
    assert tier.tables()["items"] is table
