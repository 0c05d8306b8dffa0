"""The CDN page on an edge whose CDN does not answer, and the figures of other processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.service.shop import Shop, opened_shop
from tiercel._async.edge import open_edge
from tiercel.cdn.purge import PurgeRequest
from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix
from tiercel.observe.shared import SharedFigures
from tiercel.service.edges import Edges

AWAY = "varnish://127.0.0.1:9?budget=5"


async def test_purges_that_wait_are_counted_where_the_application_keeps_them(tmp_path: Path) -> None:
    matrix = Matrix()
    edges = Edges(matrix.overlay(replace(matrix.cache, cdn=AWAY, state_dir=str(tmp_path))))
    edge = await open_edge(AWAY, state_dir=tmp_path, start=False)
    await edge.purge(PurgeRequest(paths=["/a"], tenant="acme"))
    view = await edges.view()
    assert view.has_cdn
    assert view.counts["pending"] == 1
    assert (view.budget_usd, view.budget_state) == (5.0, "ok")
    assert await edges.replay() == 0
    await edge.aclose()


async def test_without_a_cdn_there_is_nothing_to_replay(open_shop: Shop) -> None:
    assert (await open_shop.desk.edges.view()).name == ""
    with pytest.raises(ConfigurationError, match="cdn"):
        await open_shop.desk.edges.replay()


async def test_the_figures_of_other_processes_are_added(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    async with opened_shop(tmp_path, figures=folder) as shop:
        other = shop.cache.snapshot()
        other.started_at_s -= 1.0
        other.events[("tags_invalidated", "page")] = 7
        SharedFigures(folder).publish(other)
        async with shop.client() as client:
            report = (await client.get("/api/report")).json()
    assert report["events"]["tags_invalidated"] == 7
