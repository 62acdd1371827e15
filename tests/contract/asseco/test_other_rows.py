"""asseco: responses of the other operations: nicknames, push handles, blocking, classifications."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.asseco.issued_devices import Capability, CardKind, CardStatus, Kind
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform, Status
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.registry import devices
from tests.contract.asseco.test_rows import (
    NICKNAME_NOT_SET,
    NICKNAME_NOT_UNIQUE,
    SAMPLE,
    STATUS_NOT_VALID,
    UNKNOWN,
    bank,
    bearer,
    block,
    card,
    errors,
    get,
    get_issued,
    issued,
    register,
    unregister,
)
from tests.http_api import Response, event, invoke
from tests.openid import CUSTOMER, OTHER, Bank
from tests.tables import everything, stored

__all__ = ["bank"]

IMEI = "990000862471854"
PUSH = {"push-platform": "apns", "pns-handle": "740f4707"}
PUSH_EXISTS = (
    '{"problem":"valid-push-registration-exist","message":"The device is registered with this push handle already",'
    '"details":null}'
)
NOW = 1795176000123
EXPIRES = "2027-02-18T12:00:00Z"
DAY = 24 * 3600 * 1000

Ask = Callable[[Bank, str, str], Response]


def ask(
    bank: Bank, name: str, method: str, action: str, body: Any, identifier: str, who: str, collection: str = "owned"
) -> Response:
    path = f"/v1/device/{collection}-devices/{identifier}/{action}"
    text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
    request = event(
        method, path, headers=bearer(bank.token(sub=who)), body=text, path_parameters={"device-id": identifier}
    )
    return invoke(f"asseco.{name}", request)


def rename(bank: Bank, body: Any, identifier: str = IMEI, who: str = CUSTOMER) -> Response:
    return ask(bank, "set_nickname", "PUT", "nickname", body, identifier, who)


def push(bank: Bank, body: Any, identifier: str = IMEI, who: str = CUSTOMER) -> Response:
    return ask(bank, "set_push_handle", "PUT", "push-notification-handle", body, identifier, who)


def blocking(bank: Bank, identifier: str = IMEI, who: str = CUSTOMER) -> Response:
    return ask(bank, "block_device", "POST", "block", None, identifier, who)


def unblocking(bank: Bank, identifier: str = IMEI, who: str = CUSTOMER) -> Response:
    return ask(bank, "unblock_device", "POST", "unblock", None, identifier, who)


def name_issued(bank: Bank, body: Any, identifier: str = "C-1", who: str = CUSTOMER) -> Response:
    return ask(bank, "set_issued_nickname", "PUT", "nickname", body, identifier, who, "issued")


def show(bank: Bank, path: str = "") -> Response:
    headers = bearer(bank.token())
    if not path:
        return invoke("asseco.list_classifications", event("GET", "/v1/device/classifications", headers=headers))
    request = event("GET", f"/v1/device/classifications/{path}", headers=headers, path_parameters={"schema-id": path})
    return invoke("asseco.get_classification", request)


def done(answer: Response) -> None:
    assert (answer.status, answer.body, answer.headers) == (204, "", {"x-request-id": "request-1"})


def binding() -> dict[str, Any]:
    return next(item for item in stored(Table.BINDINGS) if item["sk"] == "owner")


def guards() -> list[tuple[str, str]]:
    return [(item["sk"], item["device"]) for item in stored(Table.BINDINGS) if item["sk"].startswith("nickname#")]


OF_A_DEVICE: dict[str, Ask] = {
    "nickname": lambda bank, identifier, who: rename(bank, {"nickname": "New"}, identifier, who),
    "push": lambda bank, identifier, who: push(bank, PUSH, identifier, who),
    "block": lambda bank, identifier, who: blocking(bank, identifier, who),
    "unblock": lambda bank, identifier, who: unblocking(bank, identifier, who),
    "issued nickname": lambda bank, identifier, who: name_issued(bank, {"nickname": "New"}, identifier, who),
}
every = pytest.mark.parametrize("act", OF_A_DEVICE.values(), ids=OF_A_DEVICE)


@every
def test_device_of_another_customer_is_unknown_and_unchanged(act: Ask, bank: Bank) -> None:
    register(bank, SAMPLE | {"external-device-identifier": "C-1"})
    card("C-1")
    before = everything()
    anothers, none = act(bank, "C-1", OTHER), act(bank, "C-2", CUSTOMER)
    assert (anothers.status, anothers.body) == (none.status, none.body) == (404, UNKNOWN)
    assert anothers.headers == none.headers
    assert everything() == before


@every
@pytest.mark.parametrize("identifier", [" ", "9" * 129, "\x07", "\udc80"])
def test_invalid_identifier_is_answered_as_unknown(act: Ask, identifier: str, bank: Bank) -> None:
    answer = act(bank, identifier, CUSTOMER)
    assert (answer.status, answer.body) == (404, UNKNOWN)


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("nickname", {"active", "blocked"}),
        ("push", {"active"}),
        ("block", {"active"}),
        ("unblock", {"blocked"}),
    ],
)
@pytest.mark.parametrize("status", Status)
def test_operation_in_wrong_device_status_is_440(name: str, statuses: set[str], status: Status, bank: Bank) -> None:
    register(bank, SAMPLE)
    if status is Status.BLOCKED:
        block(IMEI)
    if status is Status.UNREGISTERED:
        unregister(bank, IMEI)
    before = everything()
    answer = OF_A_DEVICE[name](bank, IMEI, CUSTOMER)
    if status in statuses:
        done(answer)
        assert everything() != before
    else:
        assert (answer.status, answer.body) == (440, STATUS_NOT_VALID)
        assert everything() == before


@pytest.mark.parametrize("name", ["nickname", "push", "block"])
def test_banned_device_stays_with_its_customer(name: str, bank: Bank) -> None:
    register(bank, SAMPLE)
    devices.ban(f"asseco#{IMEI}", "stolen")
    done(OF_A_DEVICE[name](bank, IMEI, CUSTOMER))


# ── PUT /v1/device/owned-devices/{device-id}/nickname ─────────────────────────────────────────────────────────────────


def test_renaming_changes_only_the_nickname(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = binding()
    done(rename(bank, {"nickname": " Old one ", "status": "blocked"}))
    assert binding() == before | {"nickname": "Old one"}
    assert stored(Table.BINDINGS)[1] == {
        "pk": "customer#MIGR00002",
        "sk": "nickname#old one",
        "device": f"asseco#{IMEI}",
        "binding": before["binding"],
    }
    assert get(bank, IMEI).json()["nickname"] == "Old one"
    # The previous nickname is free again.
    assert register(bank, SAMPLE | {"external-device-identifier": "2"}).status == 200


def test_nickname_changed_only_in_case_keeps_its_lock(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = binding()
    done(rename(bank, {"nickname": "MY PHONE"}))
    assert binding() == before | {"nickname": "MY PHONE"}
    assert guards() == [("nickname#my phone", f"asseco#{IMEI}")]


def test_setting_the_same_nickname_changes_nothing(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = everything()
    done(rename(bank, {"nickname": "My Phone"}))
    assert everything() == before


def test_first_nonempty_nickname_field_is_used(bank: Bank) -> None:
    register(bank, SAMPLE)
    for number, body in enumerate(({"nick-name": "n0"}, {"nickname": "n1", "nick-name": "x"})):
        done(rename(bank, body))
        assert binding()["nickname"] == f"n{number}"
    done(rename(bank, {"nickname": " ", "nick-name": "n2"}))
    assert binding()["nickname"] == "n2"


@pytest.mark.parametrize("blocked", [False, True])
def test_nickname_of_another_device_of_the_customer_is_440(blocked: bool, bank: Bank) -> None:
    register(bank, SAMPLE)
    register(bank, SAMPLE | {"external-device-identifier": "2", "nickname": "Tablet"})
    register(bank, SAMPLE | {"external-device-identifier": "3", "nickname": "Watch"}, OTHER)
    if blocked:
        block("2")
    before = everything()
    answer = rename(bank, {"nickname": "tablet"})
    assert (answer.status, answer.body) == (440, NICKNAME_NOT_UNIQUE)
    assert everything() == before
    done(rename(bank, {"nickname": "Watch"}))
    unregister(bank, "2")
    done(rename(bank, {"nickname": "Tablet"}))


SETTERS = pytest.mark.parametrize("setter", [rename, name_issued])


@SETTERS
@pytest.mark.parametrize("body", [{}, {"nickname": None}, {"nickname": ""}, {"nick-name": "  "}])
def test_missing_nickname_is_440(setter: Any, body: dict[str, Any], bank: Bank) -> None:
    register(bank, SAMPLE)
    card("C-1")
    before = everything()
    answer = setter(bank, body)
    assert (answer.status, answer.body) == (440, NICKNAME_NOT_SET)
    assert everything() == before


@SETTERS
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"nickname": "n" * 65}, {"nickname": "max-length"}),
        ({"nickname": 5}, {"nickname": "invalid-format"}),
        ({"nickname": "a\nb"}, {"nickname": "invalid-format"}),
        ("[]", {"body": "invalid-format"}),
        (b"\xff", {"body": "invalid-format"}),
        ("", {"body": "invalid-format"}),
    ],
)
def test_invalid_nickname_is_400(setter: Any, body: Any, found: dict[str, str], bank: Bank) -> None:
    register(bank, SAMPLE)
    card("C-1")
    before = everything()
    answer = setter(bank, body)
    assert (answer.status, answer.body) == (400, errors(**found))
    assert everything() == before


# ── PUT /v1/device/owned-devices/{device-id}/push-notification-handle ─────────────────────────────────────────────────


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    times = [NOW]
    monkeypatch.setattr(clock, "now", lambda: times[0])
    return times


@pytest.mark.usefixtures("now")
def test_push_registration_gets_an_id_and_lasts_90_days(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = binding()
    done(push(bank, PUSH | {"push-id": "mine"}))
    after = binding()
    assert after == before | {
        "push_platform": "apns",
        "push_handle": "740f4707",
        "push_id": after["push_id"],
        "push_expiration_date": NOW + 90 * DAY,
    }
    shown = get(bank, IMEI).json()
    assert (shown["push-id"], shown["push-expiration-date"]) == (after["push_id"], EXPIRES)
    assert len(after["push_id"]) == 32


@pytest.mark.usefixtures("now")
def test_registering_with_push_fields_registers_for_push(bank: Bank) -> None:
    register(bank, SAMPLE | {"push-platform": "apns", "push-handle": "740f4707"})
    shown = get(bank, IMEI).json()
    assert (shown["push-id"], shown["push-expiration-date"]) == (binding()["push_id"], EXPIRES)
    assert push(bank, PUSH).body == PUSH_EXISTS


@pytest.mark.parametrize("half", [{"push-platform": "apns"}, {"push-handle": "740f4707"}])
def test_push_registration_needs_platform_and_handle(half: dict[str, str], bank: Bank) -> None:
    register(bank, SAMPLE | half)
    shown = get(bank, IMEI).json()
    assert (shown["push-id"], shown["push-expiration-date"]) == (None, None)
    done(push(bank, PUSH))


def test_same_push_handle_is_440_until_it_expires(bank: Bank, now: list[int]) -> None:
    register(bank, SAMPLE)
    done(push(bank, PUSH))
    first, before = binding()["push_id"], everything()
    now[0] = NOW + 90 * DAY - 1
    answer = push(bank, PUSH)
    assert (answer.status, answer.body) == (440, PUSH_EXISTS)
    assert everything() == before
    now[0] += 1
    done(push(bank, PUSH))
    assert binding()["push_expiration_date"] == NOW + 180 * DAY
    assert binding()["push_id"] != first


@pytest.mark.parametrize("change", [{"push-platform": "gcm"}, {"pns-handle": "h" * 512}])
def test_new_platform_or_handle_replaces_the_last(change: dict[str, str], bank: Bank) -> None:
    register(bank, SAMPLE)
    done(push(bank, PUSH))
    first = binding()["push_id"]
    done(push(bank, PUSH | change))
    after = binding()
    assert {"push-platform": after["push_platform"], "pns-handle": after["push_handle"]} == PUSH | change
    assert after["push_id"] != first


def test_push_handle_accepts_the_registration_field_name(bank: Bank) -> None:
    register(bank, SAMPLE)
    done(push(bank, {"push-platform": " wns ", "pns-handle": "", "push-handle": "h"}))
    assert (binding()["push_platform"], binding()["push_handle"]) == ("wns", "h")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {"push-platform": "required", "pns-handle": "required"}),
        ({"push-platform": "apns", "pns-handle": " "}, {"pns-handle": "required"}),
        ({"push-platform": "", "pns-handle": "h"}, {"push-platform": "required"}),
        (PUSH | {"push-platform": "pigeon"}, {"push-platform": "unknown-enum"}),
        (PUSH | {"push-platform": 1}, {"push-platform": "unknown-enum"}),
        (PUSH | {"pns-handle": "h" * 513}, {"pns-handle": "max-length"}),
        (PUSH | {"pns-handle": {}}, {"pns-handle": "invalid-format"}),
        (PUSH | {"pns-handle": "\x00"}, {"pns-handle": "invalid-format"}),
        ("{", {"body": "invalid-format"}),
    ],
)
def test_invalid_push_handle_is_400(body: Any, found: dict[str, str], bank: Bank) -> None:
    register(bank, SAMPLE)
    before = everything()
    answer = push(bank, body)
    assert (answer.status, answer.body) == (400, errors(**found))
    assert everything() == before


# ── POST /v1/device/owned-devices/{device-id}/block and /unblock ──────────────────────────────────────────────────────


def test_block_and_unblock_change_only_the_status(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = everything()
    done(blocking(bank))
    assert binding()["status"] == "blocked"
    assert get(bank, IMEI).json()["status"] == "blocked"
    done(unblocking(bank))
    assert everything() == before


# ── PUT /v1/device/issued-devices/{device-id}/nickname ────────────────────────────────────────────────────────────────


def test_issued_device_shows_its_nickname_once_set(bank: Bank) -> None:
    card("C-1", status="blocked")
    issued_devices.enter(CUSTOMER, device_id="T-1", kind="otp-token")
    assert "nickname" not in get_issued(bank, "C-1").json()
    before = stored(Table.DIRECTORY)[0]
    done(name_issued(bank, {"nickname": " Holiday card ", "status": "active"}))
    assert stored(Table.DIRECTORY)[0] == before | {"nickname": "Holiday card"}
    shown = get_issued(bank, "C-1").json()
    assert (shown["nickname"], shown["status"]) == ("Holiday card", "blocked")
    assert issued(bank, "sort-by=nickname").json()["devices"][0] == shown
    # It need not be unique and can be set again.
    done(name_issued(bank, {"nick-name": "Holiday card"}, "T-1"))
    done(name_issued(bank, {"nick-name": "Holiday card"}, "T-1"))
    assert [device["nickname"] for device in issued(bank).json()["devices"]] == ["Holiday card"] * 2


@pytest.mark.parametrize(
    "number",
    ["5168123456781234", "my 5168 1234 5678 1234", "5168 - 1234 - 5678 - 1234", "5168\u200b1234\u200b5678_1234"],
)
def test_card_number_is_refused_as_nickname(number: str, bank: Bank) -> None:
    card("C-1")
    before = everything()
    answer = name_issued(bank, {"nickname": number})
    assert (answer.status, answer.body) == (400, errors(nickname="invalid-format"))
    assert everything() == before


def test_update_by_the_bank_keeps_the_nickname(bank: Bank) -> None:
    card("C-1", card_brand="visa")
    name_issued(bank, {"nickname": "Mine"})
    card("C-1", card_status="blocked")
    shown = get_issued(bank, "C-1").json()
    assert (shown["nickname"], shown["card-status"], shown["card-brand"]) == ("Mine", "blocked", None)
    issued_devices.change(CUSTOMER, "C-1", card_status="valid")
    issued_devices.enter(CUSTOMER, device_id="C-1", kind="smart-card")
    assert get_issued(bank, "C-1").body == (
        '{"device-id":"C-1","kind":"smart-card","holder-id":"MIGR00002","capabilities":[],"status":"active",'
        '"nickname":"Mine"}'
    )
    assert "card_status" not in stored(Table.DIRECTORY)[0]


# ── GET /v1/device/classifications ────────────────────────────────────────────────────────────────────────────────────

SCHEMAS = {
    "device-kinds": Kind,
    "device-capabilities": Capability,
    "device-statuses": Status,
    "card-statuses": CardStatus,
    "card-kinds": CardKind,
    "device-id-kinds": IdentifierKind,
    "push-platforms": PushPlatform,
}


def test_classifications_are_listed_without_values(bank: Bank) -> None:
    answer = show(bank)
    assert answer.status == 200
    assert answer.body.startswith(
        '{"items":[{"schema-id":"device-kinds","name":"Device Kinds","description":"What the bank issues"},{'
    )
    assert [found["schema-id"] for found in answer.json()["items"]] == list(SCHEMAS)


@pytest.mark.parametrize("schema_id", SCHEMAS)
def test_classification_has_exactly_the_values_of_its_enum(schema_id: str, bank: Bank) -> None:
    answer = show(bank, schema_id)
    found = answer.json()
    info = {name: found[name] for name in ("schema-id", "name", "description")}
    assert (answer.status, list(found)) == (200, [*info, "values"])
    assert info in show(bank).json()["items"]
    assert [value["literal"] for value in found["values"]] == list(SCHEMAS[schema_id])
    assert all(value.keys() == {"literal", "description"} and value["description"] for value in found["values"])


def test_classification_response_is_byte_exact(bank: Bank) -> None:
    assert show(bank, "device-statuses").body == (
        '{"schema-id":"device-statuses","name":"Device Statuses","description":"What a device is good for","values":['
        '{"literal":"active","description":"Active"},{"literal":"blocked","description":"Blocked"},'
        '{"literal":"unregistered","description":"Unregistered"}]}'
    )


@pytest.mark.parametrize("schema_id", ["card-brands", " ", "Device-Kinds", "\udc80"])
def test_unknown_classification_is_404(schema_id: str, bank: Bank) -> None:
    answer = show(bank, schema_id)
    assert (answer.status, answer.body) == (
        404,
        '{"problem":"classification-not-exist","message":"The classification does not exist","details":null}',
    )
