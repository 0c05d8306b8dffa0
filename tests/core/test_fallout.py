"""What falls with rows: templates, both images, and names that give way to something wider, never to less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercel._core.changeoptions import ChangeRule
from tiercel._core.documentchange import image_of, images_of
from tiercel._core.fallout import WIDE, Fallout
from tiercel._core.rowfall import RowFall, RowRule, Template, UnknownColumn
from tiercel._core.seqnumbers import pack_places, places_of, unpack_places
from tiercel.errors import ConfigurationError, DecodeError
from tiercel.options import EntityRule, RegionOptions
from tiercel.typing import GLOBAL

REGIONS = {
    "product": RegionOptions(name="product", tiers=("redis",), ttl_s=60.0),
    "config": RegionOptions(name="config", tiers=("redis",), ttl_s=60.0, scope="global"),
}
ENTITY = EntityRule(
    name="product", regions=("product:{id}", "config:{id}", "reviews:{id}"), tags=("search",), paths=("/p/{id}",)
)
RULE = ChangeRule(
    table="products", tenant="{tenant}", entity="product", id="{sku}", tags=("category:{category}",), version="v"
)
ROW = {"tenant": "acme", "sku": "p1", "category": "a", "v": "41"}


def test_a_row_names_what_falls() -> None:
    fall = RowRule(RULE, ENTITY, REGIONS).fall_of(ROW)
    assert fall == RowFall(
        "acme",
        (("acme", "product", "p1"), (GLOBAL, "config", "p1")),
        ("category:a", "search", "reviews:p1"),
        ("/p/p1",),
        41,
    )


@pytest.mark.parametrize(
    ("changed", "keys", "tags", "floor"),
    [
        ({"category": None}, 2, ("search", "reviews:p1"), 41),  # null names nothing
        ({"sku": None}, 0, ("category:a", "search"), 41),
        ({"v": None}, 2, ("category:a", "search", "reviews:p1"), 0),
        ({"v": "none"}, 2, ("category:a", "search", "reviews:p1"), 0),
        ({"sku": "x" * 600}, 0, ("category:a", "search"), 41),  # no key is so long: there is no such copy
        ({"category": "\n"}, 2, ("search", "reviews:p1"), 41),
    ],
)
def test_values_that_name_nothing(changed: dict[str, str | None], keys: int, tags: tuple[str, ...], floor: int) -> None:
    fall = RowRule(RULE, ENTITY, REGIONS).fall_of({**ROW, **changed})
    assert fall is not None
    assert (len(fall.keys), fall.tags, fall.floor) == (keys, tags, floor)


def test_rows_of_nobody_have_no_copies() -> None:
    rule = RowRule(RULE, ENTITY, REGIONS)
    assert rule.fall_of({**ROW, "tenant": None}) is None
    assert rule.fall_of({**ROW, "tenant": "a tenant: none"}) is None


def test_a_hidden_column_is_never_taken_for_nothing() -> None:
    rule = RowRule(RULE, ENTITY, REGIONS)
    assert rule.columns == {"tenant", "sku", "category"}
    with pytest.raises(UnknownColumn, match="category"):
        rule.fall_of({"tenant": "acme", "sku": "p1"})


def test_a_deleted_row_refuses_its_last_version() -> None:
    fall = RowRule(RULE, ENTITY, REGIONS).fall_of(ROW, is_gone=True)
    assert fall is not None
    assert fall.floor == 42


@pytest.mark.parametrize("wrong", ["{", "{}", "a}b", "{a", "}{"])
def test_templates_that_are_none(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="no template"):
        Template(wrong)


def test_templates_reach_into_documents() -> None:
    assert Template("{vendor.id}/{n}/{is_on}").fill({"vendor": {"id": 7}, "n": 1.5, "is_on": True}) == "7/1.5/true"
    with pytest.raises(UnknownColumn):
        Template("{vendor.id}").fill({"vendor": 7})


def fall(key: str = "", tenant: str = "acme", tags: tuple[str, ...] = (), floor: int = 0) -> RowFall:
    return RowFall(tenant, ((tenant, "product", key),) if key else (), tags, (), floor)


def test_a_row_that_changes_often_falls_once_with_its_highest_floor() -> None:
    fallout = Fallout(10)
    for floor in (3, 9, 4):
        fallout.add(fall("p1", floor=floor))
    [(name, tenant)] = fallout.tenants()
    assert (name, tenant.keys, fallout.rows) == ("acme", {"product": {"p1": 9}}, 3)


def test_many_keys_give_way_to_their_region() -> None:
    fallout = Fallout(10)
    for number in range(11):
        fallout.add(fall(f"p{number}"))
    fallout.add(fall("p1", tenant="other"))
    found = dict(fallout.tenants())
    assert (found["acme"].regions, found["acme"].keys) == ({"product"}, {})
    assert found["other"].keys == {"product": {"p1": 0}}
    wide = dict(fallout.wide_part().tenants())
    assert list(wide) == ["acme"]
    assert fallout.widenings == 1


def test_many_tenants_give_way_to_the_region_in_all() -> None:
    fallout = Fallout(10)
    for number in range(WIDE * 10 + 1):
        fallout.add(fall("p", tenant=f"t{number}"))
    assert fallout.regions == {"product"}
    assert not any(tenant.keys for _, tenant in fallout.tenants())


def test_many_tags_give_way_to_the_tenant_and_then_to_everything() -> None:
    fallout = Fallout(1)
    fallout.add(fall(tags=tuple(f"t{n}" for n in range(WIDE + 1))))
    assert dict(fallout.tenants())["acme"].is_whole
    for number in range(11):
        fallout.add(fall(tenant=f"t{number}", tags=tuple(f"t{n}" for n in range(WIDE))))
    assert fallout.is_everything
    assert list(fallout.reasons) == ["more tags fell than can be told one by one"]


def test_what_is_unknown_falls_widely() -> None:
    fallout = Fallout(10)
    fallout.add(fall("p1"))
    fallout.add_unknown(["product"], "emptied", everything=False)
    assert fallout.regions == {"product"}
    assert bool(fallout)
    fallout.add_unknown([], "emptied", everything=True)
    assert fallout.is_everything
    fallout.add(fall("p2"))
    assert not list(fallout.tenants())


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 60)), max_size=300), st.integers(1, 6))
def test_never_less_falls_than_was_named(rows: list[tuple[int, int, int]], bulk_above: int) -> None:
    fallout = Fallout(bulk_above)
    for tenant, key, tag in rows:
        fallout.add(fall(f"p{key}", tenant=f"t{tenant}", tags=(f"g{tag}",)))
    tenants: dict[str, Any] = dict(fallout.tenants())
    held = 0
    for tenant, key, tag in rows:
        if fallout.is_everything:
            break
        found = tenants[f"t{tenant}"]
        is_whole = found.is_whole or "product" in found.regions or "product" in fallout.regions
        assert is_whole or f"p{key}" in found.keys["product"]
        assert found.is_whole or f"g{tag}" in found.tags
        held = sum(len(keys) for each in tenants.values() for keys in each.keys.values())
    assert held <= WIDE * bulk_above


def test_images_of_documents() -> None:
    event = {
        "operationType": "update",
        "documentKey": {"_id": "p1"},
        "fullDocument": {"category": "b"},
        "fullDocumentBeforeChange": {"category": "a", "vendor": {"id": 7}},
    }
    images = [image_of(image, {"category", "vendor.id"}) for image in images_of(event, {"category", "vendor.id"})]
    assert images == [{"category": "a", "vendor.id": 7}, {"category": "b", "vendor.id": None}]
    assert list(images_of(event, {"_id"})) == [{"_id": "p1"}]
    for missing in ("fullDocument", "fullDocumentBeforeChange"):
        with pytest.raises(UnknownColumn):
            list(images_of({**event, missing: None}, {"category"}))
    assert len(list(images_of({**event, "operationType": "delete"}, {"category"}))) == 1
    assert len(list(images_of({**event, "operationType": "insert"}, {"category"}))) == 1


def test_places_in_an_index() -> None:
    def copy(number: int, *, primary: bool) -> dict[str, Any]:
        routing = {"primary": primary}
        return {"routing": routing, "seq_no": {"global_checkpoint": number}, "indexing": {"delete_total": 2}}

    stats = {"indices": {"p": {"uuid": "u", "shards": {"0": [copy(4, primary=False), copy(5, primary=True)]}}}}
    places = places_of(stats)
    assert places["p"].shards["0"].number == 5
    assert unpack_places(pack_places(places)) == places
    with pytest.raises(DecodeError):
        unpack_places("{nonsense")
    with pytest.raises(DecodeError, match="no primary"):
        places_of({"indices": {"p": {"uuid": "u", "shards": {"0": []}}}})
