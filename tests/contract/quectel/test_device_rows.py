"""quectel: responses that show devices, products and users, commands to devices, and their keys."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import products, tsl, users
from bindery.quectel import user_domains
from bindery.registry import items
from bindery.registry.bindings import Mode
from tests.http_api import Response
from tests.quectel import (
    DEVICE,
    DK,
    ME,
    OTHER,
    PK,
    THIRD,
    World,
    as_user,
    ask,
    call,
    owner,
    places,
    refused,
    share,
    succeeded,
    token,
)
from tests.records import TSL
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

KEYS = {"pk": PK, "dk": DK}


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
    """Call an operation as a user, with its parameters in the query or form."""
    if name not in FORMS:
        return ask(uid, name, **parameters)
    return send(f"quectel.{name}", {"authorization": token(uid)}, body=urlencode(parameters).encode())


def control(uid: str = ME, **members: Any) -> Response:
    """Send a command that sets the switch of the device, with these members replaced."""
    given = {"data": '[{"switch": true}]', "deviceList": [{"productKey": PK, "deviceKey": DK}], "type": 2} | members
    return send("quectel.batch_control_device", {"authorization": token(uid)}, body=given)


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
    refused(sent(ME, name, **parameters), number or OWN[name])
    refused(sent(THIRD, name, **KEYS), 5052)
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
    refused(ask(ME, "get_product_list", pageNum=0), 5314)


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
    refused(ask(ME, "product_tsl", pk=key), number)


NOTHING = f'{{"customizeTslInfo":[],"deviceData":{{"deviceKey":"{DK}","productKey":"{PK}"}},"deviceLocateInfo":null}}'


def report(binding: str, at: int, **values: str) -> None:
    """Store values as a device reports them."""
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
    refused(ask(ME, "get_device_business_attributes", **KEYS, **parameters), number)


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
    refused(control(**members), number)


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
    refused(sent(OTHER, name, **KEYS), 5041)
    assert everything() == untouched


def test_user_is_shown_with_every_member_in_its_type(world: World) -> None:
    made, stands = users.show(ME)["created_at"], everything()
    given = (
        f'{{"uid":"{ME}","email":"","nikeName":"","phone":"","lang":"","timezone":"","registerTime":{made},'
        f'"registerTimeTs":{made},"status":1}}'
    )
    for authorization in (token(ME), f"Bearer {token(ME)}"):
        answer = call("user_info", authorization, {})
        assert (answer.status, answer.body) == (200, f'{{"code":200,"data":{given},"extMsg":"","msg":""}}')
    assert everything() == stands
    users.change(ME, email="Ada@Example.com")
    assert call("user_info", token(ME), {}).json()["data"]["email"] == "Ada@Example.com"


def test_deleted_user_does_not_exist(world: World) -> None:
    given = token(ME)
    dynamodb.write(items.user(ME).delete())
    answer = call("user_info", given, {})
    assert (answer.status, answer.body) == (200, '{"code":5033,"data":null,"extMsg":"","msg":"User does not exist"}')
