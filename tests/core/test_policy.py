"""The live policy's document: what a change does, who tries it, how it is undone, and what may not be changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tiercel._core import policy as p
from tiercel._core.policy import RESET, Draft, Policy, PolicyDocument, Stamp, Switch
from tiercel._core.policyfields import LIVE, REFUSED, check_draft, check_policy, read_fields, refined
from tiercel._core.policyguard import Guard
from tiercel._core.policyplan import RegionPlan, planned
from tiercel.errors import ConfigurationError, DecodeError
from tiercel.options import RegionOptions

GUARD = Guard(least_hit_rate=0.5)
REGIONS = {
    "product": RegionOptions(name="product", ttl_s=60.0, store="sqlite:///x.db#y"),
    "derived": RegionOptions(name="derived", tiers=("redis",), strategy="write-behind", hot_keys=0),
    "session": RegionOptions(name="session", tiers=("redis",)),
    "cart": RegionOptions(name="cart", strategy="write-behind", store="sqlite:///x.db#y"),
}


def stamp(number: int = 1, reason: str = "") -> Stamp:
    return Stamp(by="ada", at_s=float(number), token=f"t{number}", reason=reason)


def ttl(seconds: Any, **more: Any) -> Draft:
    return Draft(regions={"product": {"ttl_s": seconds}}, **more)


def test_a_change_is_in_force_and_in_the_history() -> None:
    document = p.proposed(PolicyDocument(), ttl(10.0), stamp(5, "too stale"))
    assert (document.version, document.token, document.stable.regions) == (1, "t5", {"product": {"ttl_s": 10.0}})
    (entry,) = document.history
    assert (entry.by, entry.at_s, entry.action, entry.reason) == ("ada", 5.0, "set", "too stale")
    assert entry.changes == ("product.ttl_s: default → 10",)


def test_a_change_back_to_the_file_leaves_nothing_behind() -> None:
    document = p.proposed(p.proposed(PolicyDocument(), ttl(10.0), stamp()), ttl(RESET), stamp(2))
    assert document.stable == Policy()
    assert document.history[-1].changes == ("product.ttl_s: 10 → default",)


def test_a_change_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing would change"):
        p.proposed(p.proposed(PolicyDocument(), ttl(10.0), stamp()), ttl(10.0), stamp(2))
    with pytest.raises(ConfigurationError, match="nothing is to be changed"):
        Draft()


def test_a_trial_is_in_force_on_the_chosen_nodes_alone_until_it_is_promoted() -> None:
    document = p.proposed(PolicyDocument(), ttl(10.0, share=0.5), stamp())
    nodes = [f"node-{number}" for number in range(10)]
    trying = [node for node in nodes if document.policy_for(node) != Policy()]
    assert trying == [node for node in nodes if p.is_chosen(node, 0.5)]
    assert 0 < len(trying) < 10
    everywhere = p.promoted(document, stamp(2))
    assert all(everywhere.policy_for(node).regions == {"product": {"ttl_s": 10.0}} for node in nodes)
    assert everywhere.trial is None


def test_the_choice_of_nodes_is_stable_and_grows_with_the_share() -> None:
    nodes = [f"node-{number}" for number in range(1000)]
    chosen = {share: {node for node in nodes if p.is_chosen(node, share)} for share in (0.1, 0.5, 0.9, 1.0)}
    assert chosen[0.1] < chosen[0.5] < chosen[0.9] < chosen[1.0] == set(nodes)
    assert 440 <= len(chosen[0.5]) <= 560


def test_another_change_waits_for_the_trial_but_a_switch_does_not() -> None:
    trying = p.proposed(PolicyDocument(), ttl(10.0, guard=GUARD), stamp())
    with pytest.raises(ConfigurationError, match="version 1 is on trial"):
        p.proposed(trying, ttl(20.0), stamp(2))
    switched = p.proposed(trying, Draft(off=(Switch(layer="redis"),)), stamp(2))
    assert switched.trial is not None
    assert switched.stable.switches == switched.trial.policy.switches == (Switch(layer="redis"),)
    assert p.rolled_back(switched, stamp(3)).stable.switches == (Switch(layer="redis"),)


def test_a_roll_back_ends_the_trial_or_else_undoes_the_last_change() -> None:
    first = p.proposed(PolicyDocument(), ttl(10.0), stamp())
    trying = p.proposed(first, ttl(20.0, share=0.5), stamp(2))
    ended = p.rolled_back(trying, stamp(3, "slow"), by_guard=True)
    assert (ended.stable, ended.trial, ended.history[-1].action) == (first.stable, None, "guard")
    second = p.proposed(ended, ttl(30.0), stamp(4))
    assert p.rolled_back(second, stamp(5)).stable == first.stable
    assert p.rolled_back(second, stamp(5), to=0).stable == Policy()
    assert p.rolled_back(second, stamp(5), to=1).stable == first.stable
    with pytest.raises(ConfigurationError, match="no version 77"):
        p.rolled_back(second, stamp(5), to=77)
    with pytest.raises(ConfigurationError, match="nothing to undo"):
        p.rolled_back(PolicyDocument(), stamp())


def test_the_history_is_bounded() -> None:
    document = PolicyDocument()
    for number in range(1, 200):
        document = p.proposed(document, ttl(float(number)), stamp(number))
    assert [entry.version for entry in document.history] == list(range(150, 200))
    assert len(p.pack_document(document)) < 32_768


def test_a_document_comes_back_and_a_foreign_one_is_refused() -> None:
    draft = Draft(off=(Switch(layer="local", tenant="acme"),), guard=GUARD, share=0.1)
    document = p.proposed(p.proposed(PolicyDocument(), ttl(None), stamp()), draft, stamp(2))
    assert p.unpack_document(p.pack_document(document)) == document
    for body in (b"{", b'{"format": 2}', b'{"version": "x"}'):
        with pytest.raises(DecodeError):
            p.unpack_document(body)


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [((2, "a"), (1, "b"), True), ((1, "a"), (2, "b"), False), ((1, "a"), (1, "a"), False), ((1, "a"), (1, "b"), True)],
)
def test_which_document_replaces_which(found: tuple[int, str], known: tuple[int, str], expected: bool) -> None:
    one, other = (PolicyDocument(version=version, token=token) for version, token in (found, known))
    assert p.is_newer(one, other) is expected


@pytest.mark.parametrize(
    ("switch", "tenant", "key", "expected"),
    [
        (Switch(layer="local"), "acme", "k", True),
        (Switch(layer="local", tenant="acme"), "other", "k", False),
        (Switch(layer="local", prefix="sku-"), "acme", "sku-1", True),
        (Switch(layer="local", prefix="sku-"), "acme", b"sku-1", True),
        (Switch(layer="local", prefix="sku-"), "acme", "x-sku-1", False),
    ],
)
def test_which_keys_a_switch_covers(switch: Switch, tenant: str, key: str | bytes, expected: bool) -> None:
    plan = RegionPlan(REGIONS["product"], (switch,))
    assert plan.is_off("local", tenant, key) is expected
    assert not plan.is_off("redis", tenant, key)


def test_every_setting_is_either_live_or_refused_with_a_reason() -> None:
    for field in dataclasses.fields(RegionOptions):
        if field.name in LIVE:
            assert field.name not in REFUSED
            continue
        key = field.name.removesuffix("_s")
        with pytest.raises(ConfigurationError, match=f"{key}: "):
            read_fields({key: "1s"}, "product")


def test_changes_are_read_as_people_write_them() -> None:
    table = {"ttl": "10m", "grace": 5, "local_ttl": "none", "never_stale": True, "keep": "default"}
    assert read_fields(table, "product") == {
        "ttl_s": 600.0,
        "grace_s": 5.0,
        "local_ttl_s": None,
        "never_stale": True,
        "keep_s": RESET,
    }
    for wrong in ({"tll": "1m"}, {"ttl": "soon"}, {"tll": "default"}):
        with pytest.raises(ConfigurationError, match="product"):
            read_fields(wrong, "product")


def test_what_does_not_fit_the_matrix_is_refused_all_at_once() -> None:
    off = (
        Switch(layer="cdn", region="product"),
        Switch(layer="write-behind", region="product"),
        Switch(layer="write-behind", region="derived"),
        Switch(layer="local", region="nowhere"),
        Switch(layer="local", region="derived"),
    )
    draft = Draft(regions={"nowhere": {"ttl_s": 1.0}, "derived": {"shadow_share": 0.5}}, off=off)
    with pytest.raises(ConfigurationError) as caught:
        check_draft(draft, REGIONS)
    for part in (
        "no region 'nowhere'",
        "no store to compare with",
        "no tier 'cdn'",
        "no tier 'local'",
        "through already",
        "be lost",
    ):
        assert part in str(caught.value)
    fine = (Switch(layer="write-behind", region="cart"), Switch(layer="cdn"), Switch(layer="local", region="session"))
    check_draft(Draft(off=fine), REGIONS)


def test_a_contradiction_is_refused_at_the_border_and_left_alone_on_a_node() -> None:
    policy = Policy(regions={"product": {"ttl_s": 1.0, "local_ttl_s": 5.0}}, switches=(Switch(layer="redis"),))
    with pytest.raises(ConfigurationError, match="local_ttl"):
        check_policy(policy, REGIONS)
    plan, why = planned(REGIONS["product"], policy)
    assert (plan.options, plan.off) == (REGIONS["product"], (Switch(layer="redis"),))
    assert "local_ttl" in why
    with pytest.raises(ConfigurationError, match="may not change live"):
        refined(REGIONS["product"], {"codec": "json"})


def test_a_plan_follows_the_policy() -> None:
    plan, why = planned(REGIONS["product"], Policy(regions={"product": {"ttl_s": 10.0, "grace_s": 2.0}}))
    assert why == ""
    assert (plan.windows.ttl_ms, plan.windows.grace_ms, plan.tombstone_ms) == (10_000, 2_000, 62_000)
    assert planned(REGIONS["cart"], Policy())[0] == RegionPlan(REGIONS["cart"])
