"""Device operations of the admin API, through the handler: find, show, ban, unbind, activate, address, import."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Table
from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.directory import users
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from bindery.rufus import company_devices
from bindery.vodlix import video_devices
from tests import quectel
from tests.http_api import OPERATOR, Response, admin
from tests.operators.conftest import At
from tests.operators.remains import MAC, PLAYER, player
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, THIRD, World
from tests.records import ADDRESS, company_device, registration
from tests.tables import everything, item_at, stored, without_acts

pytestmark = pytest.mark.usefixtures("registry")

RUFUS = ("acme", "Model X1", SN)
NEVER = {"state": "never connected", "connected_at": None, "last_seen_at": None, "ip": None, "agent": None}
STATE = {"enabled": True, "active": True, "services": [], "presence": NEVER}
STATE |= dict.fromkeys(("ban", "unbanned", "unbound", "offer"))
OF_ONE = ("binding", "presence", "users", "state", "offer")
"""Members of a device that is shown, not in lists."""
NOBODY = dict.fromkeys(
    ("account", "product_key", "serial", "imei", "mac", "changed_at", "changed_by", "device_key_set")
)


@pytest.fixture
def world(registry: None) -> World:
    return World()


def ask(method: str, device: str, action: str = "", body: Any = None, **more: Any) -> Response:
    return admin("devices", method, f"devices/{identity.opaque(device)}{action}", body, **more)


def rufus() -> str:
    company_devices.bind(*RUFUS, alias="Front door", firmware=None, kind=None)
    return identity.company_device(*RUFUS)


def manufactured() -> str:
    if not stored(Table.DIRECTORY):
        World()
    return DEVICE


def registered() -> str:
    return registration("MIGR00002", SN, "My Phone")


def keys_of(answer: Response) -> list[str]:
    assert answer.status == 200
    return [identity.from_opaque(device["device"]) for device in answer.json()["items"]]


def test_serial_number_is_found_in_every_api_that_has_them() -> None:
    made = [registered(), manufactured(), rufus()]
    player()
    found = admin("devices", "GET", "devices", query={"serial": f" {SN} "})
    assert (keys_of(found), found.json()["next"]) == (made, None)


def test_search_by_serial_number_is_paginated() -> None:
    made = {registered()}
    for account in ("a", "b", "c"):
        made.add(company_device(account, SN))
    first = admin("devices", "GET", "devices", query={"serial": SN, "limit": 2})
    rest = admin("devices", "GET", "devices", query={"serial": SN, "limit": 2, "cursor": first.json()["next"]})
    assert (len(keys_of(first)), len(keys_of(rest)), rest.json()["next"]) == (3, 1, None)
    assert {*keys_of(first), *keys_of(rest)} == made


@pytest.mark.parametrize("query", [{"mac": "a1b2c3d4e5f6"}, {"mac": MAC}, {"imei": SN}, {"address": ADDRESS.lower()}])
def test_device_is_found_by_its_unique_identifiers(query: dict[str, str]) -> None:
    there = {"mac": player(), "imei": registered(), "address": rufus()}
    service_addresses.assign(ADDRESS, there["address"])
    (name,) = query
    assert keys_of(admin("devices", "GET", "devices", query=query)) == [there[name]]


@pytest.mark.parametrize("query", [{"mac": MAC}, {"imei": SN}, {"address": ADDRESS}, {"serial": SN}])
def test_search_without_a_match_returns_an_empty_page(query: dict[str, str]) -> None:
    assert admin("devices", "GET", "devices", query=query).json() == {"items": [], "next": None}


OWNED = {"name": None, "status": None, "fid": None, "shares": []}
SHOWN: list[tuple[Callable[[], str], dict[str, Any]]] = [
    (
        rufus,
        {"dialect": "rufus", "account": "acme", "serial": SN, "facts": {"model": "Model X1"}}
        | {"binding": {**OWNED, "holder": {"kind": "account", "id": "acme"}, "name": "Front door"}},
    ),
    (
        manufactured,
        {"dialect": "quectel", "product_key": PK, "serial": SN, "facts": {"module_type": None, "data_center": None}}
        | {"device_key_set": True, "binding": None},
    ),
    (
        registered,
        {
            "dialect": "asseco",
            "imei": SN,
            "facts": {},
            "binding": OWNED
            | {"holder": {"kind": "customer", "id": "MIGR00002"}, "name": "My Phone", "status": "active"},
        },
    ),
    (player, {"dialect": "vodlix", "mac": "A1B2C3D4E5F6", "facts": PLAYER, "binding": None}),
]


def test_video_device_is_shown_with_its_activity(now: int) -> None:
    device = player()
    activity = {"content_id": "1024", "content_type": "movie"}
    video_devices.record_activity(MAC, screen="content_info", **activity)
    shown = activity | {"current_screen": "content_info", "active_at": now}
    assert ask("GET", device).json()["facts"].items() >= shown.items()


@pytest.mark.parametrize(("make", "shown"), SHOWN)
def test_device_is_shown_with_identity_facts_state_and_owner(
    make: Callable[[], str], shown: dict[str, Any], now: int
) -> None:
    device = make()
    expected = NOBODY | STATE | shown | {"device": identity.opaque(device), "created_at": now, "users": []}
    if make is player:
        expected["facts"] = PLAYER | {"added_at": now}
    expected["state"] = "owned" if expected["binding"] else "stock"
    if expected["binding"]:
        expected["binding"] |= {"bound_at": now}
    answer = ask("GET", device)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == expected
    listed = {name: value for name, value in expected.items() if name not in OF_ONE}
    (word,) = [name for name in ("mac", "imei", "serial") if expected[name]]
    assert admin("devices", "GET", "devices", query={word: expected[word]}).json()["items"] == [listed]


def test_owner_is_shown_with_unexpired_shares_and_without_secrets(world: World, now: int) -> None:
    world.at_home()
    quectel.succeeded(world.ask())
    for uid, until in ((OTHER, now // 1000 + 1), (THIRD, now // 1000)):
        quectel.share(ME, uid, until)
    shown = ask("GET", DEVICE)
    assert DK not in shown.body
    shares = [{"uid": OTHER, "expires_at": (now // 1000 + 1) * 1000}]
    own = {"holder": {"kind": "user", "id": ME}, "bound_at": now, "name": "Smart lock", "fid": "F1", "shares": shares}
    assert shown.json()["binding"] == OWNED | own


def test_multi_mode_device_shows_each_user_without_ended_shares(registry: None, now: int) -> None:
    World(Mode.MULTI)
    quectel.succeeded(quectel.as_user(ME))
    quectel.share(ME, OTHER, now // 1000 + 1)
    quectel.share(ME, THIRD, now // 1000)
    shown = ask("GET", DEVICE).json()
    share = {"uid": OTHER, "kind": "share", "bound_at": None, "name": "Smart lock", "fid": None}
    assert shown["users"] == [
        {"uid": ME, "kind": "binding", "bound_at": now, "name": "Smart lock", "fid": None, "expires_at": None},
        share | {"expires_at": (now // 1000 + 1) * 1000},
    ]
    assert shown["binding"] is None


def test_first_hundred_users_are_shown(registry: None) -> None:
    World(Mode.MULTI)
    for number in range(101):
        users.create(f"u{number:03}", "smart", domain="E.DM.1")
        quectel.succeeded(quectel.as_user(f"u{number:03}"))
    assert [user["uid"] for user in ask("GET", DEVICE).json()["users"]] == [f"u{number:03}" for number in range(100)]


def devices_table() -> dict[str, Item]:
    return {item["pk"]: item for item in stored(Table.DEVICES)}


def test_second_ban_keeps_the_first_reason_and_unban_is_recorded(at: At) -> None:
    device = rufus()
    at(1000)
    first = ask("POST", device, "/ban", {"reason": " stolen "}).json()
    at(2000)
    again = ask("POST", device, "/ban", {"reason": "found broken"}, who="arn:other").json()
    assert first["ban"] == {"at": 1000, "reason": "stolen", "by": OPERATOR, "kind": "banned"}
    assert again == first
    for moment in (3000, 4000):
        at(moment)
        lifted = ask("POST", device, "/unban", who="arn:other").json()
        assert lifted["ban"] is None
        assert lifted["unbanned"] == {"at": 3000, "reason": "stolen", "by": "arn:other"}
    banned = ask("POST", device, "/ban", {"reason": "stolen again"}).json()
    assert banned["ban"] == {"at": 4000, "reason": "stolen again", "by": OPERATOR, "kind": "banned"}
    assert banned["unbanned"] is None


def unbind(device: str, uid: str | None = None) -> Response:
    return ask("POST", device, "/unbind", {"reason": "lost by its owner"}, query={} if uid is None else {"uid": uid})


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.ROTATING])
def test_unbind_ends_shares_and_the_family_list_entry(mode: Mode, now: int) -> None:
    world = World(mode)
    world.at_home()
    first = quectel.succeeded(world.ask())
    quectel.share(ME, OTHER, now // 1000 + 60)
    quectel.fill("F1", 1)
    answer = unbind(DEVICE)
    assert answer.status == 200
    assert answer.json()["binding"] is None
    assert answer.json()["unbound"] == {"at": now, "reason": "lost by its owner", "by": OPERATOR}
    assert without_acts(everything()) == []
    assert DEVICE not in quectel.common("F1")
    assert len(quectel.common("F1")) == 1
    users.set_home_mode(OTHER, True)
    assert quectel.succeeded(quectel.as_user(OTHER, fid="F2"))["authKey"] != first["authKey"]


@pytest.mark.parametrize("blocked", [False, True])
def test_unbind_unregisters_and_frees_identifier_and_nickname(blocked: bool) -> None:
    device = registered()
    if blocked:
        dynamodb.write(items.owner(device).update(set={"status": "blocked"}))
    assert unbind(device).json()["binding"]["status"] == "unregistered"
    assert [item["sk"] for item in without_acts(everything())] == ["owner"]
    assert unbind(device).status == 404
    registration("MIGR00003", SN, "My Phone")
    registration("MIGR00002", "OTHER", "my phone")


def test_unbind_in_multi_mode_affects_only_the_named_user(registry: None) -> None:
    World(Mode.MULTI)
    for uid in (ME, OTHER):
        quectel.succeeded(quectel.as_user(uid))
    quectel.share(OTHER, THIRD, clock.seconds() + 60)
    assert unbind(DEVICE).status == 404
    assert {user["uid"] for user in unbind(DEVICE, ME).json()["users"]} == {OTHER, THIRD}
    assert set(quectel.places()) == {OTHER, THIRD}
    assert unbind(DEVICE, ME).status == 404
    quectel.share(OTHER, ME, clock.seconds() + 60)
    assert unbind(DEVICE, ME).status == 200
    assert quectel.places()[OTHER]["shares"].keys() == {THIRD}
    assert set(quectel.places()) == {OTHER, THIRD}
    assert unbind(DEVICE, OTHER).json()["users"] == []
    assert without_acts(everything()) == []
    quectel.succeeded(quectel.as_user(ME))


def test_unassigned_address_is_free_for_another_device() -> None:
    device, other = identity.company_device(*RUFUS), player()
    rufus()
    for each in (device, other):
        services = [{"address": ADDRESS, "service": None, "port": None}]
        assert ask("PUT", each, "/address", {"address": ADDRESS}).json()["services"] == services
        assert ask("DELETE", each, "/address").json()["services"] == []
    assert stored(Table.DIRECTORY) == []


def test_disabled_device_keeps_its_owner_and_cannot_be_bound() -> None:
    world = World(Mode.MULTI)
    quectel.succeeded(world.ask())
    for _ in range(2):
        assert ask("POST", DEVICE, "/disable").json()["enabled"] is False
        quectel.refused(quectel.as_user(OTHER), 5009)
    assert [device["sn"] for device in quectel.ask(ME, "user_device_list").json()["data"]["list"]] == [SN]
    for _ in range(2):
        assert ask("POST", DEVICE, "/enable").json()["enabled"] is True
    quectel.succeeded(quectel.as_user(OTHER))


def row(number: int = 1, **members: Any) -> dict[str, Any]:
    return {"product_key": PK, "serial": f"N{number}", "device_key": f"KEY{number}", **members}


def send(*rows: Any, **members: Any) -> Any:
    answer = admin("devices", "POST", "devices/import", {"rows": rows, **members})
    assert answer.status == 200, answer.body
    return answer.json()


def report(created: int = 0, changed: int = 0, unchanged: int = 0, errors: Any = ()) -> dict[str, Any]:
    return {"created": created, "changed": changed, "unchanged": unchanged, "errors": list(errors)}


def test_import_writes_and_reports_only_new_or_changed_rows(world: World, now: int, at: At) -> None:
    rows = [row(1), row(2, module_type="BC27", data_center="eu"), row(3)]
    assert send(*rows) == report(created=3)
    made = devices_table()
    assert made[identity.manufactured_device(PK, "N2")] == {
        "pk": identity.manufactured_device(PK, "N2"),
        "dialect": "quectel",
        **row(2, module_type="BC27", data_center="eu"),
        "created_at": now,
        "changed_at": now,
        "changed_by": OPERATOR,
    }
    at(now + 1)
    stands = everything()
    assert send(*rows) == report(unchanged=3)
    assert everything() == stands
    changed = [row(1), row(2, data_center="eu"), row(3, device_key="OTHER"), row(4)]
    assert send(*changed, dry_run=True) == report(created=1, changed=2, unchanged=1)
    assert everything() == stands
    assert send(*changed) == report(created=1, changed=2, unchanged=1)
    after = devices_table()
    written = [device for device in after if after[device] != made.get(device)]
    assert written == [identity.manufactured_device(PK, f"N{number}") for number in (2, 3, 4)]
    assert after[identity.manufactured_device(PK, "N2")]["module_type"] is None


def test_import_keeps_owner_ban_activity_and_address(world: World) -> None:
    quectel.succeeded(world.ask())
    service_addresses.assign(ADDRESS, DEVICE)
    devices.ban(DEVICE, "stolen")
    devices.deactivate(DEVICE)
    devices.set_enabled(DEVICE, False)
    (stands,), bindings, directory = stored(Table.DEVICES), everything()["BINDINGS"], stored(Table.DIRECTORY)
    assert send(row(serial=SN)) == report(changed=1)
    (after,) = stored(Table.DEVICES)
    stamps = {name: after[name] for name in ("changed_at", "changed_by")}
    assert after == stands | {"device_key": "KEY1"} | stamps
    assert (everything()["BINDINGS"], stored(Table.DIRECTORY)) == (bindings, directory)


ROWS: list[tuple[Any, str, str]] = [
    (row(serial="  "), "missing", "serial: blank"),
    (row(serial=7), "string_type", "serial: Input should be a valid string"),
    (row(serial="x" * 129), "string_too_long", "serial: too long"),
    (row(data_center="d" * 33), "string_too_long", "data_center: String should have at most 32 characters"),
    (row(module="M"), "extra_forbidden", "Extra inputs are not permitted"),
    (row(product_key="p-unknown"), "product_unknown", "product_key: the product does not exist"),
    (row(device_key="a-b"), "string_pattern_mismatch", "device_key: must be 4 to 32 letters and digits"),
    (row(0, device_key="KEY9"), "repeated", "An earlier row is for the same record"),
    ("N1", "model_type", "Input should be a valid dictionary or instance of ManufacturedDevice"),
]


def test_invalid_rows_are_reported_in_order_without_values_and_skipped(world: World) -> None:
    errors = [{"row": number, "problem": problem, "message": text} for number, (_, problem, text) in enumerate(ROWS, 1)]
    rows = [row(0, device_key="KEY0"), *(wrong for wrong, _, _ in ROWS), row(9)]
    assert send(*rows) == report(created=2, errors=errors)
    assert len(stored(Table.DEVICES)) == 3
    assert devices_table()[identity.manufactured_device(PK, "N0")]["device_key"] == "KEY0"
    assert admin("devices", "POST", "devices/import", {"rows": [{}] * 501}).status == 422


@pytest.mark.parametrize(("device_key", "code"), [(None, 5067), (" ", 5067), ("84:15", 5361), ("\u00e4" * 64, 5361)])
def test_device_without_a_valid_key_is_imported_but_not_bindable(
    device_key: str | None, code: int, world: World
) -> None:
    rows = {"rows": [row(serial=SN, device_key=device_key)]}
    entered = admin("devices", "POST", "devices/import", rows | {"unbindable": True})
    assert entered.json() == report(changed=1)
    quectel.refused(world.ask(), code)
    assert send(row(serial=SN)) == report(changed=1)
    quectel.succeeded(world.ask())


@pytest.mark.parametrize(("obstacle", "lifting"), [("ban", "unban"), ("deactivate", "activate")])
def test_service_addresses_are_assigned_again_when_connections_are_allowed_again(obstacle: str, lifting: str) -> None:
    device = rufus()
    service_addresses.assign(ADDRESS, device)

    def assignments() -> list[str]:
        named = item_at(items.service_address(ADDRESS)), item_at(items.device(device))["services"][ADDRESS]
        return [each["assignment"] for each in named]

    assigned = assignments()
    assert ask("POST", device, f"/{obstacle}", {"reason": "stolen"} if obstacle == "ban" else None).status == 200
    assert ask("POST", device, f"/{lifting}").status == 200
    again = assignments()
    assert again[0] == again[1] != assigned[0] == assigned[1]
