import io
import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.directory import accounts, sessions, users
from bindery.http import operation
from bindery.operators import privacy
from bindery.quectel import user_domains
from bindery.registry import items
from bindery.security import passwords
from tests.concurrency.races import before
from tests.http_api import OPERATOR, Response, admin
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

PASSWORD = "  correct horse "


@pytest.fixture(autouse=True)
def account(registry: None) -> None:
    accounts.create("acme", name="Acme")
    for name in ("E.DM.1", "E.DM.2", "E.DM.3", "app", "other", "second"):
        user_domains.create(name)


@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("POST", "", {"uid": "ben", "account": "acme", "domain": "nosuch"}, "domain"),
        ("POST", "", {"uid": "ben", "account": "nobody"}, "account"),
        ("PATCH", "/ada", {"domain": "nosuch"}, "domain"),
    ],
)
def test_unknown_reference_is_refused_by_name(method: str, path: str, body: Any, at: str) -> None:
    create()
    stands = everything()
    answer = ask(method, path, body)
    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    (error,) = answer.json()["errors"]
    assert (error["at"], error["message"].endswith("does not exist")) == (at, True)
    assert everything() == stands


def ask(method: str, path: str = "", body: Any = None, **given: Any) -> Response:
    return admin("users", method, f"users{path}", body, **given)


def create(uid: str = "ada", **members: Any) -> dict[str, Any]:
    answer = ask("POST", "", {"uid": uid, "account": "acme"} | members)
    assert answer.status == 200, answer.body
    made: dict[str, Any] = answer.json()
    return made


def record(uid: str = "ada") -> dict[str, Any]:
    found = dynamodb.get(items.user(uid))
    assert found is not None
    return found


def token(dialect: str = "quectel") -> str:
    made: str = ask("POST", "/ada/tokens", {"dialect": dialect, "lifetime": 60}).json()["token"]
    return made


def welcome(token: str, dialect: str = "quectel") -> bool:
    try:
        sessions.verify(token, dialect).look_up()
    except Refused:
        return False
    return True


def test_user_is_created_once_and_shown() -> None:
    given = {
        "uid": "ada",
        "account": "acme",
        "domain": "E.DM.1",
        "role": "administrator",
        "home_mode": True,
        "customer": "MIGR00002",
        "email": "Ada@Example.COM",
    }
    made = ask("POST", "", given)
    assert made.json() == given | {"enabled": True, "created_at": made.json()["created_at"]}
    assert ask("GET", "/ada").body == made.body
    assert record()["changed_by"] == OPERATOR
    stands = everything()
    assert ask("POST", "", given).json()["reason"] == "already_exists"
    assert everything() == stands


def test_email_address_is_shown_as_given_and_compared_folded() -> None:
    """Case folding can change the mailbox, so the folded address is used only for comparison."""
    assert create(email="X@straße.example")["email"] == "X@straße.example"
    assert ask("PATCH", "/ada", {"email": "x@STRASSE.example"}).json()["email"] == "x@STRASSE.example"
    assert create(uid="ben", email="y@straße.example")["email"] == "y@straße.example"
    taken = ask("PATCH", "/ben", {"email": "x@Straße.example"})
    assert (taken.status, taken.json()["reason"]) == (409, "already_exists")
    assert len([item for item in stored(Table.DIRECTORY) if item["sk"] == "email"]) == 2


def test_user_requires_only_an_id_and_an_account() -> None:
    made = create()
    assert made == {
        "uid": "ada",
        "account": "acme",
        "domain": None,
        "role": "regular",
        "home_mode": False,
        "customer": None,
        "email": None,
        "enabled": True,
        "created_at": made["created_at"],
    }


def test_user_list_is_paginated() -> None:
    accounts.create("other", name="Other")
    create("eve", account="other")
    made = [create(uid) for uid in ("cleo", "ada", "ben")]
    first = ask("GET", query={"account": "acme", "limit": 2}).json()
    rest = ask("GET", query={"account": "acme", "limit": 2, "cursor": first["next"]}).json()
    assert [*first["items"], *rest["items"]] == sorted(made, key=lambda user: user["uid"])
    assert rest["next"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": ""},
        {"uid": "a/b"},
        {"uid": "u" * 129},
        {"account": None},
        {"role": "root"},
        {"role": None},
        {"home_mode": 1},
        {"customer": ""},
        {"domain": "a b"},
        {"email": "ada"},
        {"email": "a da@example.com"},
        {"email": "ada@x@example.com"},
        {"email": "a" * 250 + "@x.de"},
        {"password": PASSWORD},
        {"enabled": False},
    ],
)
def test_invalid_user_is_422(changes: dict[str, Any]) -> None:
    stands = everything()
    assert ask("POST", "", {"uid": "ada", "account": "acme"} | changes).status == 422
    assert everything() == stands


@pytest.mark.parametrize("query", ["", "account=", "account=a&cursor=x"])
def test_invalid_list_request_is_422(query: str) -> None:
    assert ask("GET", query=query).status == 422


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"uid": "ada", "account": "nobody"}),
        ("GET", "/ada", None),
        ("PATCH", "/ada", {"role": "regular"}),
        ("PATCH", "/ada", {}),
        ("POST", "/ada/disable", None),
        ("POST", "/ada/enable", None),
        ("POST", "/ada/tokens", {"dialect": "quectel", "lifetime": 60}),
        ("POST", "/ada/revoke-tokens", None),
    ],
)
def test_unknown_resource_is_404(method: str, path: str, body: Any) -> None:
    stands = everything()
    answer = ask(method, path, body)
    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    assert everything() == stands


@pytest.mark.parametrize(
    "change",
    [
        {"role": "administrator"},
        {"home_mode": True},
        {"customer": "MIGR00003"},
        {"customer": None},
        {"domain": "E.DM.2"},
        {"domain": None},
        {"domain": "E.DM.2", "role": "administrator"},
        {"domain": "E.DM.1"},
        {"email": "eve@example.com"},
        {"email": None},
        {"email": "ada@example.com", "domain": "E.DM.2", "role": "administrator"},
        {},
    ],
)
def test_change_sets_only_the_specified_fields(change: dict[str, Any]) -> None:
    made = create(domain="E.DM.1", customer="MIGR00002", email="ada@example.com")
    changed = ask("PATCH", "/ada", change)
    assert (changed.status, changed.json()) == (200, made | change)
    assert ask("GET", "/ada").json() == made | change


@pytest.mark.parametrize(
    "change",
    [
        {"role": None},
        {"role": "root"},
        {"home_mode": None},
        {"home_mode": "true"},
        {"account": "x"},
        {"customer": ""},
        {"email": ""},
    ],
)
def test_invalid_change_is_422(change: dict[str, Any]) -> None:
    create()
    stands = everything()
    assert ask("PATCH", "/ada", change).status == 422
    assert everything() == stands


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"domain": "E.DM.2"}, False),
        ({"domain": None}, False),
        ({"domain": "E.DM.1"}, True),
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


def test_concurrent_move_of_a_user_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    create(domain="E.DM.1")
    before(monkeypatch, "transact_write_items", lambda: users.change("ada", domain="E.DM.3"))
    written = io.StringIO()
    monkeypatch.setattr(operation.logger.registered_handler, "stream", written)
    answer = ask("PATCH", "/ada", {"domain": "E.DM.2", "role": "administrator"})
    assert (answer.status, answer.json()["reason"], answer.headers["Retry-After"]) == (503, "conflict", "1")
    # Not an internal error: parallel changes of one user must not undo each other.
    (line,) = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (line["level"], line["reason"]) == ("INFO", "conflict")
    assert (record()["domain"], record()["role"]) == ("E.DM.3", "regular")


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


def test_email_address_is_unique_per_account_and_domain() -> None:
    accounts.create("other", name="Other")
    create(domain="app", email="ada@x.de")
    create("eve", domain="second", email="eve@x.de")
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


def test_unused_email_address_is_available_again() -> None:
    create(domain="app", email="ada@x.de")
    assert ask("PATCH", "/ada", {"email": "eve@x.de"}).status == 200
    create("ben", domain="app", email="ada@x.de")
    assert names() == {
        "account#acme#ada@x.de": "ben",
        "domain#app#ada@x.de": "ben",
        "account#acme#eve@x.de": "ada",
        "domain#app#eve@x.de": "ada",
    }


@pytest.mark.parametrize(
    ("meanwhile", "change", "status"),
    [
        (lambda: users.change("ada", email="new@x.de"), {"email": "eve@x.de"}, 503),
        (lambda: users.change("ada", domain="new"), {"email": "eve@x.de"}, 503),
        (lambda: users.change("ada", email="new@x.de"), {"domain": "second"}, 503),
        (lambda: users.create("ben", "acme", email="eve@x.de"), {"email": "eve@x.de"}, 409),
        (lambda: privacy.erase("ada"), {"email": "eve@x.de"}, 404),
        (lambda: users.set_enabled("ada", False), {"email": "eve@x.de"}, 200),
    ],
    ids=["addressed", "moved", "moved and addressed", "taken", "erased", "disabled"],
)
def test_email_address_and_its_reservation_stay_consistent(
    meanwhile: Any, change: dict[str, Any], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(domain="app", email="ada@x.de")
    before(monkeypatch, "transact_write_items", meanwhile)
    assert ask("PATCH", "/ada", change).status == status
    expected: dict[str, str] = {}
    for user in [item for item in stored(Table.DIRECTORY) if item["sk"] == "user"]:
        expected |= dict.fromkeys(
            [f"account#acme#{user['email']}"] + ([f"domain#{user['domain']}#{user['email']}"] * bool(user["domain"])),
            user["uid"],
        )
    assert names() == expected


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


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dialect": "asseco", "lifetime": 60},
        {"dialect": "quectel"},
        {"dialect": "quectel", "lifetime": 0},
        {"dialect": "quectel", "lifetime": 31_536_001},
        {"dialect": "quectel", "lifetime": "60"},
    ],
)
def test_invalid_token_request_is_422(body: dict[str, Any]) -> None:
    create()
    assert ask("POST", "/ada/tokens", body).status == 422


def test_revocation_does_not_affect_later_tokens() -> None:
    create()
    old = [token("quectel"), token("remoteit")]
    assert ask("POST", "/ada/revoke-tokens").status == 200
    assert not welcome(old[0])
    assert not welcome(old[1], "remoteit")
    assert welcome(token())


def test_users_of_a_disabled_account_cannot_authenticate() -> None:
    create()
    old = token()
    accounts.set_enabled("acme", False)
    assert not welcome(old)


def test_password_is_used_verbatim_and_never_shown() -> None:
    made = create()
    assert "password" not in record()
    set_ = ask("POST", "/ada/password", {"password": PASSWORD})
    assert (set_.status, set_.json()) == (200, made)
    stored = record()["password"]
    assert passwords.verify(PASSWORD, stored)
    for answer in (ask("GET", "/ada"), ask("GET", query={"account": "acme"})):
        assert stored not in answer.body
    assert welcome(token())


def test_password_is_not_set_for_an_unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_LN", 4)
    assert ask("POST", "/ada/password", {"password": PASSWORD}).status == 404
    assert {item["sk"] for item in stored(Table.DIRECTORY)} == {"account", "domain"}


CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]


@pytest.mark.parametrize(
    "password",
    [None, "", "a" * 7, "a" * 257, 12345678, ["a" * 8], *(f"abcd{code}efgh" for code in CONTROLS), "abcdefgh\ud800"],
)
def test_invalid_password_is_422(password: Any) -> None:
    create()
    stands = everything()
    assert ask("POST", "/ada/password", {"password": password}).status == 422
    assert everything() == stands
