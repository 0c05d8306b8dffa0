"""Signing in: passwords, sessions that end, a proxy's word, limits, and the addresses that take none of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.shop import CHEAP, PASSWORD, SECRET, Shop
from tiercel.cli import main
from tiercel.errors import ConfigurationError
from tiercel.service.attempts import Attempts
from tiercel.service.settings import ServiceSettings, check_address
from tiercel.service.users import UserFile


async def test_a_password_opens_a_session_and_signing_out_ends_it_for_good(shop: Shop) -> None:
    async with shop.client() as client:
        answer = await client.post("/sign-in", data={"user": "operator", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        session = (await client.get("/api/session")).json()
        assert (session["user"], session["role"]) == ("operator", "operator")
        kept = dict(client.cookies)
        await client.post("/sign-out", data={"csrf": session["csrf"]})
        client.cookies.update(kept)
        assert (await client.get("/api/session")).status_code == 401


@pytest.mark.parametrize(("user", "password"), [("operator", "wrong"), ("nobody", PASSWORD), ("", "")])
async def test_a_wrong_name_or_password_says_the_same(shop: Shop, user: str, password: str) -> None:
    async with shop.client() as client:
        answer = await client.post("/sign-in", data={"user": user, "password": password})
    assert answer.status_code == 401
    assert "That name and password do not fit." in answer.text
    assert "set-cookie" not in answer.headers


async def test_the_sixth_attempt_in_a_minute_is_refused_even_with_the_right_password(shop: Shop) -> None:
    async with shop.client() as client:
        for _ in range(5):
            await client.post("/sign-in", data={"user": "admin", "password": "wrong"})
        answer = await client.post("/sign-in", data={"user": "admin", "password": PASSWORD})
        assert answer.status_code == 429
        other = await client.post("/sign-in", data={"user": "viewer", "password": PASSWORD})
        assert other.status_code == 303


def test_attempts_are_heard_again_after_a_minute_and_bounded_by_address() -> None:
    attempts = Attempts(per_user=2, per_address=3)
    assert [attempts.allow("a", "u", 0.0) for _ in range(3)] == [True, True, False]
    assert attempts.allow("b", "u", 1.0), "another address is not locked out"
    assert [attempts.allow("a", name, 1.0) for name in "vw"] == [True, False]
    assert attempts.allow("a", "u", 60.5)


async def test_a_new_password_or_a_missing_line_ends_the_session(shop: Shop) -> None:
    users = UserFile(shop.home / "users", CHEAP)
    async with shop.client("operator") as client:
        assert (await client.get("/api/session")).status_code == 200
        users.add("operator", "operator", "quite another password")
        assert (await client.get("/api/session")).status_code == 401


async def test_a_forged_or_foreign_cookie_is_nobody(shop: Shop) -> None:
    async with shop.client("admin") as client:
        body, _, mac = client.cookies["tiercel"].partition(".")
    for cookie in ("", "x", f"{body}.", f"{body}x.{mac}", f"{body}.{mac[:-2]}"):
        async with shop.client() as client:
            client.cookies.set("tiercel", cookie)
            assert (await client.get("/api/session")).status_code == 401


async def test_a_proxy_is_believed_only_with_its_secret_and_for_known_users(shop: Shop) -> None:
    async with shop.client() as client:
        for secret, user, status in [(SECRET, "viewer", 200), ("wrong", "viewer", 401), (SECRET, "nobody", 401)]:
            headers = {"X-User": user, "X-Tiercel-Proxy-Secret": secret}
            assert (await client.get("/api/session", headers=headers)).status_code == status
        assert (await client.get("/api/session", headers={"X-User": "admin"})).status_code == 401


async def test_without_sign_in_only_names_of_this_machine_are_answered(open_shop: Shop) -> None:
    async with open_shop.client() as client:
        assert (await client.get("/api/session")).json()["user"] == "local"
        rebound = await client.get("/api/session", headers={"Host": "attacker.example"})
    assert rebound.status_code == 421


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "service.example"])
def test_an_address_that_others_reach_takes_sign_in(tmp_path: Path, host: str) -> None:
    settings = ServiceSettings(state_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="--users"):
        check_address(host, settings)
    check_address("127.0.0.1", settings)
    check_address(host, ServiceSettings(state_dir=tmp_path, users=tmp_path / "users"))


def test_the_command_refuses_such_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = tmp_path / "tiercel.toml"
    matrix.write_text(f'[cache]\nstate_dir = "{tmp_path}/state"\n', encoding="utf-8")
    assert main(["serve", "--config", str(matrix), "--host", "0.0.0.0"]) == 3
    assert "--users" in capsys.readouterr().err


def test_a_proxy_header_takes_a_secret_and_users(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="users"):
        ServiceSettings(state_dir=tmp_path, proxy_user_header="X-User", proxy_secret=SECRET)
    with pytest.raises(ConfigurationError, match="TIERCEL_PROXY_SECRET"):
        ServiceSettings(state_dir=tmp_path, users=tmp_path / "users", proxy_user_header="X-User", proxy_secret="short")
    assert SECRET not in repr(ServiceSettings(state_dir=tmp_path, proxy_secret=SECRET))


def test_the_password_file_keeps_hashes_and_is_its_owners_alone(tmp_path: Path) -> None:
    users = UserFile(tmp_path / "users", CHEAP)
    users.add("ada", "admin", PASSWORD)
    users.add("oidc@example.org", "viewer", None)
    assert PASSWORD not in (tmp_path / "users").read_text(encoding="utf-8")
    assert (tmp_path / "users").stat().st_mode & 0o077 == 0
    assert users.verify("ada", PASSWORD) == users.find("ada")
    assert users.verify("oidc@example.org", "-") is None
    with pytest.raises(ConfigurationError, match="10 characters"):
        users.add("bob", "viewer", "short")


@pytest.mark.parametrize("line", ["ada", "ada:king:$argon2id$x", "a b:admin:$argon2id$x", "ada:admin:"])
def test_a_line_that_is_no_user_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "users").write_text(f"# people\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=":2:"):
        UserFile(tmp_path / "users", CHEAP).find("ada")
