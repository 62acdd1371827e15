"""Login of an app user by email address or phone number: error responses, the two tokens, and the items written."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws.dynamodb import Table
from bindery.core.errors import Refused
from bindery.directory import accounts, sessions, users
from bindery.operators import privacy
from bindery.quectel import domain_secrets, user_domains
from bindery.security import secrets
from tests.http_api import SOURCE_IP, Response
from tests.quectel import login_failures, refused
from tests.sample_requests import send
from tests.tables import everything, stored
from tools.local import quectel_login

DOMAIN, SECRET = "E.DM.1", "q7Zr/fZ+9bc="
EMAIL, PASSWORD = "Ada@Example.com", " corr\u00e8ct horse "
CODE, PHONE = "44", "7700900123"
UID = "user-with-a-long-id"
"""Email address that cannot occur in a digest, a random id or a date."""


@pytest.fixture(autouse=True)
def app(registry: None, cheap_hashes: None) -> None:
    """Create a domain with the user ada, and another domain with the same secret."""
    accounts.create("acme", name="Acme")
    for domain in (DOMAIN, "other"):
        domain_secrets.create(domain, SECRET)
    users.create("ada", "acme", domain=DOMAIN, email=EMAIL, phone=f"+{CODE}{PHONE}")
    users.set_password("ada", PASSWORD)


def form(**changes: Any) -> dict[str, Any]:
    """Return the form that the app sends, signed after `changes` to email, password, domain and secret."""
    given = {"email": EMAIL, "password": PASSWORD, "domain": DOMAIN, "secret": SECRET} | changes
    return quectel_login.form(**given)


def post(fields: dict[str, Any]) -> Response:
    return send("quectel.email_pwd_login", body=urlencode(fields, doseq=True).encode())


def log_in(**changes: Any) -> Response:
    return post(form(**changes))


def tokens(answer: Response) -> dict[str, Any]:
    given: dict[str, Any] = answer.json()
    assert (answer.status, given["code"]) == (200, 200), given
    assert list(given) == ["code", "data", "extMsg", "msg"]
    data: dict[str, Any] = given["data"]
    return data


def test_only_the_access_token_authenticates_its_user() -> None:
    data = tokens(log_in())
    assert sessions.verify(data["accessToken"]["token"], "quectel").look_up().uid == "ada"
    for dialect in ("quectel", "remoteit"):
        with pytest.raises(Refused):
            sessions.verify(data["refreshToken"]["token"], dialect)
    with pytest.raises(Refused):
        sessions.verify(data["accessToken"]["token"], "remoteit")


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com "])
def test_email_address_is_case_insensitive(email: str) -> None:
    assert tokens(log_in(email=email))


def test_json_body_and_signature_in_any_case_are_accepted() -> None:
    fields = form()
    fields["signature"] = fields["signature"].upper()
    assert tokens(send("quectel.email_pwd_login", body=json.dumps(fields)))


def query(**changes: Any) -> dict[str, str]:
    """Return the query that the app sends, signed after these changes."""
    given = {"code": CODE, "phone": PHONE, "password": PASSWORD, "domain": DOMAIN, "secret": SECRET}
    return quectel_login.query(**given | changes)


def post_query(fields: dict[str, Any]) -> Response:
    given = {name: value for name, value in fields.items() if value is not None}
    return send("quectel.phone_pwd_login", query=given)


def by_phone(**changes: Any) -> Response:
    return post_query(query(**changes))


BY_EMAIL: list[tuple[int, Callable[[], object], dict[str, Any]]] = [
    (5015, lambda: None, {"domain": "unknown"}),
    (5015, lambda: user_domains.change(DOMAIN, enabled=False), {}),
    (5420, lambda: None, {"secret": SECRET[:-1]}),
    (5420, lambda: domain_secrets.replace(DOMAIN), {}),
    (5420, lambda: user_domains.create("bare"), {"domain": "bare", "secret": ""}),
    (5031, lambda: None, {"email": "nobody@x.de"}),
    (5031, lambda: None, {"domain": "other"}),
    (5031, lambda: users.change("ada", email=None), {}),
    (5031, lambda: users.change("ada", domain=None), {}),
    (5031, lambda: privacy.erase("ada"), {}),
    (5012, lambda: None, {"password": PASSWORD.strip()}),
    (5012, lambda: None, {"password": ""}),
    (5012, lambda: users.create("ben", "acme", domain=DOMAIN, email="b@x.de"), {"email": "b@x.de", "password": ""}),
    (5012, lambda: users.set_enabled("ada", False), {}),
    (5012, lambda: accounts.set_enabled("acme", False), {}),
]
# Once the name is found, both logins are the same.
BY_PHONE: list[tuple[int, Callable[[], object], dict[str, Any]]] = [
    (5420, lambda: None, {"secret": "wrong"}),
    *((5004, lambda: None, wrong) for wrong in ({"phone": "7700900124"}, {"phone": "no number"}, {"code": "1"})),
    (5004, lambda: None, {"domain": "other"}),
    (5004, lambda: users.change("ada", phone=None), {}),
    (5004, lambda: users.change("ada", domain="other"), {}),
    (5012, lambda: None, {"password": "wrong password"}),
]
REFUSED = [*((log_in, *row) for row in BY_EMAIL), *((by_phone, *row) for row in BY_PHONE)]


@pytest.mark.parametrize(("login", "code", "happen", "changes"), REFUSED)
def test_refused_login_changes_only_the_attempt_count(
    login: Callable[..., Response], code: int, happen: Callable[[], object], changes: dict[str, Any]
) -> None:
    happen()
    stands = everything()["DIRECTORY"]
    refused(login(**changes), code)
    assert everything()["DIRECTORY"] == stands
    assert login_failures() == ([1] if code in (5004, 5031, 5012) else [])


def test_checks_run_in_a_fixed_order() -> None:
    wrong = {"domain": "unknown", "secret": "wrong", "email": "nobody@x.de", "password": "wrong"}
    for code, right in ((5015, "domain"), (5420, "secret"), (5031, "email"), (5012, "password")):
        refused(log_in(**wrong), code)
        del wrong[right]
    assert tokens(log_in(**wrong))


@pytest.mark.parametrize("value", [None, "", ["a", "b"], "a\x00", "x" * 2049])
@pytest.mark.parametrize(
    ("name", "code"), [("userDomain", 5015), ("random", 5420), ("signature", 5420), ("email", 5031), ("pwd", 5012)]
)
def test_missing_or_non_text_parameter_is_refused_as_wrong(name: str, code: int, value: Any) -> None:
    fields = form() | {name: value}
    if value is None:
        del fields[name]
    refused(post(fields), code)
    assert login_failures() == []


@pytest.mark.parametrize("body", [b"", b"\xff", b"email", b"[]"])
def test_body_that_is_not_a_form_has_no_valid_signature(body: bytes) -> None:
    refused(send("quectel.email_pwd_login", {"content-type": ""}, body=body), 5420)


@pytest.mark.parametrize(
    "encrypted",
    [
        "not base64!",
        "\u00e4",
        base64.b64encode(b"short").decode(),
        base64.b64encode(b"sixteen bytes..." * 2).decode(),
        PASSWORD,
        quectel_login.encrypt(b"\xff\xfe", "r" * 16),
    ],
)
def test_undecryptable_password_is_refused_as_wrong(encrypted: str) -> None:
    signature = quectel_login.sign(EMAIL, encrypted, "r" * 16, SECRET)
    refused(post(form() | {"pwd": encrypted, "random": "r" * 16, "signature": signature}), 5012)
    assert login_failures() == [1]


@pytest.mark.parametrize("name", ["email", "pwd", "random"])
def test_signature_covers_the_fields_as_sent(name: str) -> None:
    fields = form()
    refused(post(fields | {name: fields[name] + " "}), 5420)


def test_login_neither_logs_nor_stores_email_and_password(caplog: pytest.LogCaptureFixture) -> None:
    secret_password = "canary password"
    users.create(UID, "acme", domain=DOMAIN, email="own@x.de")
    users.set_password(UID, PASSWORD)
    for changes in (
        {"email": "own@x.de"},
        {},
        {"password": secret_password},
        {"email": "canary@x.de"},
        {"secret": "canary"},
    ):
        log_in(**changes)
    shown = caplog.text + str(stored(Table.BINDINGS))
    for text in ("canary", UID, "own@x.de", EMAIL, PASSWORD, SECRET, SOURCE_IP):
        assert text not in shown
    assert secrets.fingerprint("canary@x.de") not in shown


@pytest.mark.parametrize(
    ("code", "phone"),
    [*((code, PHONE) for code in (CODE, "+44", "0044")), (CODE, "7700 900-123"), (CODE, "(7700) 900123")],
)
def test_phone_number_is_read_in_every_spelling(code: str, phone: str) -> None:
    answer = by_phone(code=code, phone=phone)
    assert (answer.status, answer.json()["code"]) == (200, 200)
    token = answer.json()["data"]["accessToken"]["token"]
    assert sessions.verify(token, "quectel").look_up().phone == "+447700900123"
    assert login_failures() == []


def test_number_without_a_country_code_is_chinese() -> None:
    users.change("ada", phone="+8613800138000")
    fields = query(code="", phone="13800138000")
    for given in (fields, fields | {"internationalCode": None}):
        assert post_query(given).json()["code"] == 200


@pytest.mark.parametrize(
    ("name", "code"), [("userDomain", 5015), ("random", 5420), ("signature", 5420), ("phone", 5004), ("pwd", 5012)]
)
def test_missing_query_parameter_is_refused_as_wrong(name: str, code: int) -> None:
    refused(post_query(query() | {name: None}), code)
    assert login_failures() == []


@pytest.mark.parametrize("name", ["internationalCode", "phone", "pwd", "random"])
def test_signature_covers_the_query(name: str) -> None:
    refused(post_query(query() | {name: "1"}), 5420)
