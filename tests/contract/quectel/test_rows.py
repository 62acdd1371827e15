"""quectel: bindDeviceSn: its exact responses, the order of its checks, concurrent changes, and the items it writes."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import products, users
from bindery.quectel import families, user_domains
from bindery.registry import devices, items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import aws_calls, quectel
from tests.concurrency import races
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, THIRD, World, as_user, owner, places, refused, share, succeeded
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


def shared_with_me(world: World) -> None:
    if not everything()["BINDINGS"]:
        succeeded(as_user(OTHER))
    share(OTHER, ME, clock.seconds() + 60)


def full_common_list(world: World) -> None:
    world.at_home()
    quectel.fill("F1")


Row = tuple[float, int, dict[str, str | None] | Callable[[World], object]]
ROWS: list[Row] = [
    (1, 5106, lambda world: setattr(world, "token", None)),
    (2, 5032, lambda world: users.set_enabled(ME, False)),
    (3, 5066, {"pk": None}),
    (4, 5088, {"sn": "  "}),
    (5, 5333, {"deviceName": "n" * 255}),
    (5.5, 5048, {"capabilitiesBitmask": "16"}),
    (6, 5093, lambda world: user_domains.change("E.DM.1", enabled=False)),
    (7, 5669, lambda world: user_domains.change("E.DM.1", binders="administrators")),
    (8, 5553, {"pk": "p-unknown"}),
    (9, 5229, lambda world: products.change(PK, domains=["E.DM.2"])),
    (10, 5327, lambda world: products.bar(PK, ME)),
    (11, 5624, {"fid": "F1"}),
    (12, 5636, lambda world: (users.set_home_mode(ME, True), world.parameters.pop("fid", None))),
    (13, 5041, lambda world: (users.set_home_mode(ME, True), world.parameters.update(fid="F2"))),
    (14, 5090, {"sn": "SN-unknown"}),
    (15, 5067, quectel.no_device_key),
    (16, 5361, quectel.bad_device_key),
    (17, 6083, quectel.other_data_center),
    (18, 5009, lambda world: devices.ban(DEVICE, "stolen")),
    (18.5, 5009, quectel.disabled),
    (19, 5049, lambda world: succeeded(quectel.bind(world.token, **world.parameters | {"isCommonDevice": "false"}))),
    (20, 6040, shared_with_me),
    (21, 5412, lambda world: succeeded(as_user(OTHER))),
    (22, 5893, full_common_list),
]
"""The document's rows in the order of their checks: number, code, and parameters or changes that they refuse."""

NEVER_TOGETHER = {
    (11, 12): "home mode is off or on",
    (11, 13): "home mode is off or on",
    (12, 13): "without a family id there is no family to check",
    (15, 16): "a missing device key has no format",
    (19, 20): "an owner cannot accept a share, and a share recipient cannot bind (row 20)",
    (19, 21): "in unique mode either the caller or another user holds the device",
}
"""Pairs of rows that cannot apply to one request."""

PAIRS = [
    (earlier, later)
    for index, earlier in enumerate(ROWS)
    for later in ROWS[index + 1 : index + 3]
    if (earlier[0], later[0]) not in NEVER_TOGETHER
]


def number(row: Row) -> str:
    return str(row[0])


def put_wrong(world: World, row: Row) -> None:
    if callable(wrong := row[2]):
        wrong(world)
    else:
        world.parameters = {name: value for name, value in (world.parameters | wrong).items() if value is not None}


@pytest.mark.parametrize("row", ROWS, ids=number)
def test_each_row_returns_its_code_and_text_and_writes_nothing(world: World, row: Row) -> None:
    put_wrong(world, row)
    before = everything()
    answer = world.ask()
    refused(answer, row[1])
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert everything() == before


@pytest.mark.parametrize(("earlier", "later"), PAIRS, ids=number)
def test_earlier_of_two_matching_rows_is_returned(world: World, earlier: Row, later: Row) -> None:
    put_wrong(world, later)
    put_wrong(world, earlier)
    before = everything()
    refused(world.ask(), earlier[1])
    assert everything() == before


def test_binding_returns_the_device_keys(world: World) -> None:
    answer = world.ask()
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    key = secrets.auth_key(owner()["binding"])
    assert answer.body == (
        f'{{"code":200,"data":{{"authKey":"{key}","dk":"{DK}","moduleType":"BC26","pk":"{PK}"}},"extMsg":"","msg":""}}'
    )
    assert re.fullmatch(r"[A-Za-z0-9+/]{22}==", key)
    both = {name: owner()[name] for name in ("binding", "bound_at")}
    both |= {"device_key": DK, "fid": None, "common": False, "shares": {}}
    assert owner() == both | {
        "pk": DEVICE,
        "sk": "owner",
        "holder": f"user#{ME}",
        "holder_sort": f"quectel#{owner()['bound_at']}",
        "leases": {},
        "credential": secrets.fingerprint(key),
    }
    assert places() == {
        ME: both
        | {
            "pk": f"user#{ME}",
            "sk": f"device#{PK}#{DK}",
            "kind": "binding",
            "device": DEVICE,
            "mode": 2,
            "product_key": PK,
            "serial": SN,
            "name": "Smart lock",
            "capabilities": None,
            "frid": None,
            "series": places()[ME]["series"],
        }
    }
    assert key not in json.dumps(everything(), default=str)


def test_optional_bind_parameters_are_stored(world: World) -> None:
    world.at_home()
    query = f"pk={PK}&sn={SN}&deviceName=%20T%C3%BCr%20&capabilitiesBitmask=15&fid=F1&frid=R1&holder=x&uid=x&uid=y"
    succeeded(quectel.bind(world.token, query))
    expected = {"name": "Tür", "capabilities": 15, "fid": "F1", "frid": "R1", "common": True}
    assert places()[ME].items() >= expected.items()
    assert quectel.common("F1") == {DEVICE}
    assert owner()["holder"] == f"user#{ME}"


@pytest.mark.parametrize(
    ("wish", "listed"),
    [({}, True), *(({"isCommonDevice": text}, "t" in text.lower()) for text in ("true", "True", "", "false", "FALSE"))],
)
def test_device_is_common_by_default_in_home_mode(world: World, wish: dict[str, str], listed: bool) -> None:
    world.at_home()
    listed = listed or wish.get("isCommonDevice") == ""
    succeeded(quectel.bind(world.token, **world.parameters | wish))
    assert quectel.common("F1") == ({DEVICE} if listed else set())
    assert owner()["common"] is listed


def test_common_list_is_written_only_in_home_mode(world: World) -> None:
    succeeded(quectel.bind(world.token, pk=PK, sn=SN, isCommonDevice="true"))
    assert owner()["common"] is False
    assert quectel.common("F1") == set()


def test_module_type_of_the_device_overrides_the_product(world: World) -> None:
    world.manufacture(module_type="EC200")
    assert succeeded(world.ask())["moduleType"] == "EC200"


@pytest.mark.parametrize(
    ("device", "product", "bound"),
    [
        (None, None, True),
        ("default", None, True),
        (None, "default", True),
        ("default", "elsewhere", True),
        ("elsewhere", "default", False),
        (None, "elsewhere", False),
    ],
)
def test_data_center_defaults_to_that_of_the_product(
    world: World, device: str | None, product: str | None, bound: bool
) -> None:
    products.create("p2", name="Second", module_type="BC26", data_center=product)
    devices.manufacture("p2", SN, device_key=DK, data_center=device)
    answer = quectel.bind(world.token, pk="p2", sn=SN)
    assert succeeded(answer)["pk"] == "p2" if bound else answer.body == quectel.refusal(6083)


@pytest.mark.parametrize(
    ("device_key", "code"),
    [
        ("8415", 200),
        ("a" * 32, 200),
        ("", 5067),
        *((text, 5361) for text in ("841", "a" * 33, "84-15", "8415é", "8415\n", " 8415")),
    ],
)
def test_device_key_is_4_to_32_letters_and_digits(world: World, device_key: str, code: int) -> None:
    world.manufacture(device_key=device_key)
    assert world.ask().json()["code"] == code


@pytest.mark.parametrize("name", ["é", "é" * 254, "\u0958" * 254, "\U0001d160" * 254])
def test_name_of_254_characters_is_accepted_in_any_unicode_form(world: World, name: str) -> None:
    succeeded(quectel.bind(world.token, pk=PK, sn=SN, deviceName=f" {name} "))
    assert places()[ME]["name"] == name


def test_blank_name_counts_as_missing(world: World) -> None:
    succeeded(quectel.bind(world.token, pk=PK, sn=SN, deviceName=" ", fid="", frid=" ", capabilitiesBitmask=""))
    assert places()[ME]["name"] == "Smart lock"


def test_administrators_can_always_bind(world: World) -> None:
    user_domains.change("E.DM.1", binders="administrators")
    users.create("C9", "smart", domain="E.DM.1", role="administrator")
    succeeded(as_user("C9"))


def test_user_of_missing_or_unknown_domain_is_refused(world: World) -> None:
    users.create("C8", "smart")
    users.create("C9", "smart", domain="E.DM.9")
    refused(as_user("C8"), 5093)
    refused(as_user("C9"), 5093)


def test_room_must_belong_to_the_family(world: World) -> None:
    refused(as_user(ME, frid="R1"), 5624)
    world.at_home()
    refused(as_user(ME, fid="F1", frid="R2"), 5041)
    refused(as_user(ME, fid="F9"), 5041)
    refused(as_user(ME, frid="R1"), 5636)
    succeeded(as_user(ME, fid="F1", frid="R1"))


def test_ban_is_kept_when_the_device_is_manufactured_again(world: World) -> None:
    devices.ban(DEVICE, "stolen")
    world.manufacture(module_type="EC200")
    refused(world.ask(), 5009)
    devices.unban(DEVICE)
    succeeded(world.ask())


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer ", "BEARER  ", " bEaReR "])
def test_token_is_accepted_with_or_without_bearer_in_any_case(world: World, scheme: str) -> None:
    succeeded(quectel.bind(f"{scheme}{world.token}", pk=PK, sn=SN))


GIVEN = f"pk={PK}&sn={SN}"
MALFORMED = [
    *(
        f"{GIVEN}&capabilitiesBitmask={text}"
        for text in ("0", "16", "-1", "1.0", "3x", "true", "9" * 5000, "%D9%A3", "%2B3")
    ),
    *(f"{GIVEN}&isCommonDevice={text}" for text in ("maybe", "1", "0", "yes", "null")),
    *(f"{GIVEN}&deviceName={text}" for text in ("a%00b", "a%0Ab", "%FF", "a&deviceName=" + "n" * 255)),
    *(f"{GIVEN}&{text}" for text in ("fid=" + "F" * 65, "fid=F%00", "frid=" + "R" * 65, "frid=R%C2%85x")),
    *(f"{GIVEN}&{text}&{text}" for text in ("capabilitiesBitmask=1", "isCommonDevice=true", "deviceName=a", "fid=F1")),
    *(f"{GIVEN}&{text}" for text in ("frid=R1&frid=R1", f"pk={PK}", "sn=")),
    *(f"pk={text}&sn={SN}" for text in ("p" * 65, "%FF")),
    f"pk={PK}&sn={'s' * 129}",
]


@pytest.mark.parametrize("query", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_or_repeated_parameter_is_5048(world: World, query: str) -> None:
    user_domains.change("E.DM.1", enabled=False)
    before = everything()
    refused(quectel.bind(world.token, query), 5048)
    assert everything() == before


@pytest.mark.parametrize("body", ['{"pk": "other", "isCommonDevice": 7}', "{", b"\xff\xfe", "x" * 20000])
def test_body_is_ignored(world: World, body: str | bytes) -> None:
    headers = {"authorization": world.token or ""}
    succeeded(send("quectel.bind_device_sn", headers, query=world.parameters, body=body))


@pytest.mark.parametrize("mode", Mode)
def test_accepted_share_is_6040_until_it_ends(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    World(mode)
    succeeded(as_user(OTHER))
    end = clock.seconds() + 60
    for uid in (ME, THIRD):
        share(OTHER, uid, end)
    before = everything()
    refused(as_user(ME), 6040)
    refused(as_user(THIRD), 6040)
    assert everything() == before
    mine = quectel.token(ME)
    monkeypatch.setattr(clock, "seconds", lambda: end)
    assert quectel.bind(mine, pk=PK, sn=SN).json()["code"] == (5412 if mode is Mode.UNIQUE else 200)


FAMILIES = [
    # (first holder's family, common there, next holder's family, common there) → devices on the two lists
    (("F1", True, "F1", True), ({DEVICE}, set())),
    (("F1", True, "F1", False), (set(), set())),
    (("F1", False, "F1", True), ({DEVICE}, set())),
    (("F1", False, "F1", False), (set(), set())),
    (("F2", True, "F1", True), ({DEVICE}, set())),
    (("F2", True, "F1", False), (set(), set())),
    (("F2", False, "F1", True), ({DEVICE}, set())),
    (("F2", True, None, False), (set(), set())),
    ((None, False, "F1", True), ({DEVICE}, set())),
]


@pytest.mark.parametrize(("case", "lists"), FAMILIES, ids=str)
def test_eviction_moves_the_device_between_common_lists(
    case: tuple[Any, ...], lists: tuple[set[str], set[str]]
) -> None:
    World(Mode.ROTATING)
    for uid, fid, wanted in ((OTHER, *case[:2]), (ME, *case[2:])):
        if fid is not None:
            users.set_home_mode(uid, True)
        family = {} if fid is None else {"fid": fid}
        succeeded(as_user(uid, **family, isCommonDevice=str(wanted)))
    assert (quectel.common("F1"), quectel.common("F2")) == lists
    assert (owner()["holder"], owner()["fid"], owner()["common"]) == (f"user#{ME}", case[2], case[3])


def test_user_can_have_one_device_per_device_key(world: World) -> None:
    succeeded(world.ask())
    devices.manufacture(PK, "SN2", device_key=DK)
    before = everything()
    refused(as_user(ME, sn="SN2"), 5048)
    assert everything() == before
    succeeded(as_user(OTHER, sn="SN2"))


def test_full_common_list_accepts_a_device_already_on_it() -> None:
    world = World(Mode.ROTATING)
    world.at_home()
    users.set_home_mode(OTHER, True)
    quectel.fill("F1", families.COMMON_LIMIT - 1)
    succeeded(as_user(OTHER, fid="F1"))
    succeeded(as_user(ME, fid="F1"))
    assert len(quectel.common("F1")) == families.COMMON_LIMIT
    devices.manufacture(PK, "SN2", device_key="8415D0A31B2D")
    refused(as_user(ME, sn="SN2", fid="F1"), 5893)
    succeeded(as_user(ME, sn="SN2", fid="F1", isCommonDevice="false"))


CHANGES: list[tuple[Callable[[World], object], int, dict[str, str]]] = [
    (quectel.disabled, 5009, {}),
    (quectel.no_device_key, 5067, {}),
    (quectel.bad_device_key, 5361, {}),
    (quectel.other_data_center, 6083, {}),
    (lambda world: world.manufacture(device_key="OTHER1"), 5048, {}),
    (lambda world: world.manufacture(module_type="EC200"), 5048, {}),
    (lambda world: dynamodb.write(dynamodb.Delete(items.device(DEVICE))), 5090, {}),
    (lambda world: users.set_enabled(OTHER, False), 5032, {}),
    (lambda world: users.revoke_sessions(OTHER), 5032, {}),
    (lambda world: dynamodb.write(dynamodb.Delete(items.user(OTHER))), 5032, {}),
    (lambda world: users.set_home_mode(OTHER, True), 5636, {}),
    (lambda world: users.change(OTHER, role="administrator"), 5048, {}),
    (lambda world: products.bar(PK, OTHER), 5327, {}),
    *((lambda world: families.change("F1", members=[]), 5041, {"isCommonDevice": wish}) for wish in ("true", "false")),
    *((lambda world: families.change("F1", rooms=[]), 5041, {"isCommonDevice": wish}) for wish in ("true", "false")),
    (lambda world: quectel.fill("F1"), 5893, {"isCommonDevice": "true"}),
]
"""Changes just before the write, the code of the check that they fail, and how the user binds into their family.

tests/concurrency/test_quectel.py has the changes that other requests make.
"""


@pytest.mark.parametrize(("change", "code", "wish"), CHANGES)
def test_concurrent_change_gives_the_code_of_the_check(
    world: World, change: Callable[[World], object], code: int, wish: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if wish:
        users.set_home_mode(OTHER, True)
    after: list[Any] = []
    races.before(monkeypatch, "TransactWriteItems", lambda: (change(world), after.append(everything())))
    refused(as_user(OTHER, **({"fid": "F1", "frid": "R1"} | wish if wish else {})), code)
    assert [everything()] == after


def test_share_accepted_during_rotating_bind_is_6040(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Mode.ROTATING)
    succeeded(as_user(OTHER))
    races.before(monkeypatch, "TransactWriteItems", lambda: quectel.share(OTHER, ME, clock.seconds() + 60))
    refused(world.ask(), 6040)
    assert owner()["holder"] == f"user#{OTHER}"


@pytest.mark.parametrize(
    ("left", "code"),
    [
        ({"DevicesTable"}, 5089),
        ({"BindingsTable"}, 5314),
        ({"DirectoryTable"}, 5314),
        ({"DirectoryTable", "DevicesTable"}, 5314),
    ],
)
def test_unread_serial_key_is_5089_and_any_other_5314(
    world: World, monkeypatch: pytest.MonkeyPatch, left: set[str], code: int
) -> None:
    real = aws_calls.real("BatchGetItem")
    asked: list[set[str]] = []

    def answer(RequestItems: dict[str, Any]) -> Any:
        asked.append(set(RequestItems))
        served = {table: keys for table, keys in RequestItems.items() if table not in left}
        rest = {table: keys for table, keys in RequestItems.items() if table in left}
        return (real(RequestItems=served) if served else {"Responses": {}}) | {"UnprocessedKeys": rest}

    monkeypatch.setattr(dynamodb, "ATTEMPTS", 2)
    monkeypatch.setattr(dynamodb, "_pause", lambda attempt: None)
    aws_calls.replace(monkeypatch, "BatchGetItem", answer)
    response = world.ask()
    refused(response, code)
    assert response.headers["Retry-After"] == "1"
    assert asked == [{"DevicesTable", "BindingsTable", "DirectoryTable"}, left]
    assert stored(Table.BINDINGS) == []


def test_failed_key_derivation_binds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "auth_key", lambda binding: 1 / 0)
    untouched = everything()
    refused(world.ask(), 5048)
    assert everything() == untouched
