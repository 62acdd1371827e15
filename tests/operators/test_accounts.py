from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory import api_keys, users
from bindery.directory.api_keys import Grant, Kind
from tests.http_api import OPERATOR, admin, event, invoke
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


def test_account_is_created_once_and_shown() -> None:
    made = admin("accounts", "POST", "accounts", {"account": "acme", "name": " Acme Ltd "})
    assert made.status == 200
    assert made.json() == {
        "account": "acme",
        "name": "Acme Ltd",
        "enabled": True,
        "created_at": made.json()["created_at"],
        "per_second": None,
        "burst": None,
    }
    assert admin("accounts", "GET", "accounts/acme").body == made.body
    (record,) = stored(Table.DIRECTORY)
    assert record["changed_by"] == OPERATOR
    before = everything()
    again = admin("accounts", "POST", "accounts", {"account": "acme", "name": "Other"})
    assert (again.status, again.headers["Content-Type"]) == (409, "application/problem+json")
    assert again.json() == {
        "type": "about:blank",
        "title": "It already exists",
        "status": 409,
        "reason": "already_exists",
    }
    assert everything() == before


@pytest.mark.parametrize(
    "body",
    [
        b'{"account": "acme", "name": ' + b"9" * 5000 + b"}",
        b'{"account": "acme", "name": NaN}',
        b"[" * 100_000,
        b'[{"account": "acme", "name": "Acme"}]',
        b'{"account": "acme", "name": "Caf\xe9"}',
        b'{"account": "acme", "name": "\xed\xa0\x80"}',
        b"account=acme&name=Acme",
        b" ",
    ],
    ids=["5000 digits", "NaN", "nested", "an array", "Latin-1", "a surrogate", "a form", "blank"],
)
def test_body_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    answer = invoke("admin.accounts", asked(body))
    assert (answer.status, answer.json()["errors"]) == (
        422,
        [{"at": "body", "problem": "malformed", "message": "must be a JSON object in UTF-8"}],
    )
    assert stored(Table.DIRECTORY) == []


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/octet-stream",
        "APPLICATION/JSON",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ],
)
def test_body_is_parsed_as_json_regardless_of_content_type(kind: str | None) -> None:
    request = asked(b'{"account": "acme", "name": "Acme"}', {} if kind is None else {"content-type": kind})
    assert invoke("admin.accounts", request).status == 200


def asked(body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Return an event that creates an account with this raw body."""
    request = event("POST", "/admin/v1/accounts", headers=headers, body=body)
    request["requestContext"]["authorizer"] = {"iam": {"userArn": OPERATOR}}
    return request


def test_disabled_account_cannot_authenticate_until_enabled() -> None:
    admin("accounts", "POST", "accounts", {"account": "acme", "name": "Acme"})
    users.create("ada", "acme")
    key = api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="a")
    request = event("POST", "/v0/devices", headers={"api_key": key}, body='{"model": "M", "serial_number": "S"}')
    assert invoke("rufus.bind_device", request).status == 201
    assert admin("accounts", "POST", "accounts/acme/disable").json()["enabled"] is False
    assert invoke("rufus.bind_device", request).status == 403
    assert admin("accounts", "POST", "accounts/acme/enable").json()["enabled"] is True
    assert invoke("rufus.bind_device", request).status == 201


@pytest.mark.parametrize("name", ["...", ".a", "..a", "a..", "a.b", "...."])
def test_other_identifiers_with_dots_are_accepted(name: str) -> None:
    assert admin("accounts", "POST", "accounts", {"account": name, "name": "Acme"}).status == 200
    assert admin("accounts", "GET", f"accounts/{name}").json()["account"] == name
