import re

import pytest

from bindery.aws.dynamodb import Table
from bindery.quectel import domain_secrets, user_domains
from tests.http_api import OPERATOR, admin
from tests.quectel import ME, World, as_user, refused, succeeded
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


def test_domain_is_created_once_and_shown() -> None:
    made = admin("domains", "POST", "domains", {"domain": "E.DM.1"})
    assert made.status == 200
    shown = {
        "domain": "E.DM.1",
        "enabled": True,
        "binders": "everyone",
        "created_at": made.json()["created_at"],
    }
    assert made.json() == shown | {"secret": made.json()["secret"]}
    assert admin("domains", "GET", "domains/E.DM.1").json() == shown
    (record,) = stored(Table.DIRECTORY)
    assert record["changed_by"] == OPERATOR
    before = everything()
    assert admin("domains", "POST", "domains", {"domain": "E.DM.1", "enabled": False}).status == 409
    assert everything() == before


def test_domain_is_created_with_the_specified_fields() -> None:
    given = {"domain": "d", "enabled": False, "binders": "administrators"}
    assert admin("domains", "POST", "domains", given).json().items() >= given.items()


def test_domain_list_is_paginated() -> None:
    for name in ("a", "b", "c"):
        admin("domains", "POST", "domains", {"domain": name})
    first = admin("domains", "GET", "domains", query={"limit": 2}).json()
    assert [domain["domain"] for domain in first["items"]] == ["a", "b"]
    rest = admin("domains", "GET", "domains", query={"limit": 2, "cursor": first["next"]}).json()
    assert ([domain["domain"] for domain in rest["items"]], rest["next"]) == (["c"], None)


def test_change_sets_only_the_specified_fields_and_takes_effect() -> None:
    World()
    who = "arn:aws:iam::123456789012:user/other"
    changed = admin("domains", "PATCH", "domains/E.DM.1", {"binders": "administrators"}, who=who)
    assert (changed.json()["enabled"], changed.json()["binders"]) == (True, "administrators")
    refused(as_user(ME), 5669)
    changed = admin("domains", "PATCH", "domains/E.DM.1", {"enabled": False, "binders": "everyone"}, who=who)
    assert (changed.json()["enabled"], changed.json()["binders"]) == (False, "everyone")
    refused(as_user(ME), 5093)
    assert admin("domains", "PATCH", "domains/E.DM.1", {"enabled": True}).json()["enabled"] is True
    succeeded(as_user(ME))
    (record,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "domain"]
    assert record["changed_by"] == OPERATOR


def test_empty_change_writes_nothing() -> None:
    admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    assert admin("domains", "PATCH", "domains/d", {}).body == admin("domains", "GET", "domains/d").body
    assert everything() == before


@pytest.mark.parametrize(
    "body", [{"enabled": None}, {"enabled": "no"}, {"binders": "nobody"}, {"binders": None}, {"domain": "e"}, [], None]
)
def test_invalid_change_is_422(body: object) -> None:
    admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    assert admin("domains", "PATCH", "domains/d", body).status == 422
    assert everything() == before


def kept_secret(domain: str = "d") -> str | None:
    return domain_secrets.of(user_domains.show(domain))


def test_domain_secret_is_shown_once_and_stored_encrypted() -> None:
    first = admin("domains", "POST", "domains", {"domain": "d"}).json()["secret"]
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert kept_secret() == first
    given = "q7Zr/fZ+9bc="
    assert admin("domains", "POST", "domains", {"domain": "e", "secret": given}).json()["secret"] == given
    assert kept_secret("e") == given
    for answer in (admin("domains", "GET", "domains"), admin("domains", "PATCH", "domains/e", {"enabled": False})):
        assert first not in answer.body
        assert given not in answer.body
        assert "sealed" not in answer.body
    assert first not in str(everything())
    assert given not in str(everything())


def test_replacing_a_domain_secret_changes_nothing_else() -> None:
    made = admin("domains", "POST", "domains", {"domain": "d", "binders": "administrators"}).json()
    random = admin("domains", "POST", "domains/d/secret", {}).json()
    assert random == made | {"secret": random["secret"]}
    assert kept_secret() == random["secret"] != made["secret"]
    given = admin("domains", "POST", "domains/d/secret", {"secret": "12345678"}).json()
    assert given == made | {"secret": "12345678"}
    assert kept_secret() == "12345678"


def test_domain_from_an_earlier_version_can_get_a_secret() -> None:
    user_domains.create("d")
    assert kept_secret() is None
    assert kept_secret() != admin("domains", "POST", "domains/d/secret", {}).json()["secret"] == kept_secret()


@pytest.mark.parametrize("secret", ["", "1234567", "1" * 129, " 12345678", "1234 5678", "1234\u00e45678", 12345678, []])
def test_invalid_secret_is_422_and_not_shown(secret: object) -> None:
    admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    for path, body in (("domains", {"domain": "e", "secret": secret}), ("domains/d/secret", {"secret": secret})):
        answer = admin("domains", "POST", path, body)
        assert answer.status == 422
        assert len(str(secret)) < 7 or str(secret) not in answer.body
    assert everything() == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "domains/x", None),
        ("PATCH", "domains/x", {"enabled": True}),
        ("PATCH", "domains/x", {}),
        ("POST", "domains/x/secret", {}),
    ],
)
def test_unknown_domain_is_404(method: str, path: str, body: object) -> None:
    assert admin("domains", method, path, body).json()["reason"] == "not_found"
    assert stored(Table.DIRECTORY) == []
