"""Logins: every schedule of parallel requests is equivalent to some order of the requests."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.core import clock
from bindery.directory import accounts, api_keys, login_attempts, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import domain_secrets
from bindery.registry import items
from bindery.remoteit.login import authhash
from tests import tables
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, operator
from tests.http_api import SOURCE_IP
from tests.sample_requests import send
from tools.local import quectel_login

ADA, BEN, NEW_ADDRESS = "ada@example.com", "ben@example.com", "new@example.com"
GOOD, NEW, BAD = "correct horse", "battery staple", "a guess of mine"
DEVELOPER, SECRET = "A" * 40, "s" * 32
RANDOM = "a1B2c3D4e5F6g7H8"
CODE, PHONES = "44", {ADA: "7700900001", BEN: "7700900002", NEW_ADDRESS: "7700900003"}

pytestmark = pytest.mark.usefixtures("fixed_hashes")


def quectel(password: str = GOOD, email: str = ADA) -> Request:
    form = quectel_login.form(email, password, "demo", SECRET, random=RANDOM)
    body = urlencode(form).encode()
    return Request(f"{email} logs in with {password}", lambda: send("quectel.email_pwd_login", body=body))


def remoteit(password: str = GOOD, email: str = ADA) -> Request:
    headers, body = {"developerkey": DEVELOPER}, {"username": email, "password": password}
    return Request(f"{email} logs in with {password}", lambda: send("remoteit.login", headers, body=body))


def by_phone(password: str = GOOD, email: str = ADA) -> Request:
    """Return a login with the phone number of the user who has or gets this address."""
    fields = quectel_login.query(CODE, PHONES[email], password, "demo", SECRET, random=RANDOM)
    return Request(f"{email} logs in by phone with {password}", lambda: send("quectel.phone_pwd_login", query=fields))


def by_authhash(password: str = GOOD, email: str = ADA) -> Request:
    """Return a login with ada's or ben's current authhash, or with a wrong one."""
    uid = email.partition("@")[0]
    right = authhash(users.show("ada" if uid == "new" else uid))
    body = {"username": email, "authhash": right if password == GOOD else password}
    headers = {"developerkey": DEVELOPER}
    return Request(
        f"{email} logs in by authhash with {password}", lambda: send("remoteit.login_by_authhash", headers, body=body)
    )


Login = Callable[..., Request]
LOGINS: dict[str, Login] = {
    "quectel": quectel,
    "quectel, by phone": by_phone,
    "remoteit": remoteit,
    "remoteit, by authhash": by_authhash,
}


def key(api: str) -> Any:
    """Return the key of the item with ada's attempts."""
    name = f"+{CODE}{PHONES[ADA]}" if "phone" in api else ADA
    dialect = api.partition(",")[0]
    return items.name_attempts(dialect, "demo" if dialect == "quectel" else "acme", name, SOURCE_IP)


def of_user(does: str, body: Any = None, method: str = "POST") -> Request:
    return operator(does, "users", method, f"users/ada{does and '/'}{does}", body)


def password(new: str = NEW) -> Request:
    return of_user("password", {"password": new})


def renamed() -> Request:
    """Give ada another email address and phone number."""
    return of_user("", {"email": NEW_ADDRESS, "phone": f"+{CODE}{PHONES[NEW_ADDRESS]}"}, "PATCH")


def close() -> Request:
    return operator("close", "accounts", "POST", "accounts/acme/disable")


def installation() -> None:
    accounts.create("acme", name="Acme")
    domain_secrets.create("demo", SECRET)
    api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="demo", chosen=DEVELOPER)
    for uid, email in (("ada", ADA), ("ben", BEN)):
        users.create(uid, "acme", domain="demo", email=email, phone=f"+{CODE}{PHONES[email]}")
        users.set_password(uid, GOOD)


def failed(api: str, count: int) -> None:
    for _ in range(count):
        login_attempts.NameAttempts(key(api)).fail()


CASES: dict[str, tuple[int, Callable[[Login], list[Request]]]] = {
    "two logins": (0, lambda login: [login(), login()]),
    "a login and a new password": (0, lambda login: [login(), password()]),
    "a login with the new password and that": (0, lambda login: [login(NEW), password()]),
    "two new passwords and a login": (0, lambda login: [password(NEW), password(BAD), login(NEW)]),
    "a login and the user's disabling": (0, lambda login: [login(), of_user("disable")]),
    "a login, disabling and enabling": (0, lambda login: [login(), of_user("disable"), of_user("enable")]),
    "a login and the tokens' revocation": (0, lambda login: [login(), of_user("revoke-tokens")]),
    "a login and another address": (0, lambda login: [login(), renamed()]),
    "a login under the new address and that": (0, lambda login: [login(GOOD, NEW_ADDRESS), renamed()]),
    "a login and another domain": (0, lambda login: [login(), of_user("", {"domain": "other"}, "PATCH")]),
    "a login and the account's closing": (0, lambda login: [login(), close()]),
    "a login and a failure": (3, lambda login: [login(), login(BAD)]),
    "a guess and the new password that it is": (2, lambda login: [login(BAD), password(BAD)]),
    "two failures": (2, lambda login: [login(BAD), login(BAD)]),
    "another's login and a failure": (3, lambda login: [login(GOOD, BEN), login(BAD)]),
}


@pytest.fixture(params=LOGINS)
def api(request: pytest.FixtureRequest, prepared: Any) -> str:
    """Create the installation in which every user can log in. Return the API."""
    prepared("installation", installation)
    return str(request.param)


def logged_in(answer: schedules.Answer) -> bool:
    return answer.status == 200 and json.loads(answer.body).get("code", 200) == 200


@pytest.mark.parametrize("case", CASES)
def test_every_schedule_is_equivalent_to_some_order(case: str, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the network's count is left out: the time of its last attempt may be that of any of the requests.
    monkeypatch.setattr(tables, "counts_misses", lambda item: item["sk"] == "network")
    failures, asked = CASES[case]
    assert logged_in(schedules.answered(LOGINS[api](email=BEN)))
    failed(api, failures)
    assert schedules.check(asked(LOGINS[api])) > 1


def test_throttled_parallel_logins_allow_one_comparison(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other login is refused without a comparison, in the same way whether its password was right or wrong."""
    failed(api, 6)
    later = clock.now() + 60_000
    monkeypatch.setattr(clock, "now", lambda: later)
    unseen: set[schedules.Answer] = set()
    seen = 0
    for run in schedules.explore([LOGINS[api](BAD), LOGINS[api]()]):
        seen += 1
        assert sum(answer.again for answer in run.answers) == 1 or logged_in(run.answers[1]), run
        assert logged_in(run.answers[1]) is not run.answers[1].again, run
        unseen |= {answer for answer in run.answers if answer.again}
    assert seen > 1
    assert len(unseen) == 1
