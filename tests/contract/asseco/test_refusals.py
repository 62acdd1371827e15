"""asseco: exact responses to invalid requests, which write nothing, and issued devices that operators cannot store."""

import json
from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.core.errors import Reason, Refused
from tests import asseco
from tests.asseco import PUSH, SAMPLE, UNKNOWN, bearer, card, register
from tests.openid import Bank
from tests.sample_requests import send
from tests.tables import everything, stored

REGISTER, NICKNAME, ISSUED = "register_owned_device", "set_nickname", "set_issued_nickname"
KIND = "external-device-id-kind"
IDENTIFIER, SYSTEM = "external-device-identifier", "operating-system"


def errors(**found: str) -> str:
    listed = [{"tag": tag, "error": error, "message": asseco.MESSAGES[error]} for tag, error in found.items()]
    return json.dumps({"errors": listed}, separators=(",", ":"))


MISSING: list[tuple[list[str], str]] = [
    ([IDENTIFIER], asseco.IMEI_NOT_SET),
    (["nickname"], asseco.NICKNAME_NOT_SET),
    ([SYSTEM], asseco.OPERATING_SYSTEM_NOT_SET),
    (["nickname", SYSTEM], asseco.NICKNAME_NOT_SET),
    ([IDENTIFIER, "nickname", SYSTEM], asseco.IMEI_NOT_SET),
]
"""Fields that are missing or blank in a registration, and the response."""

INVALID: list[tuple[str, Any, dict[str, str]]] = [
    *(
        (REGISTER, {IDENTIFIER: wrong}, {IDENTIFIER: "invalid-format"})
        for wrong in (7, "9\x00", "a/b", "a?b", "/", ".", "..")
    ),
    (REGISTER, {IDENTIFIER: "9" * 129}, {IDENTIFIER: "max-length"}),
    *((REGISTER, {"nickname": wrong}, {"nickname": "invalid-format"}) for wrong in (["n"], "\ud800")),
    (REGISTER, {"nickname": "n" * 65}, {"nickname": "max-length"}),
    (REGISTER, {SYSTEM: True}, {SYSTEM: "invalid-format"}),
    *((REGISTER, {name: "o" * 129}, {name: "max-length"}) for name in (SYSTEM, "brand-name")),
    (REGISTER, {"model-name": {}}, {"model-name": "invalid-format"}),
    (REGISTER, {"push-handle": "h" * 513}, {"push-handle": "max-length"}),
    *((REGISTER, {name: "x"}, {name: "unknown-enum"}) for name in ("push-platform", KIND)),
    # The format is checked before required fields.
    (REGISTER, {IDENTIFIER: "", "nickname": 5}, {"nickname": "invalid-format"}),
    (
        REGISTER,
        {"model-name": 1, "nickname": "n" * 65, SYSTEM: None},
        {"nickname": "max-length", "model-name": "invalid-format"},
    ),
    *(
        (name, body, found)
        for name in (NICKNAME, ISSUED)
        for body, found in (
            ({"nickname": "n" * 65}, {"nickname": "max-length"}),
            ({"nickname": 5}, {"nickname": "invalid-format"}),
            ({"nickname": "a\nb"}, {"nickname": "invalid-format"}),
            ("[]", {"body": "invalid-format"}),
            (b"\xff", {"body": "invalid-format"}),
            ("", {"body": "invalid-format"}),
        )
    ),
    *(
        (ISSUED, {"nickname": number}, {"nickname": "invalid-format"})
        for number in (
            "5168123456781234",
            "my 5168 1234 5678 1234",
            "5168 - 1234 - 5678 - 1234",
            "5168\u200b1234\u200b5678_1234",
        )
    ),
    *(
        ("set_push_handle", body, found)
        for body, found in (
            ({}, {"push-platform": "required", "pns-handle": "required"}),
            ({"push-platform": "apns", "pns-handle": " "}, {"pns-handle": "required"}),
            ({"push-platform": "", "pns-handle": "h"}, {"push-platform": "required"}),
            (PUSH | {"push-platform": "pigeon"}, {"push-platform": "unknown-enum"}),
            (PUSH | {"push-platform": 1}, {"push-platform": "unknown-enum"}),
            (PUSH | {"pns-handle": "h" * 513}, {"pns-handle": "max-length"}),
            (PUSH | {"pns-handle": {}}, {"pns-handle": "invalid-format"}),
            (PUSH | {"pns-handle": "\x00"}, {"pns-handle": "invalid-format"}),
            ("{", {"body": "invalid-format"}),
        )
    ),
]
"""Operation, body (of a registration: changes to the sample), and the error of each field."""

QUERIES: list[tuple[str, str, str]] = [
    ("{0}-statuses=lost", "{0}-statuses", "unknown-enum"),
    ("{0}-statuses=blocked,", "{0}-statuses", "unknown-enum"),
    ("{0}-statuses=blocked&{0}-statuses=blocked", "{0}-statuses", "invalid-format"),
    *((f"sort-by={name}", "sort-by", "unknown-enum") for name in ("holder", "state")),
    ("sort-order=up", "sort-order", "unknown-enum"),
    *((f"page={text}", "page", "invalid-format") for text in ("0", "x", "1_0", "1.0", "%2B1", "1&page=2")),
    *((f"page-size={text}", "page-size", "invalid-format") for text in ("0", "101")),
]
"""Query of a list, and the error of a parameter."""

OF_ONE_DEVICE = {
    "get_device": "imei",
    "unregister_device": "imei",
    NICKNAME: "device-id",
    "set_push_handle": "device-id",
    "block_device": "device-id",
    "unblock_device": "device-id",
    "get_issued_device": "device-id",
    ISSUED: "device-id",
}
"""Name of the path parameter of each operation on a single device."""

REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    *(
        (REGISTER, {"body": {name: value for name, value in SAMPLE.items() if name not in fields} | blank}, 440, body)
        for fields, body in MISSING
        for blank in ({}, *(dict.fromkeys(fields, value) for value in (None, "", "  ")))
    ),
    *(
        (name, {"body": body}, 440, asseco.NICKNAME_NOT_SET)
        for name in (NICKNAME, ISSUED)
        for body in ({}, {"nickname": None}, {"nickname": ""}, {"nick-name": "  "})
    ),
    *(
        (name, {"body": SAMPLE | body if name == REGISTER else body}, 400, errors(**found))
        for name, body, found in INVALID
    ),
    *(
        (name, {"query": query.format(kind)}, 400, errors(**{tag.format(kind): error}))
        for name, kind in (("list_owned_devices", "device"), ("list_issued_devices", "card"))
        for query, tag, error in QUERIES
    ),
    *(
        (name, {"path": {parameter: identifier}}, 404, UNKNOWN)
        for name, parameter in OF_ONE_DEVICE.items()
        for identifier in (" ", "9" * 129, "\x07", "\udc80")
    ),
]


@pytest.mark.parametrize(("name", "wrong", "status", "body"), REFUSED, ids=range(len(REFUSED)))
def test_invalid_request_gets_its_response_and_writes_nothing(
    name: str, wrong: dict[str, Any], status: int, body: str, bank: Bank
) -> None:
    register(bank, SAMPLE)
    card("CARD-0001")
    before = everything()
    answer = send(f"asseco.{name}", bearer(bank.token()), **wrong)
    assert (answer.status, answer.body) == (status, body)
    assert everything() == before


CARD = {"device_id": "C-1", "kind": "payment-card", "card_status": "valid"}


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
    with pytest.raises(Refused) as caught:
        issued_devices.enter("MIGR00002", **CARD | {name: number})
    assert (caught.value.reason, caught.value.__cause__) == (Reason.INVALID, None)
    assert stored(Table.DIRECTORY) == []
    problems = caught.value.detail["problems"]
    hidden = name in ("device_id", "holder_id") and not number.isprintable()
    assert ("contains the invisible character" if hidden else "twelve digits in a row") in problems
    assert number not in problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("masked_card_number", number)
            for number in (
                *("516812******1234", "51681234****1234", "51681234xxxx1234", "51681234\u2022\u2022\u2022\u20221234"),
                *("51681234\u25cf\u25cf\u25cf\u25cf1234", "51681234\u2217\u2217\u2217\u22171234", "51681234\u20261234"),
                *("51681234####1234", "5168 1234 **** 1234", "51681234567 *", "1234", "11-2222-3333"),
                "issued 2024-11-20, until 11/29",
            )
        ),
        ("card_image_url", "https://cards.example.com/2026/11/21/104512/front.png"),
    ],
)
def test_masked_card_number_or_date_is_accepted(name: str, text: str):
    issued_devices.enter("MIGR00002", **CARD | {name: text})
    assert getattr(issued_devices.find("MIGR00002", "C-1"), name) == text


def test_stored_card_number_does_not_prevent_reads_and_changes():
    issued_devices.enter("MIGR00002", **CARD)
    place = Key(Table.DIRECTORY, "customer#MIGR00002", "issued#C-1")
    dynamodb.write(place.update(set={"holder_id": "5168_1234_5678_1234"}))
    assert issued_devices.find("MIGR00002", "C-1").holder_id == "5168_1234_5678_1234"
    assert issued_devices.change("MIGR00002", "C-1", status="blocked").status == "blocked"
