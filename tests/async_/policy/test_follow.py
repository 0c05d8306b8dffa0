"""Nodes follow the live policy: within two seconds, on trial, through guard rails, after an outage."""

from __future__ import annotations

import pytest

from tests.async_.engine.conftest import until
from tests.async_.policy.conftest import Node
from tiercel import AsyncCache, RegionOptions
from tiercel._async.policyfollower import AsyncPolicyFollower
from tiercel._core.policy import Policy, PolicyDocument
from tiercel.errors import ConfigurationError

WITHIN_S = 2.0


def ttl_s(cache: AsyncCache) -> float:
    return cache.tenant("acme").region("product").options.ttl_s


async def follows(cache: AsyncCache, version: int) -> None:
    """Wait until *cache* follows *version*, and see by both clocks that it took no longer than promised."""
    await until(lambda: cache.policy.version >= version)
    entry = next(one for one in cache.policy.document.history if one.version == version)
    assert cache.policy.note().applied_s - entry.at_s <= WITHIN_S


async def test_every_node_follows_a_change_and_new_entries_live_by_it(node: Node) -> None:
    nodes = [await node(name) for name in ("a", "b", "c")]
    document = await nodes[0].policy.change({"product": {"ttl": "10s"}}, by="ada", reason="too stale")
    for cache in nodes:
        await follows(cache, document.version)
        assert ttl_s(cache) == 10.0
    products = nodes[1].tenant("acme").region("product")
    await products.write("sku-1", {"cents": 1})
    assert 0 < (await products.ttl("sku-1") or 0) <= 10.0
    back = await nodes[2].policy.book.roll_back(by="bob")
    for cache in nodes:
        await follows(cache, back.version)
        assert ttl_s(cache) == 60.0
    assert [entry.action for entry in nodes[0].policy.document.history] == ["set", "rollback"]


async def test_a_node_that_heard_no_message_catches_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = await node("deaf")
    monkeypatch.setattr(AsyncPolicyFollower, "_announced", lambda self, document: self.adopt(document))
    other = await node("other")
    document = await other.policy.change({"product": {"ttl": "10s"}}, by="ada")
    await follows(deaf, document.version)


async def test_a_node_that_starts_later_begins_with_what_is_in_force(node: Node) -> None:
    first = await node("first")
    document = await first.policy.change({"product": {"ttl": "10s"}}, by="ada")
    later = await node("later")
    assert (later.policy.version, ttl_s(later)) == (document.version, 10.0)


async def test_a_trial_runs_on_the_chosen_nodes_and_the_others_stay(node: Node) -> None:
    nodes = [await node(f"node-{number}") for number in range(10)]
    document = await nodes[0].policy.change({"product": {"ttl": "10s"}}, by="ada", share=0.5)
    for cache in nodes:
        await follows(cache, document.version)
    trying = {cache.policy.name for cache in nodes if ttl_s(cache) == 10.0}
    assert trying == {cache.policy.name for cache in nodes if cache.policy.is_on_trial}
    assert 0 < len(trying) < 10
    ended = await nodes[0].policy.book.roll_back(by="ada")
    again = await nodes[9].policy.change({"product": {"ttl": "20s"}}, by="ada", share=0.5)
    for cache in nodes:
        await follows(cache, again.version)
    assert again.version == ended.version + 1
    assert {cache.policy.name for cache in nodes if ttl_s(cache) == 20.0} == trying
    everywhere = await nodes[3].policy.book.promote(by="ada")
    for cache in nodes:
        await follows(cache, everywhere.version)
        assert ttl_s(cache) == 20.0


async def test_of_two_changes_at_once_none_is_lost(node: Node) -> None:
    one, other = await node("one"), await node("other")
    await one.policy.change({"product": {"ttl": "10s"}}, by="ada")
    document = await other.policy.change({"plain": {"ttl": "20s"}}, by="bob")
    assert document.stable.regions == {"product": {"ttl_s": 10.0}, "plain": {"ttl_s": 20.0}}


async def test_nothing_is_changed_by_a_dry_run_or_a_mistake(node: Node) -> None:
    cache = await node("a")
    said = await cache.policy.change({"product": {"ttl": "10s"}}, by="ada", dry_run=True)
    assert said.history[-1].changes == ("product.ttl_s: default → 10",)
    for wrong in ({"product": {"tiers": ["redis"]}}, {"product": {"local_ttl": "2m"}}, {"nowhere": {"ttl": "1m"}}):
        with pytest.raises(ConfigurationError):
            await cache.policy.change(wrong, by="ada")
    assert (cache.policy.version, ttl_s(cache)) == (0, 60.0)


async def test_a_node_whose_file_does_not_fit_keeps_its_own_row_and_says_so(node: Node) -> None:
    first = await node("first")
    await first.policy.change({"product": {"ttl": "10s"}}, by="ada")
    other = await node("other", RegionOptions(name="product", ttl_s=60.0, local_ttl_s=30.0))
    assert ttl_s(other) == 60.0
    assert "local_ttl" in other.policy.note().problems["product"]


async def test_a_policy_that_the_server_forgot_comes_back_from_a_node(node: Node) -> None:
    cache = await node("a")
    await cache.policy.change({"product": {"ttl": "10s"}}, by="ada")
    store = cache.policy.book.store
    forgotten = PolicyDocument(token="of another server")
    assert await store.swap(1, forgotten)
    await until(lambda: any(event.name == "policy_restored" for event in cache.recorder.events()))
    assert (await store.read()).stable == Policy(regions={"product": {"ttl_s": 10.0}})


async def test_nodes_say_what_they_follow(node: Node) -> None:
    one, other = await node("one"), await node("other")
    document = await one.policy.change({"product": {"ttl": "10s"}}, by="ada")
    for cache in (one, other):
        await follows(cache, document.version)
        await cache.policy.turn()
    assert [(note.node, note.version) for note in await one.policy.book.nodes()] == [("one", 1), ("other", 1)]
    await other.aclose()
    assert [note.node for note in await one.policy.book.nodes()] == ["one"]
