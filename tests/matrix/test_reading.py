"""Reading the matrix: the built-in data types, the platform's example, overlays, and placeholders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.options import CacheOptions, EntityRule, LocalOptions, RegionOptions

PLATFORM = Path(__file__).parent / "platform.toml"

BUILT_IN = {
    "session": (("redis",), 3600, "write-through"),
    "profile": (("local", "redis"), 1800, "write-behind"),
    "product": (("local", "redis"), 3600, "write-through"),
    "search": (("redis",), 900, "write-behind"),
    "static": (("cdn",), 86_400, "write-through"),
    "api": (("cdn",), 300, "write-behind"),
    "query": (("local",), 300, "write-behind"),
    "analytics": (("redis",), 3600, "write-behind"),
}


def _rows(matrix: Matrix) -> dict[str, tuple[tuple[str, ...], float, str]]:
    return {name: (row.tiers, row.ttl_s, row.strategy) for name, row in matrix.regions.items()}


def test_the_eight_data_types_are_built_in() -> None:
    assert _rows(Matrix.defaults()) == BUILT_IN
    assert all(row.store is None for row in Matrix.defaults().regions.values())


def test_the_platform_example_loads() -> None:
    matrix = Matrix.from_toml(PLATFORM, base=Matrix())
    assert _rows(matrix) == BUILT_IN
    assert matrix.region("session").store == "postgres://…#sessions"
    assert matrix.entity("user").regions == ("profile:{id}", "session:user:{id}", "preferences:{id}", "orders:{id}")
    assert matrix.entity("product").paths == ("/p/{id}", "/api/products/{id}")
    assert matrix.entity("category").tags == ("search",)


def test_a_file_changes_only_what_it_names() -> None:
    matrix = Matrix.from_text('[regions.product]\nttl = "2h"\n[regions.order]\ntiers = ["redis"]\nttl = 60\n')
    assert matrix.region("product").ttl_s == 7200
    assert matrix.region("product").tiers == ("local", "redis")
    assert matrix.region("order").ttl_s == 60
    assert len(matrix.regions) == 9


def test_objects_and_files_combine() -> None:
    base = Matrix.defaults().overlay(
        RegionOptions(name="order", tiers=("redis",)), EntityRule(name="order", regions=("order:{id}",))
    )
    matrix = Matrix.from_text('[regions.order]\nttl = "1m"\n[entities.order]\ntags = ["orders"]\n', base=base)
    assert matrix.region("order").ttl_s == 60
    assert matrix.entity("order") == EntityRule(name="order", regions=("order:{id}",), tags=("orders",))


def test_a_matrix_laid_over_another_replaces_whole_rows() -> None:
    matrix = Matrix.defaults().overlay(Matrix.of(RegionOptions(name="product", ttl_s=1)))
    assert matrix.region("product") == RegionOptions(name="product", ttl_s=1)
    assert matrix.region("search").ttl_s == 900


def test_one_bound_of_the_local_copies_drops_the_other() -> None:
    matrix = Matrix.from_text('[regions.product.local]\nmax_bytes = "64 MB"\ntenant_share = 0.5\n')
    assert matrix.region("product").local == LocalOptions(max_entries=None, max_bytes=64_000_000, tenant_share=0.5)


def test_a_memory_journal_may_be_spelled_either_way() -> None:
    for line in ('kind = "memory"', 'durability = "memory"'):
        journal = Matrix.from_text(f"[regions.profile.journal]\n{line}\n").region("profile").journal
        assert journal is not None
        assert (journal.kind, journal.durability) == ("memory", "memory")


def test_write_through_in_a_file_drops_a_journal_of_the_base() -> None:
    base = Matrix.from_text("[regions.profile.journal]\nbatch_size = 7\n")
    matrix = Matrix.from_text('[regions.profile]\nstrategy = "write-through"\n', base=base)
    assert matrix.region("profile").journal is None


def test_none_switches_an_optional_setting_off() -> None:
    matrix = Matrix.from_text('[regions.product]\ncompress_above_bytes = "none"\n')
    assert matrix.region("product").compress_above_bytes is None


def test_placeholders_come_only_from_the_mapping_given() -> None:
    text = '[cache]\nredis = "${REDIS_URL}"\ncdn = "${CDN:-folder:///tmp/edge}"\n[cache.stores]\nshop = "${SHOP}"\n'
    assert Matrix.from_text(text).cache.redis == "${REDIS_URL}"
    matrix = Matrix.from_text(text, env={"REDIS_URL": "redis://h", "SHOP": "sqlite:///shop.db"})
    assert (matrix.cache.redis, matrix.cache.cdn) == ("redis://h", "folder:///tmp/edge")
    assert matrix.cache.stores == {"shop": "sqlite:///shop.db"}
    with pytest.raises(ConfigurationError, match=r"matrix:2: \$\{REDIS_URL\} is not set"):
        Matrix.from_text(text, env={"SHOP": ""})


def test_a_store_is_found_by_its_name() -> None:
    cache = CacheOptions(stores={"shop": "postgres://u@h/shop?sslmode=require", "whole": "sqlite:///a.db#rows"})
    matrix = Matrix.of(
        cache,
        RegionOptions(name="a", store="shop#products?key=sku"),
        RegionOptions(name="b", store="whole"),
        RegionOptions(name="c", store="mongodb://h/db#c"),
        RegionOptions(name="d"),
    )
    urls = [matrix.store_url(name) for name in "abcd"]
    expected = "postgres://u@h/shop?sslmode=require#products?key=sku"
    assert urls == [expected, "sqlite:///a.db#rows", "mongodb://h/db#c", None]


def test_no_password_reaches_a_repr() -> None:
    matrix = Matrix.of(
        CacheOptions(redis="redis://:canary@h", cdn="fastly://canary", stores={"a": "postgres://u:canary@h"}),
        RegionOptions(name="a", store="postgres://u:canary@h#t"),
    )
    assert "canary" not in repr(matrix)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="no region 'prodct' in the matrix: did you mean 'product'"):
        Matrix.defaults().region("prodct")
    with pytest.raises(ConfigurationError, match="no entity 'user' in the matrix"):
        Matrix.defaults().entity("user")


def test_a_matrix_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        Matrix.defaults().regions["x"] = RegionOptions(name="x")  # type: ignore[index]
