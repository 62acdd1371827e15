"""Session tokens: every schedule of their renewal and logout is equivalent to some order of the requests."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bindery.directory import sessions, users
from bindery.quectel import tokens
from bindery.remoteit import logouts
from tests.concurrency import schedules, test_logins
from tests.concurrency.schedules import Request, operator
from tests.concurrency.test_logins import DEVELOPER, close, of_user, password
from tests.sample_requests import send

pytestmark = pytest.mark.usefixtures("ada")


@pytest.fixture(autouse=True)
def ada(prepared: Any, fixed_hashes: None) -> None:
    """Create ada, who can log in."""
    prepared("installation", test_logins.installation)


def refresh_token() -> str:
    return tokens.sign(users.show("ada")).refresh_token.token


def renew(token: str) -> Request:
    return Request("renew", lambda: send("quectel.refresh_token", query={"refreshToken": token}))


def renew_access(token: str) -> Request:
    return Request("renew an access token", lambda: send("quectel.refresh_token", {"authorization": token}))


def close_domain() -> Request:
    return operator("close the domain", "domains", "PATCH", "domains/demo", {"enabled": False})


RENEWALS: dict[str, Callable[[str], list[Request]]] = {
    "two renewals": lambda token: [renew(token), renew(token)],
    "three renewals": lambda token: [renew(token), renew(token), renew(token)],
    "a renewal and the tokens' revocation": lambda token: [renew(token), of_user("revoke-tokens")],
    "a renewal and the user's disabling": lambda token: [renew(token), of_user("disable")],
    "a renewal, disabling and enabling": lambda token: [renew(token), of_user("disable"), of_user("enable")],
    "a renewal and a new password": lambda token: [renew(token), password()],
    "a renewal and another domain": lambda token: [renew(token), of_user("", {"domain": "other"}, "PATCH")],
    "a renewal and the domain's closing": lambda token: [renew(token), close_domain()],
    "a renewal and the account's closing": lambda token: [renew(token), close()],
    "two renewals and the tokens' revocation": lambda token: [renew(token), renew(token), of_user("revoke-tokens")],
}


@pytest.mark.parametrize("case", RENEWALS)
def test_renewals_are_equivalent_to_some_order(case: str) -> None:
    assert schedules.check(RENEWALS[case](refresh_token())) > 1


def test_renewals_of_an_access_token_are_equivalent_to_some_order() -> None:
    token = sessions.issue("ada", "quectel", 60)[0]
    assert schedules.check([renew_access(token), renew_access(token)]) > 1


def test_parallel_renewals_keep_the_time_of_the_first_write() -> None:
    """The minute in which a token can be used again does not begin again."""
    given = refresh_token()
    times: dict[int, set[int]] = {}
    for run in schedules.explore([renew(given), renew(given)]):
        first, *_ = (maker for maker, call in run.calls if call.startswith("UpdateItem"))
        (alone,) = (item for item in run.tables["BINDINGS"] if "used_at" in item)
        times.setdefault(first, set()).add(alone["used_at"])
    assert {first: len(found) for first, found in times.items()} == {0: 1, 1: 1}


def token(lifetime: int = 600) -> str:
    return sessions.issue("ada", "remoteit", lifetime)[0]


def by(token: str, name: str, **more: Any) -> Request:
    headers = {"developerkey": DEVELOPER, "token": token}
    return Request(name, lambda: send(f"remoteit.{name}", headers, **more))


def log_out(token: str) -> Request:
    return by(token, "logout")


def check_token(token: str) -> Request:
    headers = {"developerkey": DEVELOPER}
    return Request("check", lambda: send("remoteit.check_token", headers, path={"token": token}))


LOGOUTS: dict[str, Callable[[str], list[Request]]] = {
    "a logout and a request": lambda own: [log_out(own), by(own, "get_user")],
    "a logout and a list": lambda own: [log_out(own), by(own, "list_all")],
    "a logout and a check of the token": lambda own: [log_out(own), check_token(own)],
    "a logout and two requests": lambda own: [log_out(own), by(own, "get_user"), check_token(own)],
    "two logouts": lambda own: [log_out(own), log_out(token(700))],
    "two logouts and a request": lambda own: [log_out(own), log_out(token(700)), by(own, "get_user")],
    "a logout and a login": lambda own: [log_out(own), test_logins.remoteit()],
    "a logout and the tokens' revocation": lambda own: [log_out(own), of_user("revoke-tokens")],
    "a logout and the user's disabling": lambda own: [log_out(own), of_user("disable")],
    "a logout, disabling and enabling": lambda own: [log_out(own), of_user("disable"), of_user("enable")],
    "a logout and a new password": lambda own: [log_out(own), password()],
    "a logout and the account's closing": lambda own: [log_out(own), close()],
}


@pytest.mark.parametrize("case", LOGOUTS)
def test_logouts_are_equivalent_to_some_order(case: str) -> None:
    assert schedules.check(LOGOUTS[case](token())) > 1


def test_logouts_beyond_the_limit_are_equivalent_to_some_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logouts, "LIMIT", 1)
    assert schedules.check([log_out(token()), log_out(token(700))]) > 1


def test_parallel_logouts_with_one_token_both_end_it() -> None:
    """In turn, the second would be refused; a repeated write must not be."""
    own = token()
    ends = []
    for run in schedules.explore([log_out(own), log_out(own)]):
        answers = sorted((answer.status, answer.again) for answer in run.answers)
        assert answers in ([(200, False), (200, False)], [(200, False), (401, False)]), run
        (user,) = (item for item in run.tables["DIRECTORY"] if item["pk"] == "user#ada")
        assert len(user["logged_out"]) == 1, run
        ends.append(json.dumps(answers))
    assert len(set(ends)) == 2
