# Generated from tests/async_/policy/test_follow.py by tools/unasync.py. Do not edit.
"""Nodes follow the live policy: within two seconds, on trial, through guard rails, after an outage."""

from __future__ import annotations

import pytest

from tests.sync_.engine.conftest import until
from tests.sync_.policy.conftest import Node
from tiercel import Cache, RegionOptions
from tiercel._sync.policyfollower import PolicyFollower
from tiercel._core.policy import Policy, PolicyDocument
from tiercel.errors import ConfigurationError

WITHIN_S = 2.0


def ttl_s(cache: Cache) -> float:
    return cache.tenant("acme").region("product").options.ttl_s


def follows(cache: Cache, version: int) -> None:
    """Wait until *cache* follows *version*, and see by both clocks that it took no longer than promised."""
    until(lambda: cache.policy.version >= version)
    entry = next(one for one in cache.policy.document.history if one.version == version)
    assert cache.policy.note().applied_s - entry.at_s <= WITHIN_S


def test_every_node_follows_a_change_and_new_entries_live_by_it(node: Node) -> None:
    nodes = [node(name) for name in ("a", "b", "c")]
    document = nodes[0].policy.change({"product": {"ttl": "10s"}}, by="ada", reason="too stale")
    for cache in nodes:
        follows(cache, document.version)
        assert ttl_s(cache) == 10.0
    products = nodes[1].tenant("acme").region("product")
    products.write("sku-1", {"cents": 1})
    assert 0 < (products.ttl("sku-1") or 0) <= 10.0
    back = nodes[2].policy.book.roll_back(by="bob")
    for cache in nodes:
        follows(cache, back.version)
        assert ttl_s(cache) == 60.0
    assert [entry.action for entry in nodes[0].policy.document.history] == ["set", "rollback"]


def test_a_node_that_heard_no_message_catches_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = node("deaf")
    monkeypatch.setattr(PolicyFollower, "_announced", lambda self, document: self.adopt(document))
    other = node("other")
    document = other.policy.change({"product": {"ttl": "10s"}}, by="ada")
    follows(deaf, document.version)


def test_a_node_that_starts_later_begins_with_what_is_in_force(node: Node) -> None:
    first = node("first")
    document = first.policy.change({"product": {"ttl": "10s"}}, by="ada")
    later = node("later")
    assert (later.policy.version, ttl_s(later)) == (document.version, 10.0)


def test_a_trial_runs_on_the_chosen_nodes_and_the_others_stay(node: Node) -> None:
    nodes = [node(f"node-{number}") for number in range(10)]
    document = nodes[0].policy.change({"product": {"ttl": "10s"}}, by="ada", share=0.5)
    for cache in nodes:
        follows(cache, document.version)
    trying = {cache.policy.name for cache in nodes if ttl_s(cache) == 10.0}
    assert trying == {cache.policy.name for cache in nodes if cache.policy.is_on_trial}
    assert 0 < len(trying) < 10
    ended = nodes[0].policy.book.roll_back(by="ada")
    again = nodes[9].policy.change({"product": {"ttl": "20s"}}, by="ada", share=0.5)
    for cache in nodes:
        follows(cache, again.version)
    assert again.version == ended.version + 1
    assert {cache.policy.name for cache in nodes if ttl_s(cache) == 20.0} == trying
    everywhere = nodes[3].policy.book.promote(by="ada")
    for cache in nodes:
        follows(cache, everywhere.version)
        assert ttl_s(cache) == 20.0


def test_of_two_changes_at_once_none_is_lost(node: Node) -> None:
    one, other = node("one"), node("other")
    one.policy.change({"product": {"ttl": "10s"}}, by="ada")
    document = other.policy.change({"plain": {"ttl": "20s"}}, by="bob")
    assert document.stable.regions == {"product": {"ttl_s": 10.0}, "plain": {"ttl_s": 20.0}}


def test_nothing_is_changed_by_a_dry_run_or_a_mistake(node: Node) -> None:
    cache = node("a")
    said = cache.policy.change({"product": {"ttl": "10s"}}, by="ada", dry_run=True)
    assert said.history[-1].changes == ("product.ttl_s: default → 10",)
    for wrong in ({"product": {"tiers": ["redis"]}}, {"product": {"local_ttl": "2m"}}, {"nowhere": {"ttl": "1m"}}):
        with pytest.raises(ConfigurationError):
            cache.policy.change(wrong, by="ada")
    assert (cache.policy.version, ttl_s(cache)) == (0, 60.0)


def test_a_node_whose_file_does_not_fit_keeps_its_own_row_and_says_so(node: Node) -> None:
    first = node("first")
    first.policy.change({"product": {"ttl": "10s"}}, by="ada")
    other = node("other", RegionOptions(name="product", ttl_s=60.0, local_ttl_s=30.0))
    assert ttl_s(other) == 60.0
    assert "local_ttl" in other.policy.note().problems["product"]


def test_a_policy_that_the_server_forgot_comes_back_from_a_node(node: Node) -> None:
    cache = node("a")
    cache.policy.change({"product": {"ttl": "10s"}}, by="ada")
    store = cache.policy.book.store
    forgotten = PolicyDocument(token="of another server")
    assert store.swap(1, forgotten)
    until(lambda: any(event.name == "policy_restored" for event in cache.recorder.events()))
    assert (store.read()).stable == Policy(regions={"product": {"ttl_s": 10.0}})


def test_nodes_say_what_they_follow(node: Node) -> None:
    one, other = node("one"), node("other")
    document = one.policy.change({"product": {"ttl": "10s"}}, by="ada")
    for cache in (one, other):
        follows(cache, document.version)
        cache.policy.turn()
    assert [(note.node, note.version) for note in one.policy.book.nodes()] == [("one", 1), ("other", 1)]
    other.close()
    assert [note.node for note in one.policy.book.nodes()] == ["one"]
