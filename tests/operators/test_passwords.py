"""Every password that an operator can set works in every login."""

from urllib.parse import urlencode

import pytest

from bindery.directory import accounts, api_keys, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import domain_secrets
from bindery.security import passwords
from tests.http_api import Response, admin
from tests.sample_requests import send
from tools.local import quectel_login

pytestmark = pytest.mark.usefixtures("registry")

EMAIL, DOMAIN, SECRET = "ada@example.com", "app", "secret"

PASSWORDS = {
    "the shortest": "12345678",
    "spaces only": " " * 8,
    "Unicode spaces": "\u2028\u2029\u3000\u00a0" * 2,
    "markup characters": "\"\\'{}<>&%+=#\ufeff\u200b",
    "combining characters": "e\u0301" * 4,
    "characters that expand when normalized": "\ufdfa" * passwords.LONGEST,
    "highest code point": "\U0010ffff" * passwords.LONGEST,
}


@pytest.fixture(autouse=True)
def user(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LN", 4)
    accounts.create("acme", name="Acme")
    domain_secrets.create(DOMAIN, SECRET)
    users.create("ada", "acme", domain=DOMAIN, email=EMAIL)


def remoteit(password: str) -> Response:
    headers = {"developerkey": api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")}
    return send("remoteit.login", headers, body={"username": EMAIL, "password": password})


def quectel(password: str) -> Response:
    body = urlencode(quectel_login.form(EMAIL, password, DOMAIN, SECRET)).encode()
    return send("quectel.email_pwd_login", body=body)


@pytest.mark.parametrize("case", PASSWORDS)
def test_password_set_by_an_operator_works_in_every_login(case: str) -> None:
    password = PASSWORDS[case]
    assert admin("users", "POST", "users/ada/password", {"password": password}).status == 200
    assert remoteit(password).json()["status"] == "true"
    assert quectel(password).json()["code"] == 200
