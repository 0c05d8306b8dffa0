"""
Decisions: the state machine's branches, each with the naive cache's answer beside it where that is wrong.
"""

from __future__ import annotations

import pytest

from tests.http.samples import NOW, OPTIONS, cc, option, request, response, stored
from tiercel.http.rules.decision import Action, Next, Plan, conclude, plan, without_answer
from tiercel.http.rules.messages import EdgeOptions, Request, StoredResponse

ETAG = ("ETag", '"v1"')
KEPT = stored(cc("max-age=60"), ETAG)


def decided(
    asked: Request, *variants: StoredResponse, after_s: float = 0.0, options: EdgeOptions = OPTIONS
) -> tuple[Action, str]:
    plan_ = plan(asked, variants, options, NOW + after_s)
    return plan_.action, plan_.reason


@pytest.mark.parametrize(
    ("asked", "after_s", "expected"),
    [
        (request(), 0, (Action.SERVE, "")),
        (request(), 60, (Action.VALIDATE, "stale")),
        (request(method="HEAD"), 0, (Action.SERVE, "")),
        (request(method="HEAD"), 60, (Action.FETCH, "stale")),
        (request(cc("no-cache")), 0, (Action.VALIDATE, "request")),
        (request(("Pragma", "no-cache")), 0, (Action.VALIDATE, "request")),
        (request(("Pragma", "no-cache"), cc("foo")), 0, (Action.SERVE, "")),
        (request(cc("max-age=0")), 0, (Action.VALIDATE, "request")),
        (request(cc("max-age=10")), 5, (Action.SERVE, "")),
        (request(cc("max-age=10")), 10, (Action.VALIDATE, "request")),
        (request(cc("min-fresh=30")), 20, (Action.SERVE, "")),
        (request(cc("min-fresh=30")), 31, (Action.VALIDATE, "request")),
        (request(cc("max-stale")), 70, (Action.SERVE, "")),
        (request(cc("max-stale=5")), 64, (Action.SERVE, "")),
        (request(cc("max-stale=5")), 66, (Action.VALIDATE, "stale")),
        (request(cc("only-if-cached")), 0, (Action.SERVE, "")),
        (request(cc("only-if-cached")), 60, (Action.REFUSE, "stale")),
        (request(cc("no-store")), 0, (Action.PASS, "request")),
        (request(("Authorization", "x")), 0, (Action.PASS, "bypass")),
        (request(has_body=True), 0, (Action.PASS, "bypass")),
        (request(("If-Match", '"v1"')), 0, (Action.PASS, "bypass")),
        (request(method="POST"), 0, (Action.PASS, "method")),
        (request(method="get"), 0, (Action.PASS, "method")),
        (request(("Cookie", "a=b")), 0, (Action.SERVE, "")),
    ],
)
def test_with_a_stored_response(asked: Request, after_s: float, expected: tuple[Action, str]) -> None:
    assert decided(asked, KEPT, after_s=after_s) == expected


def test_without_a_stored_response() -> None:
    other = stored(cc("max-age=60"), ("Vary", "Foo"), asked=request(("Foo", "1")))
    assert decided(request()) == (Action.FETCH, "uri-miss")
    assert decided(request(), other) == (Action.FETCH, "vary-miss")
    assert decided(request(cc("only-if-cached"))) == (Action.REFUSE, "uri-miss")


def test_no_client_forces_a_request_where_reloads_are_not_honoured() -> None:
    deaf = option(honour_reload=False)
    for text in ("no-cache", "max-age=0", "min-fresh=100"):
        assert decided(request(cc(text)), KEPT, options=deaf) == (Action.SERVE, "")
    assert decided(request(cc("max-stale")), KEPT, after_s=70, options=deaf) == (Action.VALIDATE, "stale")


def test_stale_is_served_while_one_refresh_runs_and_not_a_second_longer() -> None:
    kept = stored(cc("max-age=60, stale-while-revalidate=10"), ETAG)
    assert decided(request(), kept, after_s=69.9) == (Action.SERVE_AND_REFRESH, "stale")
    assert decided(request(), kept, after_s=70) == (Action.VALIDATE, "stale")


def test_what_cannot_be_validated_is_fetched() -> None:
    kept = stored(cc("max-age=60"))
    assert decided(request(), kept, after_s=60) == (Action.FETCH, "stale")


def test_max_stale_does_not_overrule_the_origin() -> None:
    kept = stored(cc("max-age=60, must-revalidate"), ETAG)
    assert decided(request(cc("max-stale")), kept, after_s=70) == (Action.VALIDATE, "stale")


def test_a_part_answers_only_ranges_inside_it() -> None:
    part = stored(cc("max-age=60"), ("Content-Range", "bytes 5-9/10"), body=b"56789", status=206)
    assert decided(request(("Range", "bytes=6-7")), part) == (Action.SERVE, "")
    assert decided(request(("Range", "bytes=0-7")), part) == (Action.FETCH, "partial")
    assert decided(request(), part) == (Action.FETCH, "partial")


def concluded(plan_: Plan, status: int, *lines: tuple[str, str], after_s: float = 70.0) -> tuple[Next, bool]:
    verdict = conclude(request(), plan_, response(*lines, status=status), OPTIONS, NOW + after_s, NOW + after_s)
    return verdict.next, verdict.storable


def test_what_becomes_of_the_answer_to_a_validation() -> None:
    validation = plan(request(), [KEPT], OPTIONS, NOW + 70)
    assert concluded(validation, 304, ETAG) == (Next.SERVE_FRESHENED, False)
    assert concluded(validation, 304, ("ETag", '"v2"')) == (Next.REFETCH, False)
    assert concluded(validation, 200, cc("max-age=60")) == (Next.RELAY, True)
    assert concluded(validation, 200, cc("no-store")) == (Next.RELAY, False)
    assert concluded(validation, 404) == (Next.RELAY, False)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_stale_covers_a_failing_origin_inside_its_window_only(status: int) -> None:
    validation = plan(request(), [KEPT], OPTIONS, NOW + 70)
    assert concluded(validation, status) == (Next.SERVE_STALE, False)
    assert concluded(validation, status, after_s=120.0) == (Next.RELAY, False)


@pytest.mark.parametrize("text", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
def test_stale_covers_nothing_where_the_origin_forbids_it(text: str) -> None:
    strict = stored(cc(f"max-age=60, {text}"), ETAG)
    validation = plan(request(), [strict], OPTIONS, NOW + 70)
    assert concluded(validation, 503) == (Next.RELAY, False)
    assert without_answer(validation, NOW + 70) is None


def test_a_client_that_validates_its_own_copy_gets_the_origins_304() -> None:
    fetch = plan(request(("If-None-Match", '"mine"')), [], OPTIONS, NOW)
    assert concluded(fetch, 304) == (Next.RELAY, False)


def test_what_was_passed_is_never_stored() -> None:
    for asked in (request(("Authorization", "x")), request(has_body=True), request(cc("no-store"))):
        passed = plan(asked, [], OPTIONS, NOW)
        verdict = conclude(asked, passed, response(cc("public, max-age=60")), OPTIONS, NOW, NOW)
        assert (verdict.next, verdict.storable) == (Next.RELAY, False)
