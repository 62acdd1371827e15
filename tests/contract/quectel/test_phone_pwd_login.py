"""Login by phone number: spellings of the number, the exact error responses, and the items written."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.directory import accounts, sessions, users
from bindery.quectel import domain_secrets
from tests.http_api import Response
from tests.quectel import login_failures, refused
from tests.sample_requests import send
from tests.tables import everything
from tools.local import quectel_login

DOMAIN, SECRET, PASSWORD = "E.DM.1", "q7Zr/fZ+9bc=", "correct horse"
CODE, PHONE = "44", "7700900123"


@pytest.fixture(autouse=True)
def app(registry: None, cheap_hashes: None) -> None:
    """Create a domain with the user ada, and another domain with the same secret."""
    accounts.create("acme", name="Acme")
    for domain in (DOMAIN, "other"):
        domain_secrets.create(domain, SECRET)
    users.create("ada", "acme", domain=DOMAIN, phone=f"+{CODE}{PHONE}")
    users.set_password("ada", PASSWORD)


def query(**changes: Any) -> dict[str, str]:
    """Return the query that the app sends, signed after these changes."""
    given = {"code": CODE, "phone": PHONE, "password": PASSWORD, "domain": DOMAIN, "secret": SECRET}
    return quectel_login.query(**given | changes)


def post(fields: dict[str, Any]) -> Response:
    return send("quectel.phone_pwd_login", query={name: value for name, value in fields.items() if value is not None})


def log_in(**changes: Any) -> Response:
    return post(query(**changes))


@pytest.mark.parametrize(
    ("code", "phone"),
    [*((code, PHONE) for code in (CODE, "+44", "0044")), (CODE, "7700 900-123"), (CODE, "(7700) 900123")],
)
def test_login_returns_working_tokens_for_every_spelling(code: str, phone: str) -> None:
    answer = log_in(code=code, phone=phone)
    assert (answer.status, answer.json()["code"]) == (200, 200)
    token = answer.json()["data"]["accessToken"]["token"]
    assert sessions.verify(token, "quectel").look_up().phone == "+447700900123"
    assert login_failures() == []


def test_number_without_a_country_code_is_chinese() -> None:
    users.change("ada", phone="+8613800138000")
    fields = query(code="", phone="13800138000")
    for given in (fields, fields | {"internationalCode": None}):
        assert post(given).json()["code"] == 200


# Once the name is found, the login is that by email address: tests/contract/quectel/test_email_pwd_login.py.
REFUSED: list[tuple[int, Callable[[], object], dict[str, Any]]] = [
    (5420, lambda: None, {"secret": "wrong"}),
    (5004, lambda: None, {"phone": "7700900124"}),
    (5004, lambda: None, {"phone": "no number"}),
    (5004, lambda: None, {"code": "1"}),
    (5004, lambda: None, {"domain": "other"}),
    (5004, lambda: users.change("ada", phone=None), {}),
    (5004, lambda: users.change("ada", domain="other"), {}),
    (5012, lambda: None, {"password": "wrong password"}),
]


@pytest.mark.parametrize(("code", "happen", "changes"), REFUSED)
def test_refused_login_changes_only_the_attempt_count(
    code: int, happen: Callable[[], object], changes: dict[str, Any]
) -> None:
    happen()
    stands = everything()["DIRECTORY"]
    refused(log_in(**changes), code)
    assert everything()["DIRECTORY"] == stands
    assert login_failures() == ([1] if code in (5004, 5012) else [])


@pytest.mark.parametrize(
    ("name", "code"), [("userDomain", 5015), ("random", 5420), ("signature", 5420), ("phone", 5004), ("pwd", 5012)]
)
def test_missing_parameter_is_refused_as_wrong(name: str, code: int) -> None:
    refused(post(query() | {name: None}), code)
    assert login_failures() == []


@pytest.mark.parametrize("name", ["internationalCode", "phone", "pwd", "random"])
def test_signature_covers_the_parameters(name: str) -> None:
    refused(post(query() | {name: "1"}), 5420)
