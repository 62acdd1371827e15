"""remoteit: the authhash, logout, and the description of a session and its user."""

from collections.abc import Callable

import pytest

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import items
from bindery.remoteit import logouts
from tests.concurrency import races
from tests.http_api import Response
from tests.sample_requests import send
from tests.tables import everything

EMAIL, PASSWORD = "ada@example.com", "correct horse"


@pytest.fixture(autouse=True)
def key(registry: None, cheap_hashes: None) -> str:
    """Return the developer key of ada's account."""
    accounts.create("acme", name="Acme")
    users.create("ada", "acme", email=EMAIL)
    users.set_password("ada", PASSWORD)
    users.create("ben", "acme")
    return api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")


def by_password(key: str, password: str = PASSWORD) -> Response:
    return send("remoteit.login", {"developerkey": key}, body={"username": EMAIL, "password": password})


def by_authhash(key: str, authhash: str, username: str = EMAIL) -> Response:
    body = {"username": username, "authhash": authhash}
    return send("remoteit.login_by_authhash", {"developerkey": key}, body=body)


def with_token(name: str, key: str, token: str) -> Response:
    return send(name, {"developerkey": key, "token": token})


def checked(key: str, token: str) -> Response:
    return send("remoteit.check_token", {"developerkey": key}, path={"token": token})


def test_authhash_of_a_login_logs_in(key: str) -> None:
    first = by_password(key).json()
    again = by_authhash(key, first["service_authhash"])
    assert again.status == 200
    for name in first.keys() - {"token", "auth_token", "auth_expiration", "token_index"}:
        assert again.json()[name] == first[name]
    assert sessions.verify(again.json()["token"], "remoteit").look_up().uid == "ada"
    assert "attempts#" not in str(everything()["BINDINGS"])


ENDS: dict[str, Callable[[], object]] = {
    "another password": lambda: users.set_password("ada", "another password"),
    "the same password again": lambda: users.set_password("ada", PASSWORD),
    "tokens revoked": lambda: users.revoke_sessions("ada"),
    "disabled": lambda: users.set_enabled("ada", False),
    "another address": lambda: users.change("ada", email="eve@example.com"),
}


@pytest.mark.parametrize("case", ENDS)
def test_authhash_ends(case: str, key: str) -> None:
    authhash = by_password(key).json()["service_authhash"]
    ENDS[case]()
    unknown = by_authhash(key, authhash, "nobody@example.com")
    refused = by_authhash(key, authhash)
    assert (refused.status, refused.body) == (unknown.status, unknown.body)
    assert (refused.status, refused.json()["reason"][:6]) == (401, "[0102]")


def test_user_without_a_password_has_no_authhash(key: str) -> None:
    users.change("ben", email="ben@example.com")
    token = sessions.issue("ben", "remoteit", 600)[0]
    authhash = with_token("remoteit.get_user", key, token).json()["service_authhash"]
    assert by_authhash(key, authhash, "ben@example.com").status == 401


@pytest.mark.parametrize("given", ["x", "é", "0" * 64])
def test_wrong_authhashes_are_throttled_like_passwords(given: str, key: str) -> None:
    answers = [by_authhash(key, given), *(by_password(key, "wrong") for _ in range(4)), by_authhash(key, given)]
    assert {answer.status for answer in answers} == {401}
    assert ["Retry-After" in answer.headers for answer in answers] == [False] * 5 + [True]


def test_logout_ends_one_token_only(key: str) -> None:
    ended, other = by_password(key).json(), by_password(key).json()
    # Tokens of one second are the same.
    other["token"] = sessions.issue("ada", "remoteit", 600)[0]
    answer = with_token("remoteit.logout", key, ended["token"])
    assert (answer.status, answer.body) == (200, '{"status":"true"}')
    for name in ("remoteit.logout", "remoteit.list_all", "remoteit.get_user"):
        refused = with_token(name, key, ended["token"])
        assert (refused.status, refused.json()["reason"]) == (401, "invalid api token")
    assert with_token("remoteit.list_all", key, other["token"]).status == 200
    assert by_authhash(key, ended["service_authhash"]).status == 200


def test_list_of_logged_out_tokens_is_bounded(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logouts, "LIMIT", 2)
    tokens = [sessions.issue("ada", "remoteit", lifetime)[0] for lifetime in (100, 200, 300, 400, 500)]
    for token in tokens[1:4]:
        assert with_token("remoteit.logout", key, token).status == 200
    assert len(users.show("ada")["logged_out"]) == 2
    # The first token ends with the second, which left the list: both expire no later.
    accepted = [checked(key, token).json()["status"] for token in tokens]
    assert accepted == ["false", "false", "false", "false", "true"]
    until, later = users.show("ada")["logged_out_until"], clock.seconds() + 350
    last = sessions.issue("ada", "remoteit", 600)[0]
    monkeypatch.setattr(clock, "seconds", lambda: later)
    assert with_token("remoteit.logout", key, last).status == 200
    # The third token expired, so it leaves the list without consequences.
    assert (len(users.show("ada")["logged_out"]), users.show("ada")["logged_out_until"]) == (2, until)


def test_logout_during_an_erasure_leaves_nothing(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = by_password(key).json()["token"]
    races.before(monkeypatch, "UpdateItem", lambda: dynamodb.write(items.user("ada").delete()))
    answer = with_token("remoteit.logout", key, token)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert dynamodb.get(items.user("ada")) is None


def test_user_of_a_token_is_described_as_by_the_login(key: str) -> None:
    login = by_password(key)
    answer = with_token("remoteit.get_user", key, login.json()["token"])
    assert (answer.status, answer.body) == (200, login.body)


def test_token_is_checked_for_any_developer_key(key: str) -> None:
    accounts.create("other", name="Other")
    others = api_keys.issue("other", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")
    login = by_password(key).json()
    for asking in (key, others):
        answer = checked(asking, login["token"])
        assert (answer.status, answer.body) == (
            200,
            f'{{"status":"true","email":"{EMAIL}","userid":"{login["guid"]}"}}',
        )
    # ben has no email address.
    assert checked(key, sessions.issue("ben", "remoteit", 600)[0]).json()["email"] == ""


@pytest.mark.parametrize("token", ["forged", "revoked"])
def test_invalid_token_is_reported_with_200(token: str, key: str) -> None:
    if token == "revoked":
        token = by_password(key).json()["token"]
        users.revoke_sessions("ada")
    answer = checked(key, token)
    assert (answer.status, answer.body) == (200, '{"status":"false","message":"invalid api token"}')
    refused = checked("0" * 40, token)
    assert (refused.status, refused.json()["reason"]) == (401, "invalid developer key")
