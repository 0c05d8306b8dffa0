"""
``tiercel cdn`` and ``tiercel static``: what they print and the codes that they end with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.standins.fastly import TOKEN, FastlyStandIn
from tests.standins.serving import Reply, Request, Serving
from tiercel._core.clock import SystemClock
from tiercel.cdn.signing import Verifier
from tiercel.cli import main


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "site"
    root.mkdir()
    (root / "index.html").write_text('<link href="app.css">')
    (root / "app.css").write_text("a{}")
    return root


@pytest.fixture
def fastly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    with FastlyStandIn(SystemClock()) as server:
        yield f"fastly://SU1?endpoint={server.url}&token_file={tmp_path}/token&window=0.01&host=shop.example"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(list(words))
    return code, capsys.readouterr().out


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code, text = run(capsys, *words, "--json")
    return code, json.loads(text)


def test_a_site_is_published_and_published_again(
    site: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("static", "publish", str(site), "--edge", f"folder://{tmp_path}/edge")
    code, planned = answer(capsys, *words, "--dry-run")
    assert (code, planned["dry_run"], len(planned["published"])) == (0, True, 2)
    code, first = answer(capsys, *words)
    assert (code, first["published"]) == (0, planned["published"])
    code, second = answer(capsys, *words)
    assert (code, second["published"], len(second["unchanged"])) == (0, [], 2)
    code, text = run(capsys, *words)
    assert (code, "0 published (0 bytes), 2 unchanged" in text) == (0, True)


def test_a_purge_is_followed_to_its_end(fastly: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, done = answer(capsys, "cdn", "purge", "--edge", fastly, "--tag", "x", "--path", "/a", "--tenant", "acme")
    assert (code, done["state"], done["items"]) == (0, "done", 4)
    code, status = answer(capsys, "cdn", "status", "--edge", fastly)
    assert (code, status["done"], status["dead_letters"]) == (0, 4, [])
    code, cost = answer(capsys, "cdn", "cost", "--edge", fastly)
    assert (code, cost["items_this_month"], cost["state"]) == (0, 4, "ok")
    code, found = answer(capsys, "cdn", "doctor", "--edge", fastly)
    assert (code, found["findings"][0]["level"]) == (0, "ok")


def test_hashed_tags_are_shown_with_what_they_stand_for(
    fastly: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("--edge", fastly.replace("window=0.01", "window=3600"), "--state-dir", str(tmp_path))
    asked = ("cdn", "purge", *words, "--tag", "product:42", "--tenant", "acme")
    code, planned = answer(capsys, *asked, "--dry-run")
    assert code == 0
    assert any(line.endswith("(product:42 of acme)") for batch in planned["batches"] for line in batch)
    assert answer(capsys, *asked, "--wait", "0s")[0] == 0
    code, status = answer(capsys, "cdn", "status", *words)
    assert (code, status["waiting"][0]["tag"], status["waiting"][0]["of"]) == (0, "product:42", "acme")
    code, text = run(capsys, "cdn", "status", *words)
    assert "product:42 of acme" in " ".join(text.split())


def test_a_dry_run_sends_and_stores_nothing(fastly: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, planned = answer(capsys, "cdn", "purge", "--edge", fastly, "--path", "/a", "--path", "/b", "--dry-run")
    assert (code, planned["requests"], planned["batches"]) == (0, 2, [["path /a"], ["path /b"]])
    assert not (tmp_path / ".tiercel").exists()


def test_a_spent_budget_is_a_no(fastly: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, cost = answer(capsys, "cdn", "cost", "--edge", fastly, "--budget", "0")
    assert (code, cost["state"]) == (1, "limit")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["cdn", "purge", "--path", "/a"], 3),  # no edge
        (["cdn", "purge", "--edge", "nonsense://x", "--path", "/a"], 3),
        (["cdn", "purge", "--edge", "varnish://127.0.0.1:1"], 2),  # nothing to purge
        (["cdn", "purge", "--edge", "varnish://127.0.0.1:1", "--path", "/../a"], 3),
        (["cdn", "purge", "--wait", "soon"], 2),
        (["cdn", "doctor", "--edge", "varnish://127.0.0.1:1"], 1),
        (["cdn", "probe", "http://127.0.0.1:1/"], 4),
        (["cdn", "probe", "relative"], 3),
        (["cdn", "sign", "https://a.example/"], 2),
        (["static", "publish", "no-such-folder", "--edge", "folder:///tmp/x"], 3),
    ],
)
def test_mistakes_end_with_their_code(
    words: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code


def test_a_folder_edge_has_no_queue(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["cdn", "status", "--edge", f"folder://{tmp_path}/edge"]) == 3
    assert "no CDN" in capsys.readouterr().err


def test_a_probe_shows_what_the_caches_say(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Request] = []

    def reply(request: Request) -> Reply:
        asked.append(request)
        status = "edge; hit; ttl=30" if len(asked) > 1 else "edge; fwd=miss"
        return Reply(
            200, b"page", {"Cache-Status": status, "Age": "7", "X-Cache": "HIT", "Cache-Control": "max-age=60"}
        )

    with Serving(reply) as server:
        code, report = answer(capsys, "cdn", "probe", server.url + "/a?b=1", "--header", "X-Tenant: acme")
        assert (code, [one["verdict"] for one in report["answers"]]) == (0, ["hit", "hit"])
        assert report["answers"][1]["hops"] == [{"cache": "edge", "is_hit": True, "parameters": {"ttl": "30"}}]
        assert asked[0].path == "/a?b=1"
        assert asked[0].headers["x-tenant"] == "acme"
        assert "ttl=30" in run(capsys, "cdn", "probe", server.url)[1]


def test_links_and_cookies_are_signed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (tmp_path / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    verifier = Verifier({"K1": key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)})
    words = ("cdn", "sign", "https://a.example/x", "--key-id", "K1", "--key", str(tmp_path / "key"), "--expires", "10m")
    now = SystemClock().wall()
    code, text = run(capsys, *words)
    assert (code, verifier.permits_url(text.strip(), now)) == (0, True)
    assert not verifier.permits_url(text.strip(), now + 700)
    code, cookies = answer(capsys, *words, "--cookies")
    assert (code, verifier.permits_cookies("https://a.example/x", cookies, now)) == (0, True)
