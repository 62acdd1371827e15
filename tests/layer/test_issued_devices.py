"""Issued devices: what an operator may enter."""

from typing import Any

import pytest

from bindery.directory import issued_devices
from bindery.directory.issued_devices import PaymentCard
from bindery.dynamo import Table
from bindery.faults import Fault, Reason
from tests.tables import items

pytestmark = pytest.mark.usefixtures("registry")

TOKEN = {"device_id": "T-1", "kind": "otp-token"}
CARD = {"device_id": "C-1", "kind": "payment-card", "card_status": "valid"}


def refused(members: dict[str, Any]) -> str:
    with pytest.raises(Fault) as caught:
        issued_devices.enter("MIGR00002", **members)
    assert caught.value.reason is Reason.INVALID
    assert caught.value.__cause__ is None
    assert items(Table.DIRECTORY) == []
    return caught.value.detail["problems"]


@pytest.mark.parametrize(
    "number",
    [
        "5168123456781234",
        "516812345678",
        "5168 1234 5678 1234",
        "5168.1234.5678.1234",
        "5168-1234-5678-1234",
        "**5168123456781234**",
        "\uff15168123456781234",
    ],
)
@pytest.mark.parametrize("name", ["device_id", "holder_id", "masked_card_number", "cardholder_name", "card_image_url"])
def test_a_card_number_is_refused_wherever_it_stands_and_never_repeated(name: str, number: str):
    problems = refused(CARD | {name: number})
    assert "twelve digits in a row" in problems
    assert number not in problems


@pytest.mark.parametrize("number", ["516812******1234", "51681234567 *", "1234", "11-2222-3333"])
def test_a_masked_number_is_accepted(number: str):
    issued_devices.enter("MIGR00002", **CARD, masked_card_number=number)
    card = issued_devices.find("MIGR00002", "C-1")
    assert isinstance(card, PaymentCard)
    assert card.masked_card_number == number


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({}, "device_id"),
        ({"device_id": "T-1"}, "kind"),
        (TOKEN | {"device_id": " "}, "device_id"),
        (TOKEN | {"device_id": "T" * 129}, "device_id"),
        (TOKEN | {"kind": "phone"}, "kind"),
        (TOKEN | {"kind": ["payment-card"]}, "kind"),
        (TOKEN | {"capabilities": ["flying"]}, "capabilities"),
        (TOKEN | {"status": "lost"}, "status"),
        (TOKEN | {"card_status": "valid"}, "card_status"),
        (TOKEN | {"masked_card_number": "1234"}, "masked_card_number"),
        (TOKEN | {"pin": "1234"}, "pin"),
        ({"device_id": "C-1", "kind": "payment-card"}, "card_status"),
        (CARD | {"card_status": "lost"}, "card_status"),
        (CARD | {"expiration_date": "2029-02-30"}, "expiration_date"),
    ],
)
def test_what_is_no_issued_device_is_refused_by_name(members: dict[str, Any], problem: str):
    assert refused(members).startswith(problem)


def test_entering_a_device_again_replaces_it():
    issued_devices.enter("MIGR00002", **TOKEN, capabilities=["hmac"])
    issued_devices.enter("MIGR00002", **TOKEN, status="blocked")
    assert items(Table.DIRECTORY) == [
        {
            "pk": "customer#MIGR00002",
            "sk": "issued#T-1",
            "device_id": "T-1",
            "kind": "otp-token",
            "holder_id": None,
            "capabilities": [],
            "status": "blocked",
        }
    ]


def test_the_holder_is_the_customer_unless_it_is_another():
    issued_devices.enter("0101990500011", **TOKEN)
    issued_devices.enter("0101990500011", device_id="T-2", kind="smart-card", holder_id="H-1")
    assert [device.holder_id for device in issued_devices.issued("0101990500011")] == ["0101990500011", "H-1"]
