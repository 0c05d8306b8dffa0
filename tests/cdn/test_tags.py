"""
Portable tags: fit for every CDN, apart between tenants, and never cut when there are too many.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercel.cdn.capabilities import CLOUDFLARE, CLOUDFRONT, FASTLY, VARNISH, Capabilities
from tiercel.cdn.headers import tag_header
from tiercel.cdn.overflow import fit_tags
from tiercel.cdn.purge import PurgeRequest
from tiercel.cdn.tagcodec import TagCodec, family
from tiercel.cdn.tagdictionary import TagDictionary
from tiercel.cdn.tagindex import TagIndex
from tiercel.errors import ConfigurationError

CODEC = TagCodec("shop")
PORTABLE = re.compile(r"[a-z0-9._~-]{1,41}")
ALL = [CLOUDFRONT, FASTLY, CLOUDFLARE, VARNISH]
TAGS = st.text(st.characters(exclude_categories=["Cc"]), min_size=1, max_size=60)


@settings(max_examples=500)
@given(TAGS)
def test_any_tag_becomes_portable(tag: str) -> None:
    for name in (
        CODEC.encode("acme", tag),
        CODEC.bucket("acme", tag),
        CODEC.coarse("acme", tag),
        CODEC.family_tag("acme", tag),
    ):
        assert PORTABLE.fullmatch(name)


@settings(max_examples=500)
@given(TAGS, TAGS)
def test_tags_stay_apart_whatever_their_letters(one: str, other: str) -> None:
    assert (CODEC.encode("acme", one) == CODEC.encode("acme", other)) is (one == other)
    assert CODEC.encode("acme", one) != CODEC.encode("other", one)


def test_letter_case_survives_a_cdn_that_folds_it() -> None:
    assert CODEC.encode("acme", "SKU-a").lower() != CODEC.encode("acme", "sku-a").lower()


def test_a_border_cannot_be_shifted_between_tenant_and_tag() -> None:
    assert CODEC.encode("a", "b:c") != CODEC.encode("a:b", "c")


def test_the_salt_changes_every_name_and_a_restart_does_not() -> None:
    assert TagCodec("shop").encode("acme", "x") == CODEC.encode("acme", "x")
    assert TagCodec("other").encode("acme", "x") != CODEC.encode("acme", "x")


@pytest.mark.parametrize("tag", ["", "a\nb", "x" * 1025, "\x7f"])
def test_a_malformed_tag_is_refused(tag: str) -> None:
    with pytest.raises(ConfigurationError):
        CODEC.encode("acme", tag)


def test_the_readable_part_can_be_read() -> None:
    assert CODEC.encode("acme", "product:42").startswith("product-42~")
    assert family("product:42") == "product"


@pytest.mark.parametrize("capabilities", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("count", [0, 1, 20, 60, 500, 5000])
def test_whatever_the_count_a_purge_of_one_tag_finds_the_response(capabilities: Capabilities, count: int) -> None:
    tags = [f"product:{number}" for number in range(count)]
    fitted = fit_tags(CODEC, "acme", tags, capabilities, 300.0)
    carried = set(tag_header(fitted.tags, capabilities)[capabilities.tag_header].split(capabilities.tag_separator))
    assert carried == set(fitted.tags)
    if fitted.ttl_s == 300.0:
        for tag in tags:
            assert carried & set(CODEC.for_purge("acme", tag)), f"{tag} cannot be purged: {fitted.step}"


def test_cutting_at_the_limit_would_miss_purges() -> None:
    """The naive way: send the tags that fit and let the CDN drop the rest."""
    tags = [f"product:{number}" for number in range(60)]
    kept = {CODEC.encode("acme", tag) for tag in tags[: CLOUDFRONT.tags_per_object]}
    assert sum(not kept & set(CODEC.for_purge("acme", tag)) for tag in tags) == 10


def test_the_steps_of_overflow_in_order() -> None:
    steps = [
        fit_tags(CODEC, "acme", [f"f{n % 3}:{n}" for n in range(count)], CLOUDFRONT, 300.0).step
        for count in (5, 40, 200)
    ]
    assert steps == ["fits", "fits", "coarse"]
    few = [f"product:{number}" for number in range(60)]
    assert fit_tags(CODEC, "acme", few, CLOUDFRONT, 300.0).step == "bucketed"
    many_families = [f"f{number}:1" for number in range(100)]
    short = fit_tags(CODEC, "acme", many_families, CLOUDFRONT, 300.0)
    assert (short.step, short.ttl_s) == ("short_ttl", 5.0)
    assert fit_tags(CODEC, "acme", many_families, CLOUDFRONT, 300.0, short_ttl_s=0).step == "uncacheable"


def test_without_expansion_an_overflowing_response_is_not_cached_and_a_purge_is_one_item() -> None:
    codec = TagCodec("shop", expand_overflow=False)
    assert fit_tags(codec, "acme", [f"p:{n}" for n in range(60)], CLOUDFRONT, 300.0).step == "uncacheable"
    assert len(PurgeRequest(tags=["p:1"], tenant="acme").items(codec)) == 1
    assert len(PurgeRequest(tags=["p:1"], tenant="acme").items(CODEC)) == 3


def test_too_many_tags_in_a_header_are_refused_not_cut() -> None:
    with pytest.raises(ConfigurationError, match="keeps 50"):
        tag_header([f"t{number}" for number in range(51)], CLOUDFRONT)


def test_the_dictionary_remembers_the_latest() -> None:
    names = TagDictionary(limit=2)
    for tag in ("a", "b", "c"):
        names.remember(CODEC.encode("acme", tag), "acme", tag)
    assert names.lookup(CODEC.encode("acme", "c")) == ("acme", "c")
    assert names.lookup(CODEC.encode("acme", "a")) is None


def test_the_index_knows_what_it_does_not_know() -> None:
    index = TagIndex(max_tags=2, max_paths=2, complete_from_s=10.0)
    index.add("/a", ["x"])
    assert index.find("x", 10.0) == ["/a"]
    assert index.find("x", 9.9) is None  # what was served before the start may still be there
    assert TagIndex().find("x", 1e9) is None  # and so may what others serve
    assert index.find("never", 10.0) == []  # nothing fell out: it was never served
    index.add("/b", ["x"])
    index.add("/c", ["x"])
    assert index.find("x", 10.0) is None  # more than it may hold
    index.add("/d", ["y", "z"])
    assert index.find("never", 10.0) is None  # something fell out: it may have been that
    index.open(["z"])
    assert index.find("z", 10.0) is None  # carried by something that no path names
    index.forget("y")
    assert len(index) == 1
