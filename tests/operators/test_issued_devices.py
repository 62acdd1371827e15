from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.asseco import issued_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Table
from bindery.core import clock
from bindery.directory import accounts
from bindery.registry import identity
from tests.http_api import OPERATOR, Response, admin
from tests.openid import CUSTOMER, OTHER, Bank
from tests.sample_requests import send
from tests.tables import everything, stored

TOKEN: dict[str, Any] = {"customer": CUSTOMER, "device_id": "T-1", "kind": "otp-token"}
CARD: dict[str, Any] = {
    "customer": CUSTOMER,
    "device_id": "C-1",
    "kind": "payment-card",
    "card_status": "valid",
    "capabilities": ["icc", "nfc"],
    "masked_card_number": "516812******1234",
    "expiration_date": "2099-01-31",
}


pytestmark = pytest.mark.usefixtures("registry", "bank")


def load(*rows: Any, dry_run: bool = False) -> Response:
    return admin("issued_devices", "POST", "issued-devices/import", {"rows": rows, "dry_run": dry_run})


def report(created: int = 0, changed: int = 0, unchanged: int = 0, *errors: dict[str, Any]) -> dict[str, Any]:
    return {"created": created, "changed": changed, "unchanged": unchanged, "errors": list(errors)}


def change(customer: str, device_id: str, body: Any, *, who: str = OPERATOR) -> Response:
    path = f"issued-devices/{identity.opaque(customer)}/{device_id}"
    return admin("issued_devices", "PATCH", path, body, who=who)


def seen(bank: Bank, device_id: str, customer: str = CUSTOMER) -> Any:
    """Return the device as the customer's app sees it."""
    headers = {"authorization": f"bearer {bank.token(sub=customer)}"}
    return send("asseco.get_issued_device", headers, path={"device-id": device_id}).json()


def test_customer_sees_the_imported_devices(bank: Bank) -> None:
    answer = load(TOKEN, CARD)
    assert (answer.status, answer.json()) == (200, report(created=2))
    assert seen(bank, "T-1") == {
        "device-id": "T-1",
        "kind": "otp-token",
        "holder-id": CUSTOMER,
        "capabilities": [],
        "status": "active",
    }
    shown = {"card-status": "valid", "capabilities": ["icc", "nfc"], "expiration-date": "2099-01-31"}
    assert seen(bank, "C-1").items() >= shown.items()
    assert [record["changed_by"] for record in stored(Table.DIRECTORY)] == [OPERATOR, OPERATOR]


def test_row_replaces_the_whole_device(bank: Bank) -> None:
    load(CARD)
    assert load(TOKEN | {"device_id": "C-1"}).json() == report(changed=1)
    assert seen(bank, "C-1").keys() == {"device-id", "kind", "holder-id", "capabilities", "status"}
    (record,) = stored(Table.DIRECTORY)
    assert "card_status" not in record


def test_import_keeps_the_nickname_and_does_not_count_it_as_changed(bank: Bank) -> None:
    load(TOKEN, CARD)
    issued_devices.rename(CUSTOMER, "C-1", "Holiday card")
    before = everything()
    assert load(TOKEN, CARD).json() == report(unchanged=2)
    assert everything() == before
    assert load(CARD | {"card_status": "blocked"}).json() == report(changed=1)
    assert (seen(bank, "C-1")["nickname"], seen(bank, "C-1")["card-status"]) == ("Holiday card", "blocked")
    (card,) = admin("issued_devices", "GET", "issued-devices", query={"customer": CUSTOMER, "limit": 1}).json()["items"]
    assert card["nickname"] == "Holiday card"


@pytest.mark.parametrize(
    ("row", "problem", "message"),
    [
        ({"customer": CUSTOMER, "device_id": "X"}, "missing", "kind: Field required"),
        (CARD | {"masked_card_number": "5168123456781234"}, "card_number", "twelve digits in a row"),
        (CARD | {"device_id": "516812345678"}, "card_number", "twelve digits in a row"),
        (CARD | {"cardholder_name": "x" * 129}, "string_too_long", "cardholder_name: "),
        (CARD | {"expiration_date": "2099-02-30"}, "date_from_datetime_parsing", "expiration_date: "),
        (CARD | {"card_status": "secret-value"}, "enum", "card_status: "),
        (TOKEN | {"kind": "secret-value"}, "enum", "kind: "),
        (TOKEN | {"kind": ["secret-value"]}, "enum", "kind: "),
        (TOKEN | {"pin": "secret-value"}, "extra_forbidden", "Extra inputs are not permitted"),
        (CARD | {"nickname": "theirs"}, "extra_forbidden", "Extra inputs are not permitted"),
        (TOKEN | {"customer": "secret\nvalue"}, "customer", "customer: no customer's name"),
        (TOKEN | {"device_id": "secret/value"}, "string_pattern_mismatch", "device_id: "),
        (TOKEN | {"device_id": ".."}, "string_pattern_mismatch", "device_id: "),
        (TOKEN | {"device_id": " "}, "string_pattern_mismatch", "device_id: "),
        (TOKEN | {"device_id": "T" * 129}, "string_too_long", "device_id: "),
        (TOKEN | {"capabilities": ["flying"]}, "enum", "capabilities: 0: "),
        (TOKEN | {"status": "lost"}, "enum", "status: "),
        *((TOKEN | {name: "valid"}, "extra_forbidden", "Extra") for name in ("card_status", "masked_card_number")),
        ({name: value for name, value in TOKEN.items() if name != "customer"}, "missing", "customer: "),
        (TOKEN, "repeated", "An earlier row"),
        ({}, "missing", "device_id: "),
        (["secret-value"], "model_type", "valid dictionary"),
    ],
)
def test_invalid_row_is_reported_by_position_without_values(row: Any, problem: str, message: str) -> None:
    answer = load(TOKEN, row, TOKEN | {"device_id": "T-2"})
    assert answer.status == 200
    told = answer.json()
    error = told.pop("errors")[-1]
    assert told | {"errors": []} == report(created=2)
    assert (error["row"], error["problem"]) == (1, problem)
    assert message in error["message"]
    for value in ("516812345678", "secret", "x" * 129, "2099-02-30"):
        assert value not in answer.body
    assert [record["device_id"] for record in stored(Table.DIRECTORY)] == ["T-1", "T-2"]


def test_every_error_in_a_row_is_reported() -> None:
    answer = load({"customer": CUSTOMER, "device_id": "C-1", "kind": "payment-card", "status": "lost", "pin": 1})
    assert {error["message"].partition(":")[0] for error in answer.json()["errors"]} == {
        "status",
        "card_status",
        "Extra inputs are not permitted",
    }


def test_import_takes_500_rows_and_reads_100_records_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [TOKEN | {"device_id": f"T-{number}"} for number in range(501)]
    answer = load(*rows)
    assert (answer.status, answer.json()["errors"][0]["at"]) == (422, "body.rows")
    read: list[int] = []
    get_many = dynamodb.get_many
    monkeypatch.setattr(dynamodb, "get_many", lambda reads: (read.append(len(reads)), get_many(reads))[1])
    assert load(*rows[:500], dry_run=True).json() == report(created=500)
    assert read == [100] * 5
    assert stored(Table.DIRECTORY) == []


def test_device_list_of_a_customer_is_paginated() -> None:
    load(TOKEN, CARD, TOKEN | {"device_id": "T-2"}, TOKEN | {"customer": OTHER, "device_id": "T-3"})
    dynamodb.write(Put(dynamodb.Key(Table.DIRECTORY, f"customer#{CUSTOMER}", "other"), {}))
    first = admin("issued_devices", "GET", "issued-devices", query={"customer": CUSTOMER, "limit": 2}).json()
    card, token = first["items"]
    assert card.items() >= (CARD | {"holder_id": CUSTOMER, "status": "active", "is_primary": None}).items()
    assert token == TOKEN | {"holder_id": CUSTOMER, "capabilities": [], "status": "active"}
    query = {"customer": CUSTOMER, "limit": 2, "cursor": first["next"]}
    rest = admin("issued_devices", "GET", "issued-devices", query=query).json()
    assert ([device["device_id"] for device in rest["items"]], rest["next"]) == (["T-2"], None)


NAMES = (
    *("auth0|5f7c8ec7c33c6c00", "CN=Ada/OU=Retail, O=Bank", " X1", "..", "漢字 ünï+%2F", "\U0001f600" * 253 + "abc"),
    "0101990500011",
)
"""Customer ids that issuers use."""


@pytest.mark.parametrize("name", NAMES)
def test_operators_can_use_any_customer_id_of_the_issuer(name: str, bank: Bank) -> None:
    assert load(TOKEN | {"customer": name}, TOKEN | {"customer": name.strip()[:200] + "."}).json() == report(created=2)
    assert change(name, "T-1", {"status": "blocked"}).json()["status"] == "blocked"
    (device,) = admin("issued_devices", "GET", "issued-devices", query=urlencode({"customer": name})).json()["items"]
    assert (device["customer"], device["holder_id"], device["status"]) == (name, name, "blocked")
    assert seen(bank, "T-1", name)["status"] == "blocked"
    accounts.create("acme", name="Acme")
    assert (
        admin("users", "POST", "users", {"uid": "ada", "account": "acme", "customer": name}).json()["customer"] == name
    )
    assert [found["device_id"] for found in admin("privacy", "GET", "privacy/ada").json()["issued_devices"]] == ["T-1"]
    assert admin("privacy", "DELETE", "privacy/ada").json()["removed"]["issued_devices"] == 1
    assert [item["pk"] for item in stored(Table.DIRECTORY) if "device_id" in item] == [
        f"customer#{name.strip()[:200]}."
    ]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\u200bb", "C" * 257, "\U0001f600" * 254, 5])
def test_customer_id_that_no_token_can_have_is_rejected(name: Any, bank: Bank) -> None:
    assert send("asseco.list_issued_devices", {"authorization": f"bearer {bank.token(sub=name)}"}).status == 401
    assert [error["row"] for error in load(TOKEN | {"customer": name}).json()["errors"]] == [0]
    accounts.create("acme", name="Acme")
    assert admin("users", "POST", "users", {"uid": "ada", "account": "acme", "customer": name}).status == 422
    if isinstance(name, str):
        query = urlencode({"customer": name})
        assert admin("issued_devices", "GET", "issued-devices", query=query).status == 422


@pytest.mark.parametrize(
    "changes", [{"card_status": "blocked"}, {"status": "blocked"}, {"status": "unregistered", "card_status": "expired"}]
)
def test_customer_sees_a_new_status_immediately(changes: dict[str, str], bank: Bank) -> None:
    load(CARD, TOKEN)
    (before, other) = stored(Table.DIRECTORY)
    who = "arn:aws:iam::123456789012:user/other"
    answer = change(CUSTOMER, "C-1", changes, who=who)
    assert answer.status == 200
    assert answer.json().items() >= ({"status": "active", "card_status": "valid"} | changes).items()
    shown = {name.replace("_", "-"): value for name, value in changes.items()}
    assert seen(bank, "C-1").items() >= shown.items()
    (after, still) = stored(Table.DIRECTORY)
    assert after | {"changed_at": before["changed_at"]} == before | changes | {"changed_by": who}
    assert still == other


def test_card_past_its_expiry_date_is_shown_as_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    load(CARD)
    monkeypatch.setattr(clock, "now", lambda: 4100000000000)
    assert change(CUSTOMER, "C-1", {}).json()["card_status"] == "expired"
