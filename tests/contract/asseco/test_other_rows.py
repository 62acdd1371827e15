"""asseco: responses of the other operations: nicknames, push handles, blocking, classifications."""

from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.asseco.issued_devices import Capability, CardKind, CardStatus, Kind
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform, Status
from bindery.aws.dynamodb import Table
from bindery.core import clock
from tests.asseco import (
    IMEI,
    NICKNAME_NOT_UNIQUE,
    PUSH,
    PUSH_EXISTS,
    SAMPLE,
    STATUS_NOT_VALID,
    UNREGISTERED,
    ask,
    bearer,
    block,
    card,
    get,
    get_issued,
    issued,
    register,
    unregister,
)
from tests.http_api import Response
from tests.openid import CUSTOMER, OTHER, Bank
from tests.sample_requests import send
from tests.tables import everything, stored

NOW = 1795176000123
EXPIRES = "2027-02-18T12:00:00Z"
DAY = 24 * 3600 * 1000


def rename(bank: Bank, body: Any) -> Response:
    return ask(bank, "set_nickname", IMEI, body)


def push(bank: Bank, body: Any) -> Response:
    return ask(bank, "set_push_handle", IMEI, body)


def name_issued(bank: Bank, body: Any, identifier: str = "C-1") -> Response:
    return ask(bank, "set_issued_nickname", identifier, body)


def show(bank: Bank, schema_id: str) -> Response:
    return ask(bank, "get_classification", schema_id, by="schema-id")


def done(answer: Response) -> None:
    assert (answer.status, answer.body, answer.headers) == (204, "", {"x-request-id": "request-1"})


def binding() -> dict[str, Any]:
    return next(item for item in stored(Table.BINDINGS) if item["sk"] == "owner")


def guards() -> list[tuple[str, str]]:
    return [(item["sk"], item["device"]) for item in stored(Table.BINDINGS) if item["sk"].startswith("nickname#")]


BODIES: dict[str, Any] = {
    "unregister_device": None,
    "set_nickname": {"nickname": "New"},
    "set_push_handle": PUSH,
    "block_device": None,
    "unblock_device": None,
}
"""By operation on an owned device: the body of a valid request."""


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("unregister_device", {"active", "blocked"}),
        ("set_nickname", {"active", "blocked"}),
        ("set_push_handle", {"active"}),
        ("block_device", {"active"}),
        ("unblock_device", {"blocked"}),
    ],
)
@pytest.mark.parametrize("status", Status)
def test_operation_in_wrong_device_status_is_440(name: str, statuses: set[str], status: Status, bank: Bank) -> None:
    register(bank, SAMPLE)
    if status is Status.BLOCKED:
        block()
    if status is Status.UNREGISTERED:
        unregister(bank)
    before, shown = everything(), binding()
    answer = ask(bank, name, IMEI, BODIES[name])
    if status not in statuses:
        assert (answer.status, answer.body) == (440, STATUS_NOT_VALID)
        assert everything() == before
    elif name == "unregister_device":
        assert (answer.status, answer.body) == (202, UNREGISTERED)
    else:
        done(answer)
    if status in statuses and name.endswith("block_device"):
        assert binding() == shown | {"status": "active" if status == "blocked" else "blocked"}


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
    answer = send("asseco.list_classifications", bearer(bank.token()))
    assert answer.status == 200
    assert answer.body.startswith(
        '{"items":[{"schema-id":"device-kinds","name":"Device Kinds","description":"What the bank issues"},{'
    )
    listed = answer.json()["items"]
    assert [found["schema-id"] for found in listed] == list(SCHEMAS)
    for info, values in zip(listed, SCHEMAS.values(), strict=True):
        shown = show(bank, info["schema-id"]).json()
        assert list(shown.items())[:-1] == list(info.items())
        assert [value["literal"] for value in shown["values"]] == list(values)
        assert all(value.keys() == {"literal", "description"} and value["description"] for value in shown["values"])


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
        '{"problem":"classification-not-exist","message":"The classification does not exist"}',
    )
