"""Login of an account's user, the authhash, logout, and the description of a session and its user."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import privacy
from bindery.registry import items
from bindery.remoteit import logouts
from bindery.security import passwords
from tests.concurrency import races
from tests.http_api import Response
from tests.sample_requests import send
from tests.tables import everything, stored

EMAIL, PASSWORD = "Ada@Example.com", " corr\u00e8ct horse "
FIXED = dict.fromkeys(("service_token", "secondary_auth", "developer_plan", "service_features", "aws_identity"), "") | {
    "status": "true",
    "service_level": "BASIC",
    "storage_plan": "FREE",
    "commerical_setting": "FREE",
    "language": "en",
    "portal_plan": "free_plan",
    "portal_plan_expires": "2038-01-01 00:00:00",
    "announcements": [],
    "index": "true",
}


@pytest.fixture(autouse=True)
def key(registry: None, cheap_hashes: None) -> str:
    """Return the developer key of ada's account."""
    for account in ("acme", "other"):
        accounts.create(account, name=account)
    users.create("ada", "acme", email=EMAIL)
    users.set_password("ada", PASSWORD)
    users.create("far", "other", email="far@x.de")
    users.set_password("far", PASSWORD)
    users.create("ben", "acme", email="ben@x.de")
    return api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")


def ask(headers: dict[str, str], body: Any) -> Response:
    return send("remoteit.login", headers, body=body)


def log_in(key: str, username: Any = EMAIL, password: Any = PASSWORD) -> Response:
    return ask({"developerkey": key}, {"username": username, "password": password})


def refused(answer: Response, reason: str = "[0102] The username or password are invalid", status: int = 401) -> None:
    assert (answer.status, answer.body) == (status, f'{{"status":"false","reason":"{reason}","code":"GENERAL_ERROR"}}')


def failures() -> list[int]:
    """Return the counts of failed logins, without those of unknown keys."""
    return [item["failures"] for item in stored(Table.BINDINGS) if item["sk"] == "attempts"]


@pytest.mark.parametrize("header", ["developerkey", "apikey", "DeveloperKey"])
def test_login_returns_a_session_and_its_user(header: str, key: str) -> None:
    began = clock.seconds()
    answer = ask({header: key}, {"username": " ada@EXAMPLE.com", "password": PASSWORD})
    given = answer.json()
    assert answer.status == 200
    assert {name: value for name, value in given.items() if name in FIXED} == FIXED
    assert given.keys() - FIXED.keys() == {
        *("token", "token_index", "email", "guid", "auth_token", "auth_expiration", "service_authhash"),
        *("apikey", "developer_key", "member_since", "pubsub_channel"),
    }
    assert given["developer_key"] == given["apikey"] == key
    assert given["pubsub_channel"] == given["guid"]
    assert datetime.fromisoformat(given["member_since"] + "Z").timestamp() == users.show("ada")["created_at"] // 1000
    assert given["token"] == given["auth_token"]
    assert type(given["auth_expiration"]) is int
    assert 0 <= given["auth_expiration"] - began - 7 * 86400 <= 5
    assert given["email"] == EMAIL
    for name in ("guid", "token_index"):
        assert re.fullmatch("[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", given[name])
    assert re.fullmatch("[0-9a-f]{64}", given["service_authhash"])
    assert sessions.verify(given["token"], "remoteit").look_up().uid == "ada"
    assert failures() == []


def test_user_id_is_stable_and_unique(key: str) -> None:
    users.set_password("ben", PASSWORD)
    first, again, other = (log_in(key, email).json() for email in (EMAIL, EMAIL, "ben@x.de"))
    for name in ("guid", "service_authhash"):
        assert first[name] == again[name] != other[name]


def test_login_counts_as_use_of_the_developer_key(key: str) -> None:
    refused(log_in(key, password="wrong password"))
    assert "last_used" not in api_keys.show(api_keys.id_of(key))
    assert log_in(key).status == 200
    assert api_keys.show(api_keys.id_of(key))["last_used"] == clock.today().isoformat()


REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "wrong": (lambda: None, EMAIL, PASSWORD.strip()),
    "unknown address": (lambda: None, "nobody@x.de", PASSWORD),
    "user id instead of address": (lambda: None, "ada", PASSWORD),
    "of another account": (lambda: None, "far@x.de", PASSWORD),
    "without a password": (lambda: None, "ben@x.de", PASSWORD),
    "disabled": (lambda: users.set_enabled("ada", False), EMAIL, PASSWORD),
    "erased": (lambda: privacy.erase("ada"), EMAIL, PASSWORD),
    "address changed": (lambda: users.change("ada", email="eve@x.de"), EMAIL, PASSWORD),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_logins_get_the_same_response_and_work(case: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    happen, email, password = REFUSED[case]
    happen()
    hashed: list[Any] = []
    real = passwords._hash

    def hash_(given: str, *parameters: Any) -> bytes:
        hashed.append((given, parameters[1:]))
        return real(given, *parameters)

    monkeypatch.setattr(passwords, "_hash", hash_)
    stands = everything()["DIRECTORY"]
    answer = log_in(key, email, password)
    refused(answer)
    assert "Retry-After" not in answer.headers
    assert hashed == [(password, (2, 8, 1))]
    assert failures() == [1]
    assert everything()["DIRECTORY"] == stands


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "missing username, password"),
        ({"username": EMAIL}, "missing password"),
        ({"username": "  ", "password": PASSWORD}, "missing username"),
        ({"username": EMAIL, "password": ""}, "missing password"),
        ({"username": EMAIL, "password": None}, "missing password"),
        ({"username": 7, "password": PASSWORD}, "invalid username"),
        ({"username": "x" * 255, "password": PASSWORD}, "invalid username"),
        ({"username": EMAIL, "password": "x" * 513}, "invalid password"),
        ({"username": EMAIL, "password": "a\x00"}, "invalid password"),
    ],
)
def test_invalid_body_is_400(body: Any, reason: str, key: str) -> None:
    refused(ask({"developerkey": key}, body), reason, 400)
    assert failures() == []


def by_authhash(key: str, authhash: str, username: str = EMAIL) -> Response:
    body = {"username": username, "authhash": authhash}
    return send("remoteit.login_by_authhash", {"developerkey": key}, body=body)


def with_token(name: str, key: str, token: str) -> Response:
    return send(name, {"developerkey": key, "token": token})


def checked(key: str, token: str) -> Response:
    return send("remoteit.check_token", {"developerkey": key}, path={"token": token})


def test_authhash_of_a_login_logs_in(key: str) -> None:
    first = log_in(key).json()
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
    authhash = log_in(key).json()["service_authhash"]
    ENDS[case]()
    unknown = by_authhash(key, authhash, "nobody@example.com")
    refused = by_authhash(key, authhash)
    assert (refused.status, refused.body) == (unknown.status, unknown.body)
    assert (refused.status, refused.json()["reason"][:6]) == (401, "[0102]")


def test_user_without_a_password_has_no_authhash(key: str) -> None:
    token = sessions.issue("ben", "remoteit", 600)[0]
    authhash = with_token("remoteit.get_user", key, token).json()["service_authhash"]
    assert by_authhash(key, authhash, "ben@x.de").status == 401


@pytest.mark.parametrize("given", ["x", "é", "0" * 64])
def test_wrong_authhashes_are_throttled_like_passwords(given: str, key: str) -> None:
    answers = [by_authhash(key, given), *(log_in(key, password="wrong") for _ in range(4)), by_authhash(key, given)]
    assert {answer.status for answer in answers} == {401}
    assert ["Retry-After" in answer.headers for answer in answers] == [False] * 5 + [True]


def test_logout_ends_one_token_only(key: str) -> None:
    ended, other = log_in(key).json(), log_in(key).json()
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
    token = log_in(key).json()["token"]
    races.before(monkeypatch, "UpdateItem", lambda: dynamodb.write(items.user("ada").delete()))
    answer = with_token("remoteit.logout", key, token)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert dynamodb.get(items.user("ada")) is None


def test_user_of_a_token_is_described_as_by_the_login(key: str) -> None:
    login = log_in(key)
    answer = with_token("remoteit.get_user", key, login.json()["token"])
    assert (answer.status, answer.body) == (200, login.body)


def test_token_is_checked_for_any_developer_key(key: str) -> None:
    others = api_keys.issue("other", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")
    login = log_in(key).json()
    for asking in (key, others):
        answer = checked(asking, login["token"])
        shown = f'{{"status":"true","email":"{EMAIL}","userid":"{login["guid"]}"}}'
        assert (answer.status, answer.body) == (200, shown)
    users.create("cleo", "acme")
    assert checked(key, sessions.issue("cleo", "remoteit", 600)[0]).json()["email"] == ""


@pytest.mark.parametrize("token", ["forged", "revoked"])
def test_invalid_token_is_reported_with_200(token: str, key: str) -> None:
    if token == "revoked":
        token = log_in(key).json()["token"]
        users.revoke_sessions("ada")
    answer = checked(key, token)
    assert (answer.status, answer.body) == (200, '{"status":"false","message":"invalid api token"}')
    refused = checked("0" * 40, token)
    assert (refused.status, refused.json()["reason"]) == (401, "invalid developer key")
