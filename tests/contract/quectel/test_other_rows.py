"""quectel: responses of each operation except bindDeviceSn, and the items it writes."""

import base64
import json
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, products, tsl, users
from bindery.operators import forced_unbind
from bindery.quectel import families, user_devices, user_domains
from bindery.registry import devices, items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import aws_calls, moto_registry, quectel
from tests.concurrency.races import before, lost_response
from tests.http_api import Response
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, THIRD, World, as_user, ask, owner, places, share, succeeded
from tests.records import TSL
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

KEYS = {"pk": PK, "dk": DK}
OPERATIONS = {
    "bind_device_sn": {"pk": PK, "sn": SN},
    "user_device_list": {},
    "device_info": KEYS,
    "get_device_info_by_binding": KEYS,
    "set_device_info": KEYS | {"deviceName": "Door"},
    "unbundling_device_dk": KEYS,
    "share_info": KEYS,
    "share_device": {"shareCode": "c"},
}
"""Required parameters of each operation."""
MODES = pytest.mark.parametrize("mode", Mode)


def data(answer: Response) -> Any:
    given = answer.json()
    members = [("code", 200), ("data", given["data"]), ("extMsg", ""), ("msg", "")]
    assert (answer.status, list(given.items())) == (200, members)
    return given["data"]


@pytest.fixture
def shared(bound: None) -> str:
    """Bind the device to the user, and return a share code."""
    return code()


def refused(answer: Response, code: int, text: str) -> None:
    assert (answer.status, answer.body) == (200, f'{{"code":{code},"data":null,"extMsg":"","msg":"{text}"}}')


def code(by: str = ME, **more: Any) -> str:
    made: str = data(ask(by, "share_info", **KEYS, **more))
    return made


def listed(uid: str, **wanted: Any) -> list[str]:
    return [device["deviceKey"] for device in data(ask(uid, "user_device_list", **wanted))["list"]]


def accept(uid: str, shared: str) -> Response:
    return ask(uid, "share_device", shareCode=shared)


NOT_BOUND = (5052, "Device not bound")
NO_CODE = (5136, "Invalid share code")
NOT_SHARED = (5141, "No permission to query this device")
BOUND = (5049, "Device already bound")
ACCEPTED = (6040, "Already accepted device sharing")


PARAMETERS: list[tuple[str, dict[str, Any], int, str]] = [
    *(
        (name, wrong, number, text)
        for name in ("set_device_info", "unbundling_device_dk", "share_info")
        for wrong, number, text in (
            ({"pk": " ", "dk": "", "deviceName": ""}, 5066, "Please enter Product Key"),
            ({"dk": "", "deviceName": ""}, 5067, "Please enter Device Key"),
            ({"dk": "84:15", "deviceName": ""}, 5361, "Incorrect DK format"),
            ({"dk": "a" * 33}, 5361, "Incorrect DK format"),
        )
    ),
    ("get_device_info_by_binding", {"pk": "", "dk": "!"}, 5066, "Please enter Product Key"),
    ("get_device_info_by_binding", {"dk": "84-15"}, 5361, "Incorrect DK format"),
    ("get_device_info_by_binding", {"pk": "none"}, 5553, "Product or device does not exist"),
    ("set_device_info", {"deviceName": " "}, 5068, "Please enter device name"),
    ("set_device_info", {"deviceName": "n" * 255}, 5333, "Device name exceeds length limit"),
    ("set_device_info", {"deviceName": "a\x00"}, 5054, "Device information modification failed"),
    ("unbundling_device_dk", {"pk": "p" * 65}, 5050, "Device unbinding failed"),
    ("device_info", {"pk": "", "dk": ""}, 5140, "Please enter pk, dk or share code"),
    ("device_info", {"dk": ""}, 5140, "Please enter pk, dk or share code"),
    ("device_info", {"shareCode": "nonsense"}, *NOT_SHARED),
    ("device_info", {"dk": "a\x00"}, 5361, "Incorrect DK format"),
    ("device_info", {"dk": "none"}, *NOT_BOUND),
    ("share_device", {"shareCode": " "}, 5136, "Please enter share code"),
    ("share_device", {"deviceName": "n" * 255}, 5333, "Device name exceeds length limit"),
    *(("share_device", {"shareCode": wrong}, *NO_CODE) for wrong in ("c", "é", "A" * 200, "A" * 5000, "=", "A.B")),
    ("share_info", {"acceptingExpireAt": "soon"}, 5145, "Timestamp format incorrect"),
    ("share_info", {"acceptingExpireAt": "1000"}, 5145, "Timestamp format incorrect"),
    ("share_info", {"acceptingExpireAt": "9" * 15}, 5145, "Timestamp format incorrect"),
    ("share_info", {"sharingExpireAt": "-1"}, 5145, "Timestamp format incorrect"),
    ("share_info", {"sharingExpireAt": "9" * 15}, 5145, "Timestamp format incorrect"),
    *(
        ("share_info", {"coverMark": wrong}, 5133, "Override flag parameter value out of range")
        for wrong in ("0", "4", "x")
    ),
    (
        "share_info",
        {"sharingExpireAt": "1000"},
        5153,
        "Device usage expiration time must be greater than share QR code seed expiration time",
    ),
    ("share_info", {}, *NOT_BOUND),
    ("set_device_info", {}, *NOT_BOUND),
    ("unbundling_device_dk", {}, *NOT_BOUND),
    *(
        ("user_device_list", {name: wrong}, 5314, "Device query failed in cloud platform")
        for name, wrong in (("page", "0"), ("page", "x"), ("pageSize", "0"))
    ),
    ("user_device_list", {"deviceName": "n" * 255}, 5333, "Device name exceeds length limit"),
    ("user_device_list", {"dk": "a\x00"}, 5361, "Incorrect DK format"),
]


@pytest.mark.parametrize(("name", "wrong", "number", "text"), PARAMETERS, ids=lambda value: str(value)[:40])
def test_each_refusal_has_its_code_and_writes_nothing(
    world: World, name: str, wrong: dict[str, Any], number: int, text: str
) -> None:
    untouched = everything()
    refused(ask(ME, name, **OPERATIONS[name] | wrong), number, text)
    assert everything() == untouched


def unreachable() -> None:
    raise aws_calls.error("ThrottlingException")


WRITES = [
    ("bind_device_sn", "TransactWriteItems", 5048, "Device binding failed"),
    ("set_device_info", "UpdateItem", 5054, "Device information modification failed"),
    ("share_info", "UpdateItem", 5134, "Failed to add device share information"),
    ("unbundling_device_dk", "TransactWriteItems", 5050, "Device unbinding failed"),
]


@pytest.mark.parametrize(("name", "method", "number", "text"), WRITES)
def test_failed_write_gets_the_code_of_its_operation(
    world: World, name: str, method: str, number: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "bind_device_sn":
        succeeded(world.ask())
    untouched = everything()
    before(monkeypatch, method, unreachable)
    answer = ask(ME, name, **OPERATIONS[name])
    refused(answer, number, text)
    assert answer.headers["Retry-After"] == "1"
    assert everything() == untouched


def test_device_response_has_every_member(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.at_home()
    token = quectel.token(ME)
    monkeypatch.setattr(clock, "now", lambda: 1_795_176_000_123)
    bound = succeeded(quectel.bind(token, pk=PK, sn=SN, fid="F1", frid="R1", capabilitiesBitmask="7", deviceName="D"))
    expected = (
        f'{{"productKey":"{PK}","deviceKey":"{DK}","deviceName":"D","productName":"Smart lock","sn":"{SN}",'
        f'"authKey":"{bound["authKey"]}","onlineStatus":0,"deviceStatus":"Offline","deviceType":1,"bindMode":2,'
        '"bindingType":1,"bindStatus":1,"capabilitiesBitmask":7,"fid":"F1","frid":"R1",'
        f'"uid":"{ME}","deviceBindTime":"2026-11-20 12:00:00","deviceBindTimeTs":1795176000123,"shareCode":null}}'
    )
    page = (
        '"total":1,"pageNum":1,"pageSize":10,"pages":1,"size":1,"startRow":1,"endRow":1,"prePage":0,"nextPage":0,'
        '"isFirstPage":true,"isLastPage":true,"hasPreviousPage":false,"hasNextPage":false,"navigatePages":8,'
        '"navigatepageNums":[1],"navigateFirstPage":1,"navigateLastPage":1'
    )
    for name, query, shown in (
        ("device_info", KEYS, expected),
        ("user_device_list", {}, f'{{"list":[{expected}],{page}}}'),
    ):
        answer = quectel.call(name, token, query)
        assert answer.body == f'{{"code":200,"data":{shown},"extMsg":"","msg":""}}'


def fill(count: int) -> None:
    """Bind devices of a second product one after the other."""
    products.create("lamp", name="Lamp", module_type="M")
    for number in range(count):
        devices.manufacture("lamp", f"L{number}", device_key=f"LAMP{number:03}")
        succeeded(quectel.as_user(ME, pk="lamp", sn=f"L{number}", deviceName=f"Lamp {number}"))


@pytest.fixture
def lamps(registry: None) -> list[str]:
    """Bind 24 devices, one in each millisecond."""

    def enter() -> None:
        World()
        with pytest.MonkeyPatch.context() as patch:
            # In the past: a token must not be issued in the future.
            ticks = count(clock.now() - 60_000)
            patch.setattr(clock, "now", lambda: next(ticks))
            fill(24)

    moto_registry.prepare("lamps", enter)
    return [f"LAMP{number:03}" for number in range(24)]


@pytest.mark.parametrize(
    ("page", "size", "part", "numbers"),
    [
        (1, 2, slice(0, 2), range(1, 9)),
        (6, 2, slice(10, 12), range(2, 10)),
        (12, 2, slice(22, 24), range(5, 13)),
        (13, 2, slice(0, 0), range(5, 13)),
        (2, 10, slice(10, 20), range(1, 4)),
        (1, 1000, slice(0, 24), range(1, 2)),
    ],
)
def test_list_is_paged_and_reports_the_current_page(
    lamps: list[str], page: int, size: int, part: slice, numbers: range
) -> None:
    found = data(ask(ME, "user_device_list", page=page, pageSize=size))
    shown, size = lamps[part], min(size, user_devices.PAGE_LIMIT)
    pages = -(-24 // size)
    assert [device["deviceKey"] for device in found["list"]] == shown
    assert (found["total"], found["pages"], found["size"], found["pageSize"]) == (24, pages, len(shown), size)
    assert (found["startRow"], found["endRow"]) == ((part.start + 1, part.stop) if shown else (0, 0))
    assert (found["isFirstPage"], found["isLastPage"]) == (page == 1, page == pages)
    assert (found["hasPreviousPage"], found["hasNextPage"]) == (page > 1, page < pages)
    assert (found["prePage"], found["nextPage"]) == (page - 1, page + 1 if page < pages else 0)
    assert found["navigatepageNums"] == list(numbers)
    assert (found["navigateFirstPage"], found["navigateLastPage"]) == (numbers[0], numbers[-1])


def test_device_bound_at_any_millisecond_is_listed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    succeeded(quectel.as_user(ME))
    token, seconds = quectel.token(ME), count(clock.seconds())
    monkeypatch.setattr(clock, "seconds", lambda: next(seconds))
    assert data(quectel.call("user_device_list", token, {}))["total"] == 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"deviceName": "lamp 1"}, ["LAMP001"]),
        ({"deviceName": "LAMP"}, ["LAMP000", "LAMP001"]),
        ({"pkList": f"{PK}, other"}, [DK]),
        ({"pkList": f"lamp,{PK}"}, [DK, "LAMP000", "LAMP001"]),
        ({"dk": "LAMP000"}, ["LAMP000"]),
        ({"dk": DK, "pkList": "lamp"}, []),
        ({"deviceName": " ", "pkList": "", "dk": ""}, [DK, "LAMP000", "LAMP001"]),
    ],
)
def test_list_is_filtered_by_name_product_and_device_key(bound: None, wanted: dict[str, str], found: list[str]) -> None:
    fill(2)
    assert sorted(listed(ME, **wanted)) == sorted(found)
    assert data(ask(ME, "user_device_list", **wanted))["total"] == len(found)


def test_device_name_is_per_user(bound: None) -> None:
    share(ME, OTHER, clock.seconds() + 60)
    assert data(ask(OTHER, "set_device_info", **KEYS, deviceName=" Tür ")) == {}
    assert {uid: place["name"] for uid, place in places().items()} == {ME: "Smart lock", OTHER: "Tür"}
    assert data(ask(OTHER, "device_info", **KEYS))["deviceName"] == "Tür"


@MODES
def test_info_before_binding_shows_mode_or_existing_binding(mode: Mode) -> None:
    World(mode)
    expected = f'{{"activeBluetooth":false,"bindingMode":{mode},"productLogo":"","productName":"Smart lock"}}'
    body = f'{{"code":200,"data":{expected},"extMsg":"","msg":""}}'
    assert ask(ME, "get_device_info_by_binding", **KEYS).body == body
    assert ask(ME, "get_device_info_by_binding", pk=PK).body == body
    succeeded(quectel.as_user(ME))
    refused(ask(ME, "get_device_info_by_binding", **KEYS), *BOUND)
    share(ME, OTHER, clock.seconds() + 60)
    refused(ask(OTHER, "get_device_info_by_binding", **KEYS), *ACCEPTED)
    assert ask(THIRD, "get_device_info_by_binding", **KEYS).body == body


@MODES
def test_returned_share_can_be_accepted_again(mode: Mode) -> None:
    World(mode)
    succeeded(quectel.as_user(ME))
    shared = code()
    data(accept(OTHER, shared))
    data(accept(THIRD, shared))
    assert data(ask(OTHER, "unbundling_device_dk", **KEYS)) == {"bindingSum": 1}
    assert (listed(OTHER), listed(THIRD), listed(ME)) == ([], [DK], [DK])
    assert places()[ME]["shares"].keys() == {THIRD}
    refused(ask(OTHER, "unbundling_device_dk", **KEYS), *NOT_BOUND)
    data(accept(OTHER, shared))


@MODES
def test_last_unbind_removes_the_device_from_the_common_list(mode: Mode) -> None:
    World(mode)
    uids = (ME, OTHER) if mode is Mode.MULTI else (ME,)
    for uid in uids:
        users.set_home_mode(uid, True)
        succeeded(quectel.as_user(uid, fid="F1"))
    for number, uid in enumerate(uids):
        assert quectel.common("F1") == {families.common_entry(DEVICE, left, mode) for left in uids[number:]}
        data(ask(uid, "unbundling_device_dk", **KEYS))
    assert quectel.common("F1") == set()


@MODES
def test_share_is_shown_to_both_and_has_its_own_key(mode: Mode) -> None:
    World(mode)
    mine = succeeded(quectel.as_user(ME, deviceName="Door", capabilitiesBitmask="5"))
    shared = code()
    assert ask(OTHER, "share_device", shareCode=shared).body == '{"code":200,"data":{},"extMsg":"","msg":""}'
    data(ask(THIRD, "share_device", shareCode=shared, deviceName="Hers"))
    found = {uid: data(ask(uid, "device_info", **KEYS)) for uid in (ME, OTHER, THIRD)}
    names = ("deviceName", "deviceType", "uid", "shareCode")
    assert [tuple(device[name] for name in names) for device in found.values()] == [
        *(("Door", 1, ME, None), ("Door", 2, OTHER, shared), ("Hers", 2, THIRD, shared))
    ]
    assert len({device["authKey"] for device in found.values()}) == 3
    assert found[ME]["authKey"] == mine["authKey"]
    assert found[OTHER]["capabilitiesBitmask"] == 5
    assert {uid: listed(uid) for uid in (ME, OTHER, THIRD)} == {uid: [DK] for uid in (ME, OTHER, THIRD)}
    refused(quectel.as_user(OTHER), *ACCEPTED)
    stored = json.dumps(everything(), default=str)
    assert shared not in stored
    assert found[OTHER]["authKey"] not in stored


@MODES
def test_unacceptable_code_is_refused(mode: Mode) -> None:
    World(mode)
    succeeded(quectel.as_user(ME))
    shared = code()
    refused(accept(ME, shared), *BOUND)
    data(accept(OTHER, shared))
    untouched = everything()
    refused(accept(OTHER, shared), *ACCEPTED)
    refused(ask(OTHER, "share_info", **KEYS), 5135, "No permission to share this device")
    # The first 32 bytes are the tag.
    refused(accept(THIRD, "A" * 42 + shared[42:]), *NO_CODE)
    refused(accept(THIRD, shared[:-2] + ("AA" if shared[-2:] != "AA" else "BB")), *NO_CODE)
    assert everything() == untouched
    data(ask(ME, "unbundling_device_dk", **KEYS))
    refused(accept(THIRD, shared), *NO_CODE)
    succeeded(quectel.as_user(ME))
    refused(accept(THIRD, shared), *NO_CODE)


def test_code_is_unknown_in_another_domain_or_account(shared: str) -> None:
    user_domains.create("E.DM.2")
    accounts.create("other", name="Other")
    users.create("u1", "smart", domain="E.DM.2")
    users.create("u2", "other", domain="E.DM.1")
    for uid in ("u1", "u2"):
        refused(accept(uid, shared), *NO_CODE)
        refused(ask(uid, "device_info", shareCode=shared), *NOT_SHARED)


def test_code_is_invalid_after_its_sharer_moves_to_another_domain(shared: str) -> None:
    user_domains.create("E.DM.2")
    data(accept(OTHER, shared))
    users.change(ME, domain="E.DM.2")
    users.create("u1", "smart", domain="E.DM.2")
    for uid in (THIRD, "u1"):
        refused(accept(uid, shared), *NO_CODE)
        refused(ask(uid, "device_info", shareCode=shared), *NOT_SHARED)
    assert data(ask(OTHER, "device_info", shareCode=shared))["sn"] == SN
    data(accept("u1", code()))
    users.change(ME, domain="E.DM.1")
    refused(accept(THIRD, shared), *NO_CODE)


@pytest.mark.parametrize(
    "end",
    [
        users.revoke_sessions,
        lambda uid: users.set_enabled(uid, False),
        lambda uid: dynamodb.write(dynamodb.Delete(items.user(uid))),
    ],
    ids=["revoked", "disabled", "deleted"],
)
def test_code_ends_with_its_sharers_sessions(shared: str, end: Callable[[str], None]) -> None:
    data(accept(OTHER, shared))
    end(ME)
    untouched = everything()
    refused(accept(THIRD, shared), *NO_CODE)
    refused(ask(THIRD, "device_info", shareCode=shared), *NOT_SHARED)
    assert everything() == untouched, "the code was counted as a guess"
    assert data(ask(OTHER, "device_info", **KEYS))["shareCode"] == shared, "the accepted share was removed"


def test_code_is_valid_again_once_its_sharer_is_enabled(shared: str) -> None:
    for enabled in (False, True):
        users.set_enabled(ME, enabled)
    data(accept(OTHER, shared))


@pytest.mark.parametrize(
    ("end", "start"),
    [
        (lambda: user_domains.change("E.DM.1", enabled=False), lambda: user_domains.change("E.DM.1", enabled=True)),
        (lambda: dynamodb.write(dynamodb.Delete(items.user_domain("E.DM.1"))), lambda: user_domains.create("E.DM.1")),
    ],
    ids=["disabled", "deleted"],
)
def test_sharing_in_a_disabled_domain_is_refused(
    shared: str, end: Callable[[], None], start: Callable[[], None]
) -> None:
    end()
    untouched = everything()
    refused(ask(ME, "share_info", **KEYS), 5093, "Abnormal user domain")
    for tried in (shared, "unknown"):
        refused(accept(OTHER, tried), 5093, "Abnormal user domain")
        refused(ask(OTHER, "device_info", shareCode=tried), 5093, "Abnormal user domain")
    assert everything() == untouched
    start()
    data(accept(OTHER, shared))


def test_user_without_a_domain_cannot_share(bound: None) -> None:
    users.change(ME, domain=None)
    refused(ask(ME, "share_info", **KEYS), 5093, "Abnormal user domain")
    refused(accept(ME, "unknown"), 5093, "Abnormal user domain")


def test_share_is_accepted_only_in_the_products_domains(shared: str) -> None:
    data(accept(OTHER, shared))
    products.change(PK, domains=["E.DM.2"])
    untouched = everything()
    refused(accept(THIRD, shared), 5229, "User domain not authorized for this product")
    refused(ask(THIRD, "device_info", shareCode=shared), *NOT_SHARED)
    refused(accept(OTHER, shared), *ACCEPTED)
    assert everything() == untouched
    assert data(ask(OTHER, "device_info", **KEYS))["productName"] == "Smart lock"
    products.change(PK, domains=["E.DM.1"])
    data(accept(THIRD, shared))


def test_product_of_other_domains_is_unknown_before_binding(world: World) -> None:
    products.change(PK, domains=["E.DM.2"])
    unknown = ask(ME, "get_device_info_by_binding", pk="none")
    assert ask(ME, "get_device_info_by_binding", pk=PK).body == unknown.body
    assert ask(ME, "get_device_info_by_binding", **KEYS).body == unknown.body
    products.change(PK, domains=["E.DM.2", "E.DM.1"])
    assert data(ask(ME, "get_device_info_by_binding", pk=PK))["productName"] == "Smart lock"


def test_code_stays_in_its_domain_when_a_recipient_moves(shared: str) -> None:
    user_domains.create("E.DM.2")
    data(accept(OTHER, shared))
    users.change(OTHER, domain="E.DM.2")
    users.create("u1", "smart", domain="E.DM.2")
    assert data(ask(OTHER, "device_info", **KEYS))["shareCode"] == shared
    refused(accept("u1", shared), *NO_CODE)
    refused(ask("u1", "device_info", shareCode=shared), *NOT_SHARED)
    data(accept(THIRD, shared))


def test_code_and_share_end_at_their_times(bound: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {uid: quectel.token(uid) for uid in (ME, OTHER, THIRD)}
    now = clock.seconds()
    shared = code(acceptingExpireAt=(now + 100) * 1000, sharingExpireAt=(now + 200) * 1000)
    data(accept(OTHER, shared))
    monkeypatch.setattr(clock, "seconds", lambda: now + 100)
    refused(quectel.call("share_device", tokens[THIRD], {"shareCode": shared}), *NO_CODE)
    refused(quectel.call("device_info", tokens[THIRD], {"shareCode": shared}), *NOT_SHARED)
    assert data(quectel.call("device_info", tokens[OTHER], {"shareCode": shared}))["sn"] == SN
    monkeypatch.setattr(clock, "seconds", lambda: now + 200)
    assert data(quectel.call("user_device_list", tokens[OTHER], {}))["list"] == []
    refused(quectel.call("device_info", tokens[OTHER], KEYS), *NOT_BOUND)
    refused(quectel.call("unbundling_device_dk", tokens[OTHER], KEYS), *NOT_BOUND)
    assert data(quectel.call("unbundling_device_dk", tokens[ME], KEYS)) == {"bindingSum": 0}


def test_code_hides_serial_auth_key_and_family_from_strangers(shared: str) -> None:
    found = data(ask(OTHER, "device_info", shareCode=shared))
    assert (found["deviceKey"], found["deviceType"], found["uid"], found["shareCode"]) == (DK, 2, OTHER, shared)
    assert (found["sn"], found["authKey"], found["fid"], found["deviceBindTime"]) == ("", "", None, None)
    assert data(ask(ME, "device_info", shareCode=shared))["sn"] == SN
    assert secrets.auth_key(owner()["binding"]) not in shared


def test_new_code_ends_earlier_codes_unless_they_are_kept(bound: None) -> None:
    later = (clock.seconds() + 10**6) * 1000
    first, second = code(), code(coverMark=2, sharingExpireAt=later)
    data(accept(OTHER, first))
    third = code(coverMark=3, sharingExpireAt=later)
    refused(accept(THIRD, second), *NO_CODE)
    untouched = everything()
    text = (
        "With override flag 3, the device usage expiration time of the share code cannot be less than that of the"
        " currently used share code"
    )
    refused(ask(ME, "share_info", **KEYS, coverMark=3, sharingExpireAt=later - 1000), 5151, text)
    assert everything() == untouched
    data(accept(THIRD, third))
    assert listed(OTHER) == listed(THIRD) == [DK]


@pytest.mark.parametrize("cover", [1, 2, 3])
def test_retry_after_lost_response_creates_the_code(bound: None, cover: int) -> None:
    with lost_response("UpdateItem") as sent:
        shared = code(coverMark=cover)
    data(accept(OTHER, shared))
    assert len(sent) == 2


def test_binding_has_at_most_30_active_shares(shared: str) -> None:
    now = clock.seconds()
    full = {f"u{number}": now + 60 for number in range(user_devices.SHARE_LIMIT - 1)} | {"ended": now}
    for place in (items.owner(DEVICE), items.user_device(ME, PK, DK)):
        dynamodb.write(place.update(set={"shares": full}))
    data(accept(OTHER, shared))
    assert places()[ME]["shares"] == owner()["shares"]
    assert "ended" not in owner()["shares"]
    refused(accept(THIRD, shared), 5138, "Device sharing failed")


def test_binding_with_all_its_shares_ends_in_one_transaction() -> None:
    World(Mode.MULTI)
    users.set_home_mode(ME, True)
    succeeded(quectel.as_user(ME, fid="F1"))
    shared = code()
    for number in range(user_devices.SHARE_LIMIT):
        users.create(f"u{number}", "smart", domain="E.DM.1")
        data(accept(f"u{number}", shared))
    assert len(everything()["BINDINGS"]) == 2 + 2 * user_devices.SHARE_LIMIT
    forced_unbind.end(DEVICE, "lost", uid=ME)
    assert everything()["BINDINGS"] == []


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (lambda: devices.ban(DEVICE, "stolen"), (5009, "Device verification failed")),
        (lambda: products.bar(PK, OTHER), (5327, "No permission for this product")),
    ],
)
def test_banned_device_or_blocked_user_cannot_get_a_share(
    shared: str, wrong: Callable[[], object], refusal: tuple[int, str]
) -> None:
    wrong()
    untouched = everything()
    refused(accept(OTHER, shared), *refusal)
    assert everything() == untouched


def says(answer: Response, data: str) -> None:
    assert (answer.status, answer.body) == (200, f'{{"code":200,"data":{data},"extMsg":"","msg":""}}')


OWN = {
    "get_device_binding_info": 5314,
    "get_device_online_status": 5314,
    "get_device_business_attributes": 5114,
    "get_auth_key": 5314,
    "regenerate_auth_key": 5054,
}
"""Operations on a device of the user, and the code of each for a malformed request."""

FORMS = ("get_auth_key", "regenerate_auth_key")


def sent(uid: str, name: str, **parameters: Any) -> Response:
    if name not in FORMS:
        return ask(uid, name, **parameters)
    return send(f"quectel.{name}", {"authorization": quectel.token(uid)}, body=urlencode(parameters).encode())


def control(uid: str = ME, **members: Any) -> Response:
    """Send a command that sets the switch of the device, with these members replaced."""
    given = {"data": '[{"switch": true}]', "deviceList": [{"productKey": PK, "deviceKey": DK}], "type": 2} | members
    return send("quectel.batch_control_device", {"authorization": quectel.token(uid)}, body=given)


WRONG = [
    (5066, {"pk": " ", "dk": ""}),
    (5067, {"pk": PK, "dk": " "}),
    (5361, {"pk": PK, "dk": "84:15"}),
    (None, {"pk": "p" * 65, "dk": DK}),
    (5052, {"pk": PK, "dk": "8415D0A31B2D"}),
    (5052, {"pk": "other", "dk": DK}),
]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("number", "parameters"), WRONG)
def test_wrong_device_is_refused(bound: None, name: str, number: int | None, parameters: dict[str, str]) -> None:
    untouched = everything()
    quectel.refused(sent(ME, name, **parameters), number or OWN[name])
    quectel.refused(sent(THIRD, name, **KEYS), 5052)
    assert everything() == untouched


def test_binding_info_is_the_device_info(bound: None) -> None:
    share(ME, OTHER, clock.seconds() + 60)
    for uid in (ME, OTHER):
        shown = ask(uid, "get_device_binding_info", **KEYS)
        assert shown.json()["data"]["productName"] == "Smart lock"
        assert shown.body == ask(uid, "device_info", **KEYS).body


@pytest.mark.parametrize("bits", [None, 6])
def test_device_bound_without_capabilities_has_those_of_its_product(bound: None, bits: int | None) -> None:
    if bits is not None:
        products.change(PK, capabilities=bits)
    share(ME, OTHER, clock.seconds() + 60)
    code = ask(ME, "share_info", **KEYS).json()["data"]
    shown = [ask(uid, "device_info", **KEYS) for uid in (ME, OTHER)] + [ask(THIRD, "device_info", shareCode=code)]
    assert [answer.json()["data"]["capabilitiesBitmask"] for answer in shown] == [bits or 1] * 3


def test_product_list_has_the_products_of_the_users_domain(world: World) -> None:
    user_domains.create("E.DM.2")
    products.create("a", name="Alarm", module_type="M", domains=["E.DM.1"])
    products.create("b", name="Bell", module_type="M", domains=["E.DM.2"])
    products.create("q", name="Quad", module_type="M", mode=Mode.MULTI)
    page = ask(ME, "get_product_list", pageNum=1, pageSize=2).json()["data"]
    assert page["list"] == [{"productKey": "a", "name": "Alarm"}, {"productKey": PK, "name": "Smart lock"}]
    assert (page["total"], page["pages"], page["nextPage"]) == (3, 2, 2)
    assert ask(ME, "get_product_list", pageNum=2, pageSize=2).json()["data"]["list"] == [
        {"productKey": "q", "name": "Quad"}
    ]
    assert ask(ME, "get_product_list").json()["data"]["pageSize"] == 10
    assert ask(ME, "get_product_list", pageSize=1000).json()["data"]["pageSize"] == 100
    quectel.refused(ask(ME, "get_product_list", pageNum=0), 5314)


def test_tsl_is_returned_as_text_and_as_members(world: World) -> None:
    empty = '"profile":{},"properties":[],"services":[],"events":[]'
    escaped = empty.replace('"', '\\"')
    says(ask(ME, "product_tsl", pk=PK), f'{{"tslJson":"{{{escaped}}}",{empty}}}')
    tsl.load(PK, TSL)
    found = ask(ME, "product_tsl", pk=PK).json()["data"]
    assert json.loads(found.pop("tslJson")) == found == {**TSL, "services": [], "events": []}


@pytest.mark.parametrize(("number", "key"), [(5066, " "), (5193, "other"), (5193, "p" * 65), (5193, "elsewhere")])
def test_tsl_of_a_product_that_is_not_open_to_the_domain_is_refused(world: World, number: int, key: str) -> None:
    user_domains.create("E.DM.2")
    products.create("elsewhere", name="Alarm", module_type="M", domains=["E.DM.2"])
    tsl.load("elsewhere", TSL)
    quectel.refused(ask(ME, "product_tsl", pk=key), number)


NOTHING = f'{{"customizeTslInfo":[],"deviceData":{{"deviceKey":"{DK}","productKey":"{PK}"}},"deviceLocateInfo":null}}'


def report(binding: str, at: int, **values: str) -> None:
    last: dict[str, items.Reported] = {code: {"value": value, "at": at} for code, value in values.items()}
    dynamodb.write(items.properties(DEVICE).put({"binding": binding, "values": last}))


def values(uid: str, **parameters: str) -> dict[str, str]:
    found = ask(uid, "get_device_business_attributes", **KEYS, **parameters).json()["data"]["customizeTslInfo"]
    return {each["resourceCode"]: each["resourceValce"] for each in found}


def test_device_that_never_reported_has_no_properties(bound: None) -> None:
    says(ask(ME, "get_device_business_attributes", **KEYS), NOTHING)
    tsl.load(PK, TSL)
    says(ask(ME, "get_device_business_attributes", **KEYS), NOTHING)


def test_reported_properties_are_described_by_the_tsl(bound: None) -> None:
    tsl.load(PK, TSL)
    report(owner()["binding"], 1_795_176_000_123, switch="true", unknown="1", battery="98")
    battery = (
        '{"abId":1,"resourceCode":"battery","resourceValce":"98","name":"Battery","type":"PROPERTY","subType":"R",'
        '"dataType":"INT","createTime":"1795176000123"}'
    )
    only = NOTHING.replace("[]", f"[{battery}]")
    says(ask(ME, "get_device_business_attributes", **KEYS, type="1, 2", codeList="battery, none"), only)
    assert values(ME) == values(ME, type="2") == {"battery": "98", "switch": "true"}
    says(ask(ME, "get_device_business_attributes", **KEYS, type="1,3"), NOTHING)


@pytest.mark.parametrize(
    ("number", "parameters"),
    [
        (5471, {"codeList": "battery"}),
        (5471, {"codeList": "battery", "type": "1"}),
        (5114, {"type": "4"}),
        (5114, {"codeList": "x" * 8193}),
    ],
)
def test_wrong_query_of_properties_is_refused(bound: None, number: int, parameters: dict[str, str]) -> None:
    quectel.refused(ask(ME, "get_device_business_attributes", **KEYS, **parameters), number)


@pytest.mark.parametrize("mode", Mode)
def test_user_sees_only_what_was_reported_under_their_binding_or_since(mode: Mode) -> None:
    World(mode)
    tsl.load(PK, TSL)
    succeeded(as_user(ME))
    mine = places()[ME]
    report(mine["binding"], mine["bound_at"] + 1, battery="98")
    share(ME, OTHER, clock.seconds() + 60)
    assert values(ME) == values(OTHER) == {"battery": "98"}
    ask(ME, "unbundling_device_dk", **KEYS)
    succeeded(as_user(THIRD))
    theirs = places()[THIRD]["bound_at"]
    report(mine["binding"], theirs - 1, battery="98")
    assert values(THIRD) == {}
    report(mine["binding"], theirs, battery="97")
    assert values(THIRD) == {"battery": "97"}


def outcome(*failures: tuple[str, str]) -> str:
    listed = ",".join(
        f'{{"data":{{"productKey":"{PK}","deviceKey":"{device}"}},"msg":"{text}"}}' for device, text in failures
    )
    return f'{{"successList":[],"failureList":[{listed}]}}'


def test_command_fails_for_offline_and_unbound_devices(bound: None) -> None:
    tsl.load(PK, TSL)
    share(ME, OTHER, clock.seconds() + 60)
    untouched = everything()
    both = [{"productKey": PK, "deviceKey": device} for device in (DK, "8415D0A31B2D")]
    says(control(deviceList=both), outcome((DK, "Device offline"), ("8415D0A31B2D", "Device not bound")))
    says(control(OTHER, type="2", cacheTime=60, isCache=1), outcome((DK, "Device offline")))
    says(control(THIRD), outcome((DK, "Device not bound")))
    for kind in (1, 3):
        says(control(type=kind, data="a0"), outcome((DK, "Device offline")))
    assert everything() == untouched


@pytest.mark.parametrize(
    ("number", "members"),
    [
        (5070, {"type": None, "data": ""}),
        (5071, {"type": 4, "data": ""}),
        (5071, {"type": "x"}),
        (5074, {"data": " "}),
        (5075, {"data": "1" * 4097, "deviceList": []}),
        (5311, {"deviceList": []}),
        (5311, {"deviceList": [{"productKey": PK}]}),
        (5312, {"deviceList": [{"productKey": PK, "deviceKey": DK}] * 50}),
        *((5340, {"data": text}) for text in ("{", "{}", "[]", "[1]", "[{}]", "[" * 4000, '[{"switch":"\\ud800"}]')),
        (5340, {"data": 1}),
        (5340, {"deviceList": [{"productKey": PK, "deviceKey": "84:15"}]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_command_is_refused(bound: None, number: int, members: dict[str, Any]) -> None:
    quectel.refused(control(**members), number)


SPECS: dict[str, Any] = {"INT": {"min": "18", "max": "32"}, "FLOAT": {"min": ""}, "ENUM": [{"name": "a", "value": "0"}]}


@pytest.mark.parametrize(
    ("kind", "accepted", "rejected"),
    [
        ("BOOL", (True, "true", 0, "1"), ("on", 2, None)),
        ("INT", (18, "32", 20.0), (17, 33, 20.5, "a", True, None, [18])),
        ("FLOAT", (1.5, "-2"), ("NaN", 10**400, "a")),
        ("ENUM", (0, "0"), (1, None)),
        ("TEXT", ("a",), (1,)),
        ("DATE", ("1635839462000",), ("soon",)),
        ("STRUCT", ({"a": 1},), ([1],)),
        ("ARRAY", ([1],), ({"a": 1},)),
    ],
)
def test_values_of_a_command_are_checked_against_the_tsl(
    bound: None, kind: str, accepted: tuple[Any, ...], rejected: tuple[Any, ...]
) -> None:
    described = TSL["properties"][1] | {"dataType": kind, "specs": SPECS.get(kind, [])}
    tsl.load(PK, TSL | {"properties": [TSL["properties"][0], described]})
    for value in accepted:
        says(control(data=json.dumps([{"switch": value}])), outcome((DK, "Device offline")))
    wrong = outcome((DK, "Device control command does not match the TSL"))
    for value in rejected:
        says(control(data=json.dumps([{"switch": accepted[0]}, {"switch": value}])), wrong)
    for unset in ("battery", "unknown"):
        says(control(data=json.dumps([{unset: 1}])), wrong)


@pytest.mark.parametrize("mode", Mode)
def test_regenerated_auth_key_replaces_the_previous_one(mode: Mode) -> None:
    World(mode)
    first = succeeded(as_user(ME))["authKey"]
    share(ME, OTHER, clock.seconds() + 60)
    shared = ask(OTHER, "device_info", **KEYS).json()["data"]
    says(sent(ME, "get_auth_key", **KEYS), f'{{"authKey":"{first}"}}')
    second = sent(ME, "regenerate_auth_key", **KEYS).json()["data"]["authKey"]
    assert second != first
    assert len(base64.b64decode(second)) == 16
    says(sent(ME, "get_auth_key", **KEYS), f'{{"authKey":"{second}"}}')
    assert ask(ME, "device_info", **KEYS).json()["data"]["authKey"] == second
    assert ask(OTHER, "device_info", **KEYS).json()["data"] == shared
    (binding,) = (found for found in stored(Table.BINDINGS) if found.get("holder") == f"user#{ME}")
    assert binding["key_id"] == places()[ME]["key_id"]
    assert second not in json.dumps(everything(), default=str)


@pytest.mark.parametrize("name", FORMS)
def test_auth_key_is_only_for_the_owner(bound: None, name: str) -> None:
    share(ME, OTHER, clock.seconds() + 60)
    untouched = everything()
    quectel.refused(sent(OTHER, name, **KEYS), 5041)
    assert everything() == untouched


def test_user_is_shown_with_every_member_in_its_type(world: World) -> None:
    made, stands = users.show(ME)["created_at"], everything()
    given = (
        f'{{"uid":"{ME}","email":"","nikeName":"","phone":"","lang":"","timezone":"","registerTime":{made},'
        f'"registerTimeTs":{made},"status":1}}'
    )
    for authorization in (quectel.token(ME), f"Bearer {quectel.token(ME)}"):
        answer = quectel.call("user_info", authorization, {})
        assert (answer.status, answer.body) == (200, f'{{"code":200,"data":{given},"extMsg":"","msg":""}}')
    assert everything() == stands
    users.change(ME, email="Ada@Example.com")
    assert quectel.call("user_info", quectel.token(ME), {}).json()["data"]["email"] == "Ada@Example.com"


def test_deleted_user_does_not_exist(world: World) -> None:
    given = quectel.token(ME)
    dynamodb.write(items.user(ME).delete())
    answer = quectel.call("user_info", given, {})
    assert (answer.status, answer.body) == (200, '{"code":5033,"data":null,"extMsg":"","msg":"User does not exist"}')
