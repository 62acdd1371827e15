"""Issued devices: values that an operator can store."""

from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.asseco.issued_devices import PaymentCard
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.core.errors import Reason, Refused
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("registry")

CARD = {"device_id": "C-1", "kind": "payment-card", "card_status": "valid"}


def refused(members: dict[str, Any]) -> str:
    with pytest.raises(Refused) as caught:
        issued_devices.enter("MIGR00002", **members)
    assert caught.value.reason is Reason.INVALID
    assert caught.value.__cause__ is None
    assert stored(Table.DIRECTORY) == []
    return caught.value.detail["problems"]


@pytest.mark.parametrize(
    "number",
    [
        *("5168123456781234", "516812345678", "5168 1234 5678 1234", "5168.1234.5678.1234", "5168-1234-5678-1234"),
        *("**5168123456781234**", "\uff15168123456781234", "5168   1234   5678   1234", "5168 - 1234 - 5678 - 1234"),
        *("5168--1234--5678--1234", "5168\u00ad1234\u00ad5678\u00ad1234", "5168\u200b1234\u200b5678\u200b1234"),
        *("5168\u22121234\u22125678\u22121234", "5168\u03011234\u03015678\u03011234", "5168/1234/5678/1234"),
        *("5168_1234_5678_1234", "5168*1234*5678*1234", "5168x1234x5678x1234"),
        *("https://cards.example.com/5168 1234 5678 1234.png", "5,1,6,8,1,2,3,4,5,6,7,8"),
        "\u0665\u0661\u0666\u0668 \u0661\u0662\u0663\u0664 \u0665\u0666\u0667\u0668 \u0661\u0662\u0663\u0664",
        "\u2464\u2460\u2465\u2467\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467\u2460\u2461\u2462\u2463",
        "51681234567\u00b2",
    ],
)
@pytest.mark.parametrize("name", ["device_id", "holder_id", "masked_card_number", "cardholder_name", "card_image_url"])
def test_card_number_is_refused_in_any_field_and_not_echoed(name: str, number: str):
    problems = refused(CARD | {name: number})
    hidden = name in ("device_id", "holder_id") and not number.isprintable()
    assert ("contains the invisible character" if hidden else "twelve digits in a row") in problems
    assert number not in problems


@pytest.mark.parametrize(
    "number",
    [
        *("516812******1234", "51681234****1234", "51681234xxxx1234", "51681234\u2022\u2022\u2022\u20221234"),
        *("51681234\u25cf\u25cf\u25cf\u25cf1234", "51681234\u2217\u2217\u2217\u22171234", "51681234\u20261234"),
        *("51681234####1234", "5168 1234 **** 1234", "51681234567 *", "1234", "11-2222-3333"),
        "issued 2024-11-20, until 11/29",
    ],
)
def test_masked_card_number_is_accepted(number: str):
    issued_devices.enter("MIGR00002", **CARD, masked_card_number=number)
    card = issued_devices.find("MIGR00002", "C-1")
    assert isinstance(card, PaymentCard)
    assert card.masked_card_number == number


def test_date_in_url_path_is_not_a_card_number():
    url = "https://cards.example.com/2026/11/21/104512/front.png"
    issued_devices.enter("MIGR00002", **CARD, card_image_url=url)
    card = issued_devices.find("MIGR00002", "C-1")
    assert isinstance(card, PaymentCard)
    assert card.card_image_url == url


def test_stored_card_number_does_not_prevent_reads_and_changes():
    issued_devices.enter("MIGR00002", **CARD)
    place = Key(Table.DIRECTORY, "customer#MIGR00002", "issued#C-1")
    dynamodb.write(place.update(set={"holder_id": "5168_1234_5678_1234"}))
    assert issued_devices.find("MIGR00002", "C-1").holder_id == "5168_1234_5678_1234"
    assert issued_devices.change("MIGR00002", "C-1", status="blocked").status == "blocked"
