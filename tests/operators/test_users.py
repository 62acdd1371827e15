from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import privacy
from bindery.quectel import domain_secrets, user_domains
from bindery.security import passwords
from tests import moto_registry
from tests.concurrency.races import before
from tests.http_api import Response, admin
from tests.sample_requests import send
from tests.tables import everything, stored
from tools.local import quectel_login

pytestmark = pytest.mark.usefixtures("registry")

PASSWORD = "  correct horse "


@pytest.fixture(autouse=True)
def account(registry: None) -> None:
    accounts.create("acme", name="Acme")
    for name in ("E.DM.1", "E.DM.2", "E.DM.3", "app", "other", "second"):
        user_domains.create(name)


def ask(method: str, path: str = "", body: Any = None, **given: Any) -> Response:
    return admin("users", method, f"users{path}", body, **given)


def create(uid: str = "ada", **members: Any) -> dict[str, Any]:
    answer = ask("POST", "", {"uid": uid, "account": "acme"} | members)
    assert answer.status == 200, answer.body
    made: dict[str, Any] = answer.json()
    return made


def token(dialect: str = "quectel") -> str:
    made: str = ask("POST", "/ada/tokens", {"dialect": dialect, "lifetime": 60}).json()["token"]
    return made


def welcome(token: str, dialect: str = "quectel") -> bool:
    try:
        sessions.verify(token, dialect).look_up()
    except Refused:
        return False
    return True


def test_email_address_is_shown_as_given_and_compared_folded() -> None:
    """Case folding can change the mailbox, so the folded address is used only for comparison."""
    assert create(email="X@straße.example")["email"] == "X@straße.example"
    assert ask("PATCH", "/ada", {"email": "x@STRASSE.example"}).json()["email"] == "x@STRASSE.example"
    assert create(uid="ben", email="y@straße.example")["email"] == "y@straße.example"
    taken = ask("PATCH", "/ben", {"email": "x@Straße.example"})
    assert (taken.status, taken.json()["reason"]) == (409, "already_exists")
    assert len([item for item in stored(Table.DIRECTORY) if item["sk"] == "email"]) == 2


@pytest.mark.parametrize(
    ("change", "good"),
    [
        *(({"domain": "E.DM.2"}, False), ({"domain": None}, False), ({"domain": "E.DM.1"}, True)),
        ({"role": "administrator"}, True),
    ],
)
def test_moving_to_another_domain_revokes_tokens_permanently(change: dict[str, Any], good: bool) -> None:
    create(domain="E.DM.1")
    old = token()
    ask("PATCH", "/ada", change)
    assert welcome(old) is good
    assert welcome(token())
    ask("PATCH", "/ada", {"domain": "E.DM.1"})
    assert welcome(old) is good


def names() -> dict[str, str]:
    """Return the owner of each email address, by account and domain."""
    return {item["pk"].removeprefix("email#"): item["uid"] for item in stored(Table.DIRECTORY) if item["sk"] == "email"}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"email": "Eve@x.DE"}, {"account#acme#eve@x.de", "domain#app#eve@x.de"}),
        ({"email": None}, set()),
        ({"email": "ADA@x.de"}, {"account#acme#ada@x.de", "domain#app#ada@x.de"}),
        ({"domain": "other"}, {"account#acme#ada@x.de", "domain#other#ada@x.de"}),
        ({"domain": None}, {"account#acme#ada@x.de"}),
        ({"domain": "other", "email": "eve@x.de"}, {"account#acme#eve@x.de", "domain#other#eve@x.de"}),
        ({"role": "administrator"}, {"account#acme#ada@x.de", "domain#app#ada@x.de"}),
    ],
)
def test_email_address_is_reserved_in_account_and_domain(change: dict[str, Any], kept: set[str]) -> None:
    create(domain="app", email=" Ada@X.de ")
    assert names() == dict.fromkeys(("account#acme#ada@x.de", "domain#app#ada@x.de"), "ada")
    assert ask("PATCH", "/ada", change).status == 200
    assert names() == dict.fromkeys(kept, "ada")


def test_email_address_is_unique_per_domain_and_in_an_account_without_domains() -> None:
    accounts.create("other", name="Other")
    create(domain="app", email="ada@x.de")
    create("eve", domain="app", email="eve@x.de")
    create("far", account="other", domain="second", email="ada@x.de")
    stands = everything()
    refused = [
        ask("POST", "", {"uid": "ben", "account": "acme", "email": "Ada@x.de"}),
        ask("POST", "", {"uid": "ben", "account": "other", "domain": "app", "email": "ada@x.de"}),
        ask("PATCH", "/eve", {"email": "ADA@x.de"}),
        ask("PATCH", "/far", {"domain": "app"}),
        ask("PATCH", "/far", {"domain": "app", "role": "administrator"}),
    ]
    for answer in refused:
        assert (answer.status, answer.json()["reason"]) == (409, "already_exists")
        assert answer.json()["detail"] == "The email address is another user's."
    assert everything() == stands


def test_change_of_a_user_erased_concurrently_reserves_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    create(domain="app", email="ada@x.de")
    before(monkeypatch, "TransactWriteItems", lambda: privacy.erase("ada"))
    assert ask("PATCH", "/ada", {"email": "eve@x.de"}).status == 404
    assert names() == {}


def test_disabled_user_cannot_authenticate_until_enabled() -> None:
    create()
    old = token()
    assert ask("POST", "/ada/disable").json()["enabled"] is False
    assert not welcome(old)
    assert ask("POST", "/ada/tokens", {"dialect": "quectel", "lifetime": 60}).status == 404
    assert ask("POST", "/ada/enable").json()["enabled"] is True
    assert welcome(old)


def test_token_is_valid_only_for_its_api_and_lifetime() -> None:
    create()
    answer = ask("POST", "/ada/tokens", {"dialect": "remoteit", "lifetime": 60}).json()
    assert answer.keys() == {"token", "expires_at"}
    assert 0 < answer["expires_at"] - clock.now() <= 60_000
    assert sessions.verify(answer["token"], "remoteit").look_up().uid == "ada"
    assert not welcome(answer["token"], "quectel")


def test_revocation_does_not_affect_later_tokens() -> None:
    create()
    old = [token("quectel"), token("remoteit")]
    assert ask("POST", "/ada/revoke-tokens").status == 200
    assert not welcome(old[0])
    assert not welcome(old[1], "remoteit")
    assert welcome(token())


@pytest.mark.usefixtures("cheap_hashes")
def test_password_is_used_verbatim_and_never_shown_and_revokes_tokens() -> None:
    made = create()
    old = token()
    assert "password" not in users.show("ada")
    set_ = ask("POST", "/ada/password", {"password": PASSWORD})
    assert (set_.status, set_.json()) == (200, made)
    stored = users.show("ada")["password"]
    assert passwords.verify(PASSWORD, stored)
    for answer in (ask("GET", "/ada"), ask("GET", query={"account": "acme"})):
        assert stored not in answer.body
    assert not welcome(old)
    assert welcome(token())


def test_phone_number_is_stored_with_digits_and_unique_per_domain() -> None:
    assert create(domain="app", phone="+44 (7700) 900-123")["phone"] == "+447700900123"
    create("ben", domain="app", phone="+447700900124")
    assert create("eve", domain="other", phone="+447700900123")["phone"] == "+447700900123"
    stands = everything()
    for taken in (
        ask("PATCH", "/ben", {"phone": "+44 7700 900123"}),
        ask("POST", "", {"uid": "new", "account": "acme", "domain": "app", "phone": "+447700900124"}),
        ask("PATCH", "/eve", {"domain": "app"}),
    ):
        assert (taken.status, taken.json()["detail"]) == (409, "The phone number is another user's.")
    assert everything() == stands
    assert ask("PATCH", "/ada", {"phone": None}).json()["phone"] is None
    assert ask("PATCH", "/ben", {"phone": "+44 7700 900123"}).status == 200


def test_email_address_of_two_domains_is_the_first_users_in_the_account() -> None:
    create(domain="app", email="ada@x.de")
    create("ben", domain="second", email="Ada@x.de")
    create("eve", domain="other", email="eve@x.de")
    both = {"account#acme#ada@x.de": "ada", "domain#app#ada@x.de": "ada", "domain#second#ada@x.de": "ben"}
    eves = {"account#acme#eve@x.de": "eve", "domain#other#eve@x.de": "eve"}
    assert names() == both | eves
    assert ask("PATCH", "/eve", {"email": "ada@x.de"}).status == 200
    assert names() == both | {"domain#other#ada@x.de": "eve"}
    stands = everything()
    assert ask("PATCH", "/ben", {"domain": None}).json()["reason"] == "already_exists"
    assert everything() == stands
    assert ask("PATCH", "/eve", {"email": "eve@x.de"}).status == 200
    assert names() == both | eves
    assert privacy.erase("ada") == (dict.fromkeys(privacy.KINDS, 0) | {"users": 1}, True)
    assert names() == {"domain#second#ada@x.de": "ben"} | eves
    assert ask("PATCH", "/ben", {"email": "ada@x.de"}).status == 200
    assert names() == {"account#acme#ada@x.de": "ben", "domain#second#ada@x.de": "ben"} | eves


def with_email(email: str, **given: Any) -> list[str]:
    """Return the uids of the listed users with an email address, from all pages."""
    answer = ask("GET", query={"email": email, **given}).json()
    found = [user["uid"] for user in answer["items"]]
    return found if answer["next"] is None else found + with_email(email, **given | {"cursor": answer["next"]})


def test_users_are_listed_by_email_address_each_once_from_all_accounts() -> None:
    accounts.create("rival", name="Rival")
    create(domain="app", email="Ada@x.de")
    create("ben", domain="second", email="ada@x.de")
    create("eve", account="rival", email="ada@X.de")
    create("zoe", email="zoe@x.de")
    assert sorted(with_email("ADA@x.de")) == ["ada", "ben", "eve"]
    assert sorted(with_email("ada@x.de", limit="1")) == ["ada", "ben", "eve"]
    assert sorted(with_email("ada@x.de", account="acme")) == ["ada", "ben"]
    assert with_email("ada@x.de", account="rival") == ["eve"]
    assert with_email("nobody@x.de") == []
    ask("PATCH", "/ada", {"email": "lovelace@x.de"})
    assert (sorted(with_email("ada@x.de")), with_email("lovelace@x.de")) == (["ben", "eve"], ["ada"])
    ask("PATCH", "/ben", {"email": "ada@x.de"})
    assert sorted(with_email("ada@x.de")) == ["ben", "eve"]
    privacy.erase("eve")
    assert with_email("ada@x.de") == ["ben"]
    assert [item for item in stored(Table.DIRECTORY) if item.get("collection") == "emails#ada@x.de"] != []
    privacy.erase("ben")
    assert [item for item in stored(Table.DIRECTORY) if item.get("collection") == "emails#ada@x.de"] == []


def test_stale_index_of_email_addresses_lists_nobody() -> None:
    create(email="ada@x.de")
    with moto_registry.late_indexes():
        ask("PATCH", "/ada", {"email": "lovelace@x.de"})
        assert with_email("ada@x.de") == []


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


def remoteit(password: str) -> Response:
    headers = {"developerkey": api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="tool")}
    return send("remoteit.login", headers, body={"username": EMAIL, "password": password})


def quectel(password: str) -> Response:
    body = urlencode(quectel_login.form(EMAIL, password, DOMAIN, SECRET)).encode()
    return send("quectel.email_pwd_login", body=body)


@pytest.mark.usefixtures("cheap_hashes")
@pytest.mark.parametrize("case", PASSWORDS)
def test_password_set_by_an_operator_works_in_every_login(case: str) -> None:
    domain_secrets.replace(DOMAIN, SECRET)
    create(domain=DOMAIN, email=EMAIL)
    password = PASSWORDS[case]
    assert admin("users", "POST", "users/ada/password", {"password": password}).status == 200
    assert remoteit(password).json()["status"] == "true"
    assert quectel(password).json()["code"] == 200
