"""``tiercel get``, ``explain`` and ``invalidate`` on a live Redis, beside an application that uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.redis import RedisServer
from tiercel import MISS, Cache
from tiercel._process import Process
from tiercel.cli import main

MATRIX = """
[cache]
redis = "{url}"
namespace = "{name}"
state_dir = "{folder}/state"
[regions.product]
store = "sqlite:///{folder}/shop.db#products"
tags = ["catalogue"]
[regions.profile]
store = "sqlite:///{folder}/shop.db#users"
[entities.product]
regions = ["product:{{id}}"]
tags = ["search"]
"""


@pytest.fixture
def file(redis_server: RedisServer, tmp_path: Path) -> Path:
    path = tmp_path / "m.toml"
    path.write_text(MATRIX.format(url=redis_server.url, name=tmp_path.name, folder=tmp_path))
    return path


@pytest.fixture
def application(file: Path) -> Iterator[Cache]:
    """An application with three products and a session, its journals open."""
    with Cache.from_toml(file, process=Process()) as cache:
        products = cache.tenant("acme").region("product")
        for number in range(3):
            products.write(f"sku-{number}", {"price": number})
        cache.tenant("acme").region("session").write("s1", b"\x00token")
        cache.tenant("acme").region("profile").write("u1", {"name": "a"})
        yield cache
        cache.tenant("acme").invalidate_all()


def _answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("application")
def test_get(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", str(file), "product", "sku-1", "--tenant", "acme"]) == 0
    assert json.loads(capsys.readouterr().out) == {"price": 1}
    assert main(["get", str(file), "product", "sku-9", "-t", "acme"]) == 1
    assert main(["get", str(file), "product", "sku-1", "-t", "globex", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"found": False, "value": None}


@pytest.mark.usefixtures("application")
def test_explain(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = _answer(capsys, "explain", str(file), "product", "sku-1", "-t", "acme")
    assert known["redis"]["state"] == "live"
    assert known["verdict"]
    assert main(["explain", str(file), "product", "sku-1", "-t", "acme"]) == 0
    assert "redis state" in capsys.readouterr().out


def test_a_tenant_must_be_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["get"], ["explain"], ["invalidate", "key"]):
        assert main([*command, str(file), "product", "sku-1"]) == 2
    assert capsys.readouterr().err.count("Missing option '--tenant'") == 3


def test_an_entity_falls_and_a_dry_run_changes_nothing(
    file: Path, application: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    products = application.tenant("acme").region("product")
    would = _answer(capsys, "invalidate", "entity", str(file), "product", "sku-1", "-t", "acme", "--dry-run")
    assert would["dry_run"]
    assert products.get("sku-1", consistency="strong") == {"price": 1}
    receipt = _answer(capsys, "invalidate", "entity", str(file), "product", "sku-1", "-t", "acme")
    assert receipt["keys"] == [["product", "sku-1"]]
    assert "redis" in receipt["clean_s"]
    assert products.get("sku-1", consistency="strong") is MISS
    assert products.get("sku-2", consistency="strong") == {"price": 2}


def test_tags_patterns_and_regions_fall(file: Path, application: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    acme = application.tenant("acme")
    products = acme.region("product")
    found = _answer(capsys, "invalidate", "matching", str(file), "product", "sku-[1]*", "-t", "acme", "--dry-run")
    assert found["matched"] == 0
    found = _answer(capsys, "invalidate", "matching", str(file), "product", "*-1", "-t", "acme", "--yes")
    assert (found["scanned"], found["fallen"]) == (3, 1)
    counts = _answer(capsys, "invalidate", "tags", str(file), "catalogue", "-t", "acme", "--dry-run")
    assert counts["would_fall"] == {"catalogue": 2}
    assert main(["invalidate", "tags", str(file), "catalogue", "-t", "acme"]) == 0
    assert products.get("sku-2", consistency="strong") is MISS
    assert acme.region("session").get("s1") == b"\x00token"
    assert main(["invalidate", "region", str(file), "session", "-t", "acme", "--yes"]) == 0
    assert acme.region("session").get("s1", consistency="strong") is MISS


@pytest.mark.usefixtures("application")
def test_what_may_be_much_asks_first(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("click.confirm", _refuse)
    for command in (["region", str(file), "product"], ["tenant", str(file)], ["matching", str(file), "product", "*"]):
        assert main(["invalidate", *command, "-t", "acme"]) == 130
    monkeypatch.undo()
    assert main(["get", str(file), "product", "sku-1", "-t", "acme"]) == 0
    assert "price" in capsys.readouterr().out


def _refuse(*_: object, **__: object) -> bool:
    raise KeyboardInterrupt


def test_a_matrix_without_shared_tiers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.toml").write_text("")
    assert main(["get", str(tmp_path / "m.toml"), "product", "a", "-t", "acme"]) == 3
    assert "names neither redis nor cdn" in capsys.readouterr().err


@pytest.mark.timeout(60)
def test_a_server_that_is_away_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.toml").write_text('[cache]\nredis = "redis://u:canary@127.0.0.1:1"\n')
    assert main(["invalidate", "key", str(tmp_path / "m.toml"), "product", "a", "-t", "acme"]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "canary" not in error
