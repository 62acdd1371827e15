"""Whatever password an operator may give, each login takes."""

import json
from urllib.parse import urlencode

import pytest

from bindery.directory import accounts, api_keys, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import domain_secrets
from bindery.security import passwords
from tests.http_api import Response, admin, event, invoke
from tools import quectel_login

pytestmark = pytest.mark.usefixtures("registry")

EMAIL, DOMAIN, SECRET = "ada@example.com", "app", "secret"

PASSWORDS = {
    "the shortest": "12345678",
    "blanks alone": " " * 8,
    "blanks of Unicode": "\u2028\u2029\u3000\u00a0" * 2,
    "marks of a document": "\"\\'{}<>&%+=#\ufeff\u200b",
    "characters in two parts": "e\u0301" * 4,
    "characters that become many": "\ufdfa" * passwords.LONGEST,
    "the last of Unicode": "\U0010ffff" * passwords.LONGEST,
}


@pytest.fixture(autouse=True)
def user(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LN", 4)
    accounts.create("acme", name="Acme")
    domain_secrets.create(DOMAIN, SECRET)
    users.create("ada", "acme", domain=DOMAIN, email=EMAIL)


def remoteit(password: str) -> Response:
    headers = {"developerkey": api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")}
    body = json.dumps({"username": EMAIL, "password": password})
    return invoke("remoteit.login", event("POST", "/apv/v27/user/login", headers=headers, body=body))


def quectel(password: str) -> Response:
    body = urlencode(quectel_login.form(EMAIL, password, DOMAIN, SECRET)).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return invoke("quectel.email_pwd_login", event("POST", quectel_login.PATH, headers=headers, body=body))


@pytest.mark.parametrize("case", PASSWORDS)
def test_a_password_that_an_operator_gave_logs_in_everywhere(case: str) -> None:
    password = PASSWORDS[case]
    assert admin("users", "POST", "users/ada/password", {"password": password}).status == 200
    assert remoteit(password).json()["status"] == "true"
    assert quectel(password).json()["code"] == 200
