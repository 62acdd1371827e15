"""Parallel requests: an email address belongs to one user, and every parallel guess is counted."""

import json
from collections import Counter

import pytest

from bindery.aws.dynamodb import Table
from bindery.core.errors import Refused
from bindery.directory import accounts, api_keys, users
from bindery.directory.api_keys import Grant, Kind
from tests.engine.test_races import CALLERS, at_once
from tests.http_api import Response, event, invoke
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("engine")

EMAIL, RIGHT = "ada@x.de", "right password"


@pytest.fixture
def key(engine: None) -> str:
    """Return the developer key of ada's account."""
    accounts.create("acme", name="Acme")
    users.create("ada", "acme", email=EMAIL)
    users.set_password("ada", RIGHT)
    return api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")


def log_in(key: str, password: str) -> Response:
    body = json.dumps({"username": EMAIL, "password": password})
    return invoke("remoteit.login", event("POST", "/apv/v27/user/login", headers={"developerkey": key}, body=body))


def failures() -> list[int]:
    return [item["failures"] for item in stored(Table.BINDINGS) if item["sk"] == "attempts"]


def test_parallel_login_attempts_are_throttled(key: str) -> None:
    """One login has the right password. It succeeds, or is throttled like the others and not counted."""
    answers = at_once(lambda number: log_in(key, RIGHT if number == CALLERS - 1 else "wrong password"))
    seen = [answer for answer in answers if "Retry-After" not in answer.headers]
    unseen = [answer for answer in answers if "Retry-After" in answer.headers]
    assert len({(answer.status, answer.body, answer.headers["Retry-After"]) for answer in unseen}) == 1
    assert len(unseen) > 0
    if answers[-1].status == 401:
        # A login that arrives after the wait is compared as well. The number of such logins depends on the machine.
        assert failures() == [len(seen)]


def test_parallel_valid_logins_succeed_or_can_be_retried(key: str) -> None:
    answers = at_once(lambda _: log_in(key, RIGHT))
    assert {answer.status for answer in answers if "Retry-After" not in answer.headers} == {200}
    assert failures() == []
    assert log_in(key, RIGHT).status == 200


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("create", [True, False])
def test_contested_email_address_goes_to_one_user(create: bool) -> None:
    if not create:
        for number in range(CALLERS):
            users.create(f"u{number}", "acme", domain="app", email=f"u{number}@x.de")

    def want(number: int) -> str:
        try:
            if create:
                users.create(f"u{number}", "acme", domain="app", email="New@x.de")
            else:
                users.change(f"u{number}", email="New@x.de")
        except Refused as fault:
            return fault.reason
        return "given"

    assert Counter(at_once(want)) == {"given": 1, "already_exists": CALLERS - 1}
    found = stored(Table.DIRECTORY)
    (owner,) = [item["uid"] for item in found if item["sk"] == "user" and item["email"] == "New@x.de"]
    assert {item["pk"]: item["uid"] for item in found if item["sk"] == "email" and "new@" in item["pk"]} == {
        "email#account#acme#new@x.de": owner,
        "email#domain#app#new@x.de": owner,
    }
