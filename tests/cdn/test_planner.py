"""
The planner: nothing is lost, nothing is sent twice, and no request breaks a limit.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercel.cdn.budget import Budget, TokenBucket, month_bounds, month_of
from tiercel.cdn.capabilities import CLOUDFLARE, CLOUDFRONT, FASTLY, FOLDER, VARNISH, Capabilities
from tiercel.cdn.planner import InProgress, Plan, express, plan
from tiercel.cdn.purge import PurgeItem, PurgeRequest
from tiercel.cdn.tagcodec import TagCodec
from tiercel.errors import ConfigurationError

ALL = [CLOUDFRONT, FASTLY, CLOUDFLARE, VARNISH, FOLDER]
ITEMS = st.one_of(
    st.builds(
        PurgeItem, st.just("path"), st.sampled_from([f"/{a}/{b}" for a in "pq" for b in range(8)]), st.booleans()
    ),
    st.builds(PurgeItem, st.just("prefix"), st.sampled_from(["/p/", "/q/", "/p/1"]), st.booleans()),
    st.builds(
        PurgeItem, st.just("tag"), st.sampled_from([f"t{n}" for n in range(8)]), st.booleans(), st.just("family")
    ),
    st.builds(PurgeItem, st.just("all"), st.just(""), st.booleans()),
)


def covers(wide: PurgeItem, asked: PurgeItem) -> bool:
    if wide.soft and not asked.soft:
        return False
    if wide.kind == "all" or (wide.kind, wide.value) == (asked.kind, asked.value):
        return True
    if wide.kind == "prefix" and asked.kind in ("path", "prefix"):
        return asked.value.startswith(wide.value)
    return wide.kind == "tag" and asked.kind == "tag" and wide.value == asked.group


def sent(planned: Plan) -> list[PurgeItem]:
    return [item for batch in planned.batches for item in batch.items]


@settings(max_examples=300, deadline=None)
@given(st.sets(ITEMS, max_size=40), st.sampled_from(ALL), st.sampled_from(["ok", "warn", "limit"]), st.integers(1, 6))
def test_every_item_is_sent_or_deferred_and_no_limit_is_broken(
    asked: set[PurgeItem], capabilities: Capabilities, state: str, fold_at: int
) -> None:
    wanted = express(sorted(asked), capabilities, lambda _: ["/known"])
    planned = plan(wanted, capabilities, state=state, fold_at=fold_at)  # type: ignore[arg-type]  # sampled from its values
    for item in wanted:
        claimed = [
            wide
            for batch in planned.batches
            for wide, askers in zip(batch.items, batch.askers, strict=True)
            if item in askers
        ]
        assert claimed or item in planned.deferred
        assert all(covers(wide, item) for wide in claimed)
    assert len(sent(planned)) == len(set(sent(planned)))
    for batch in planned.batches:
        assert len(batch.items) <= capabilities.batch_items
        if not capabilities.mixed:
            assert len({(item.kind, item.soft) for item in batch.items}) == 1
    wildcards = sum(item.kind in ("prefix", "all") for item in sent(planned))
    assert capabilities.prefixes_in_progress is None or wildcards <= capabilities.prefixes_in_progress


def test_a_prefix_covers_its_paths_and_everything_covers_all() -> None:
    paths = [PurgeItem("path", f"/p/{number}") for number in range(5)]
    assert sent(plan([*paths, PurgeItem("prefix", "/p/")], CLOUDFRONT)) == [PurgeItem("prefix", "/p/")]
    assert sent(plan([*paths, PurgeItem("all", "")], CLOUDFRONT)) == [PurgeItem("all", "")]


def test_a_soft_purge_does_not_stand_in_for_a_hard_one() -> None:
    hard, soft = PurgeItem("path", "/p/1"), PurgeItem("prefix", "/p/", soft=True)
    assert set(sent(plan([hard, soft], CLOUDFLARE))) == {hard, soft}
    assert sent(plan([PurgeItem("tag", "t", soft=True), PurgeItem("tag", "t")], CLOUDFLARE)) == [PurgeItem("tag", "t")]


@pytest.mark.parametrize(("state", "items"), [("ok", 60), ("warn", 1), ("limit", 1)])
def test_floods_fold_sooner_as_the_budget_runs_out(state: str, items: int) -> None:
    flood = [PurgeItem("path", f"/p/{number}") for number in range(60)]
    assert plan(flood, CLOUDFRONT, state=state).items == items  # type: ignore[arg-type]  # its values


def test_a_flood_of_one_family_folds_into_the_familys_tag() -> None:
    codec = TagCodec()
    items = PurgeRequest(tags=[f"product:{number}" for number in range(1000)], tenant="acme").items(codec)
    assert sent(plan(items, CLOUDFRONT)) == [PurgeItem("tag", codec.family_tag("acme", "product:1"))]


def test_paths_at_the_root_never_fold_into_the_whole_site() -> None:
    assert plan([PurgeItem("path", f"/{number}") for number in range(50)], CLOUDFRONT, state="limit").items == 50


def test_what_is_in_progress_leaves_less_room() -> None:
    paths = [PurgeItem("path", f"/{number}/x") for number in range(50)]
    planned = plan(paths, CLOUDFRONT, in_progress=InProgress(2990, 0))
    assert (planned.items, len(planned.deferred)) == (10, 40)


def test_what_a_cdn_cannot_name_becomes_paths_or_everything() -> None:
    tag = PurgeItem("tag", "t", soft=True)
    without = Capabilities(name="old", tags=False)
    assert express([tag], without, lambda _: ["/a", "/b"]) == (PurgeItem("path", "/a"), PurgeItem("path", "/b"))
    assert express([tag], without, lambda _: None) == (PurgeItem("all", ""),)
    assert express([PurgeItem("prefix", "/p/")], FASTLY, lambda _: []) == ()


def test_the_token_bucket_keeps_the_pace() -> None:
    bucket = TokenBucket(0.5, 2, now=0.0)
    bucket.take(0.0)
    bucket.take(0.0)
    assert bucket.wait_s(0.0) == pytest.approx(2.0)
    assert bucket.wait_s(2.0) == 0.0
    bucket.rest(until=10.0)
    assert bucket.wait_s(4.0) == pytest.approx(6.0)
    assert bucket.wait_s(3.0) == pytest.approx(7.0)  # a clock that stands back gives nothing away
    with pytest.raises(ConfigurationError):
        TokenBucket(0.0, 1, 0.0)


def test_a_month_costs_what_it_costs() -> None:
    budget = Budget.of(CLOUDFRONT, usd_month=100.0)
    assert budget.cost_usd(1000) == 0.0
    # One tag a second all month, and one purge for each of a million orders a day.
    assert budget.cost_usd(30 * 86_400) == pytest.approx(12_955.0)
    assert budget.cost_usd(30_000_000) == pytest.approx(149_995.0)


def test_the_state_foresees_the_end_of_the_month() -> None:
    begun_s, length_s = month_bounds(1_795_000_000.0)
    budget = Budget.of(CLOUDFRONT, usd_month=10.0)
    half = begun_s + length_s / 2
    assert month_of(half) == "2026-11"
    assert budget.state(1500, half) == "ok"  # 3,000 by the end: 10 dollars
    assert budget.state(1600, half) == "warn"
    assert budget.state(3000, half) == "limit"
    assert Budget().state(10**9, half) == "ok"


@pytest.mark.parametrize(
    "request_",
    [
        PurgeRequest(),
        PurgeRequest(paths=["p"]),
        PurgeRequest(hosts=["a/b"]),
        PurgeRequest(tags=[""]),
        PurgeRequest(paths=["/a/../*"]),
    ],
)
def test_a_malformed_request_is_refused(request_: PurgeRequest) -> None:
    with pytest.raises(ConfigurationError):
        request_.items(TagCodec())


def test_everything_of_a_tenant_is_its_own_tag() -> None:
    codec = TagCodec()
    assert PurgeRequest(everything=True, tenant="acme").items(codec) == (PurgeItem("tag", codec.tenant_tag("acme")),)
    assert PurgeRequest(everything=True).items(codec) == (PurgeItem("all", ""),)
    assert PurgeRequest(paths=["/p/*"]).items(codec) == (PurgeItem("prefix", "/p/"),)
