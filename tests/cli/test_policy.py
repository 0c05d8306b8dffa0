"""``tiercel policy``: on a file and on a real Redis beside a running node."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.redis import RedisServer
from tiercel._process import Process
from tiercel._sync.cache import Cache
from tiercel.cli import main
from tiercel.matrix import Matrix

MATRIX = """
[cache]
namespace = "{name}"
state_dir = "{home}/state"
{redis}
[regions.page]
tiers = ["local", "redis"]
ttl = "1m"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A matrix without a shared tier."""
    path = tmp_path / "shop.toml"
    path.write_text(MATRIX.format(name="cli", home=tmp_path, redis=""), encoding="utf-8")
    return path


@pytest.fixture
def shared(tmp_path: Path, redis_server: RedisServer) -> Iterator[tuple[Path, Cache]]:
    """A matrix with a shared tier, and a node that runs by it."""
    path = tmp_path / "shop.toml"
    name = f"c{secrets.token_hex(6)}"
    path.write_text(MATRIX.format(name=name, home=tmp_path, redis=f'redis = "{redis_server.url}"'), encoding="utf-8")
    with Cache(Matrix.from_toml(path), process=Process()) as cache:
        yield path, cache


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Run a command that must succeed; return its JSON."""
    assert main(["policy", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_a_change_is_said_carried_out_and_undone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "set", file, "page.ttl=7s", "--dry-run")["changes"] == ["page.ttl_s: default → 7"]
    assert said(capsys, "show", file)["version"] == 0
    change = said(capsys, "set", file, "page.ttl=7s", "page.never_stale=true", "--yes", "--reason", "drill")
    assert (change["version"], change["action"], change["dry_run"]) == (1, "set", False)
    assert said(capsys, "show", file)["stable"]["regions"] == {"page": {"never_stale": True, "ttl_s": 7.0}}
    assert said(capsys, "rollback", file, "--dry-run")["dry_run"] is True
    assert said(capsys, "rollback", file, "--yes")["action"] == "rollback"
    entries = said(capsys, "history", file)
    assert [(entry["version"], entry["reason"]) for entry in entries] == [(2, ""), (1, "drill")]
    assert main(["policy", "show", str(file)]) == main(["policy", "history", str(file)]) == 0


def test_a_trial_is_promoted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rails = ("--hit-rate-drop", "0.1", "--p99", "50ms", "--share", "0.5", "--promote-after", "10m")
    assert said(capsys, "set", file, "page.ttl=7s", *rails, "--yes")["is_on_trial"]
    trial = said(capsys, "show", file)["trial"]
    assert (trial["share"], trial["promote_after_s"], trial["guard"]["most_p99_s"]) == (0.5, 600.0, 0.05)
    assert main(["policy", "show", str(file)]) == 0
    assert "on trial since version 1, on 50% of the nodes" in capsys.readouterr().out
    assert said(capsys, "promote", file, "--yes")["action"] == "promote"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["page.tiers=redis", "--yes"], 3),
        (["page.ttl", "--yes"], 2),
        (["--off", "disk", "--yes"], 2),
        (["--off", "cdn:page", "--yes"], 3),
        (["page.ttl=7s"], 130),  # nobody there to say yes
    ],
)
def test_what_is_wrong_has_an_exit_code_and_changes_nothing(
    file: Path,
    arguments: list[str],
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["policy", "set", str(file), *arguments]) == code
    capsys.readouterr()
    assert said(capsys, "show", file)["version"] == 0


def test_a_running_node_follows_a_change_made_from_a_shell(
    shared: tuple[Path, Cache], capsys: pytest.CaptureFixture[str]
) -> None:
    file, cache = shared
    change = said(capsys, "set", file, "page.ttl=7s", "--off", "local:page:acme", "--yes")
    said(capsys, "set", file, "page.grace=1s", "--yes", "--wait")
    assert cache.policy.version == change["version"] + 1
    page = cache.tenant("acme").region("page")
    assert (page.options.ttl_s, page.options.grace_s) == (7.0, 1.0)
    page.set("home", 1)
    assert page.get_local("home", None) is None
    assert [note["version"] for note in said(capsys, "show", file)["nodes"]] == [2]
