"""Login of an account's user: exact error responses, constant time, and the items written."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import privacy
from bindery.security import passwords
from tests.http_api import SOURCE_IP, Response
from tests.sample_requests import send
from tests.tables import everything, stored

EMAIL, PASSWORD = "Ada@Example.com", " corr\u00e8ct horse "
FIXED = {
    "status": "true",
    "service_token": "",
    "service_level": "BASIC",
    "storage_plan": "FREE",
    "secondary_auth": "",
    "commerical_setting": "FREE",
    "language": "en",
    "developer_plan": "",
    "portal_plan": "free_plan",
    "portal_plan_expires": "2038-01-01 00:00:00",
    "service_features": "",
    "announcements": [],
    "index": "true",
    "aws_identity": "",
}
UID = "user-with-a-long-id"
"""Email address that cannot occur in a digest, a random id or a date."""
WRONG = '{"status":"false","reason":"[0102] The username or password are invalid","code":"GENERAL_ERROR"}'


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
    assert (answer.status, answer.body) == (401, WRONG)
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


def test_login_neither_logs_nor_stores_email_and_password(key: str, caplog: pytest.LogCaptureFixture) -> None:
    users.create(UID, "acme", email="own@x.de")
    users.set_password(UID, PASSWORD)
    for email, password in (
        ("own@x.de", PASSWORD),
        (EMAIL, PASSWORD),
        (EMAIL, "canary password"),
        ("canary@x.de", PASSWORD),
    ):
        log_in(key, email, password)
    shown = caplog.text + str(stored(Table.BINDINGS))
    for text in ("canary", UID, "own@x.de", EMAIL, PASSWORD, SOURCE_IP, key):
        assert text not in shown
