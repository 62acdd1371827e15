"""Bulk changes of devices, through the handler: outcomes, acts, repetition, and what others changed."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.operators import bulk, forced_unbind
from bindery.operators.resource import BulkAct
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests import quectel
from tests.concurrency.races import before
from tests.http_api import OPERATOR, Response, admin
from tests.operators.remains import player
from tests.quectel import DEVICE, ME, OTHER, PK, THIRD, World
from tests.records import ADDRESS, company_device, registration
from tests.tables import acts_in, everything, item_at, without_acts

pytestmark = pytest.mark.usefixtures("registry")

JOB, SECOND_JOB = "1" * 32, "2" * 32
BEGAN = clock.now()
CHANGED = "Changed since the job began, so it was left alone."


@pytest.fixture(autouse=True)
def one_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write one line after the other: moto's transactions are not thread-safe."""
    monkeypatch.setattr(bulk, "_WRITERS", 1)


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the time, in milliseconds since the job began."""

    def travel(moment: int) -> None:
        monkeypatch.setattr(clock, "now", lambda: BEGAN + moment)

    travel(-1000)
    return travel


def ask(act: str, *lines: Any, **body: Any) -> Response:
    given = [line if isinstance(line, dict) else {"device": identity.opaque(line)} for line in lines]
    whole = {"began_at": BEGAN, "job": JOB, "devices": given}
    if bulk.ACTS[act].needs_reason:
        whole["reason"] = "recalled"
    return admin("devices", "POST", f"devices/bulk/{act}", whole | body)


def outcomes(act: str, *lines: Any, **body: Any) -> list[tuple[str, str | None]]:
    answer = ask(act, *lines, **body)
    assert answer.status == 200, answer.body
    return [(line["outcome"], line["problem"]) for line in answer.json()["outcomes"]]


def results(act: str, *lines: Any, **body: Any) -> list[str]:
    return [result for result, _ in outcomes(act, *lines, **body)]


def did() -> list[str]:
    return [act["did"] for act in acts_in(everything())]


def line(device: str, **more: Any) -> dict[str, Any]:
    return {"device": identity.opaque(device), **more}


def as_other(change: Callable[[], object]) -> None:
    with dynamodb.acting("arn:other"):
        change()


def manufactured(count: int) -> list[str]:
    World()
    return [devices.manufacture(PK, f"B{number:03}", device_key=f"{number:012X}") for number in range(count)]


def bound() -> str:
    quectel.succeeded(World().ask())
    return DEVICE


# Each act, the devices that it changes, and the state after it, which the act does not change again.
CASES: dict[str, tuple[Callable[[str], object], str, Callable[[items.Device], object]]] = {
    "ban": (lambda device: None, "banned", lambda device: device.get("banned_at")),
    "unban": (lambda device: devices.ban(device, "stolen"), "unbanned", lambda device: "banned_at" not in device),
    "disable": (lambda device: None, "disabled", lambda device: device.get("disabled")),
    "enable": (lambda device: devices.set_enabled(device, False), "enabled", lambda device: "disabled" not in device),
    "deactivate": (lambda device: None, "deactivated", lambda device: device.get("inactive")),
    "activate": (lambda device: devices.deactivate(device), "activated", lambda device: "inactive" not in device),
    "lost": (lambda device: None, "lost", lambda device: device.get("ban_kind") == "lost"),
    "found": (lambda device: devices.ban(device, "a", kind="lost"), "found", lambda device: "banned_at" not in device),
    "retire": (lambda device: None, "retired", lambda device: device.get("ban_kind") == "retired"),
}
OTHERS: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "ban": (lambda: devices.ban(DEVICE, "stolen"), lambda: devices.unban(DEVICE)),
    "unban": (lambda: devices.unban(DEVICE), lambda: devices.ban(DEVICE, "stolen again")),
    "disable": (lambda: devices.set_enabled(DEVICE, False), lambda: devices.set_enabled(DEVICE, True)),
    "enable": (lambda: devices.set_enabled(DEVICE, True), lambda: devices.set_enabled(DEVICE, False)),
    "deactivate": (lambda: devices.deactivate(DEVICE), lambda: devices.activate(DEVICE)),
    "activate": (lambda: devices.activate(DEVICE), lambda: devices.deactivate(DEVICE)),
    "assign": (
        lambda: service_addresses.assign(ADDRESS, DEVICE),
        lambda: service_addresses.withdraw_from(DEVICE),
    ),
    "unassign": (
        lambda: service_addresses.withdraw_from(DEVICE),
        lambda: service_addresses.assign(ADDRESS, DEVICE),
    ),
}
"""By act: the same change, and its reversal, by code without a job."""


def ready(act: str) -> Any:
    """Create the device in a state that an act changes. Return the line of a request."""
    World()
    if act == "unassign":
        service_addresses.assign(ADDRESS, DEVICE)
    elif act != "assign":
        CASES[act][0](DEVICE)
    return line(DEVICE, address=ADDRESS) if act in ("assign", "unassign") else DEVICE


def test_acts_of_the_api_are_those_of_the_layer() -> None:
    assert BulkAct.__origin__.__args__ == tuple(bulk.ACTS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("act", CASES)
def test_act_is_done_once_on_each_device(act: str, at: Callable[[int], None]) -> None:
    given, name, holds = CASES[act]
    made = manufactured(3)
    for device in made:
        given(device)
    at(5)
    assert results(act, *made, dry_run=True) == ["done"] * 3
    assert did() == []
    assert results(act, *made) == ["done"] * 3
    assert did() == [name] * 3
    assert all(holds(dict(item_at(items.device(device)))) for device in made)  # type: ignore[arg-type]
    after = everything()
    at(9)
    assert results(act, *made) == ["done"] * 3
    assert results(act, *made, job=SECOND_JOB) == results(act, *made, job=None) == ["unchanged"] * 3
    assert everything() == after


def test_history_names_the_operator_reason_and_job(at: Callable[[int], None]) -> None:
    (device,) = manufactured(1)
    at(5)
    ask("ban", device)
    (act,) = acts_in(everything())
    assert (act["did"], act["reason"], act["by"], act["at"]) == ("banned", "recalled", OPERATOR, BEGAN + 5)
    assert act["changed_in"] == item_at(items.device(device))["changed_in"] == f"{BEGAN + 5}-{JOB}"


def test_each_line_has_its_own_outcome(at: Callable[[int], None]) -> None:
    made = manufactured(1)
    rufus = company_device("acme", "B000")
    asked = [made[0], {"device": "YR"}, {"device": "*"}, {"device": ""}, identity.manufactured_device(PK, "no"), rufus]
    not_one = ("refused", "Not the id of a device.")
    assert outcomes("disable", *asked) == [
        ("done", None),
        *(not_one, not_one, not_one, ("refused", "The device does not exist.")),
        ("refused", "Only a device that was manufactured (quectel) is disabled; others are banned."),
    ]
    assert did() == ["disabled"]


def test_request_without_devices_returns_the_time() -> None:
    body = {"devices": [], "dry_run": True}
    answer = admin("devices", "POST", "devices/bulk/enable", body).json()
    assert answer == {"began_at": BEGAN - 1000, "ended_at": BEGAN - 1000, "outcomes": []}


def test_devices_are_named_by_identifiers() -> None:
    World()
    phone = registration("MIGR00002", "356", "My Phone")
    video = player()
    rufus = company_device("acme", "R1")
    company_device("acme", quectel.SN)
    named: list[tuple[dict[str, str], str]] = [
        ({"product_key": PK, "serial": f" {quectel.SN} "}, DEVICE),
        ({"imei": "356"}, phone),
        ({"mac": "a1b2c3d4e5f6"}, video),
        ({"serial": "R1"}, rufus),
    ]
    answer = ask("ban", *(given for given, _ in named)).json()["outcomes"]
    assert [(line["outcome"], line["device"]) for line in answer] == [
        ("done", identity.opaque(device)) for _, device in named
    ]
    one = "Name a device by one of device, serial (with or without product_key), imei and mac."
    long = ("refused", "serial must have 1 to 128 characters.")
    assert outcomes("ban", {"serial": " "}, {"serial": "x" * 129}) == [long, long]
    several = "Several devices have this serial number. Specify product_key, or device."
    assert outcomes("ban", {"serial": quectel.SN}, {"serial": "R2"}, {}, {"mac": "x", "imei": "y"}) == [
        ("refused", why) for why in (several, "No device has this serial number.", one, one)
    ]


@pytest.mark.parametrize("act", OTHERS)
def test_change_by_another_operator_is_not_reverted(act: str, at: Callable[[int], None]) -> None:
    asked = ready(act)
    at(5)
    assert results(act, asked) == ["done"]
    at(6)
    as_other(OTHERS[act][1])
    after = everything()
    at(7)
    assert outcomes(act, asked) == [("refused", CHANGED)]
    assert everything() == after
    # A job that begins later does it.
    assert results(act, asked, job=SECOND_JOB, began_at=BEGAN + 6) == ["done"]


@pytest.mark.parametrize("act", OTHERS)
def test_concurrent_change_by_another_operator_is_not_reverted(
    act: str, at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ready(act)

    def there_and_back() -> None:
        for moment, change in enumerate(OTHERS[act], 6):
            at(moment)
            as_other(change)

    at(5)
    before(monkeypatch, "TransactWriteItems", there_and_back)
    assert outcomes(act, asked) == [("refused", CHANGED)]
    assert {change["by"] for change in acts_in(everything())} == {"arn:other"}


def test_same_change_by_another_operator_leaves_the_line_unchanged(
    at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    World()
    at(5)
    before(monkeypatch, "TransactWriteItems", lambda: as_other(lambda: devices.ban(DEVICE, "stolen")))
    assert results("ban", DEVICE) == ["unchanged"]
    assert item_at(items.device(DEVICE))["ban_reason"] == "stolen"


def test_job_undoes_only_what_the_other_job_did(at: Callable[[int], None]) -> None:
    made = manufactured(4)
    devices.ban(made[0], "stolen")
    at(5)
    assert results("ban", *made[:3]) == ["unchanged", "done", "done"]
    assert results("ban", made[3], job="3" * 32) == ["done"]
    at(6)
    as_other(lambda: devices.unban(made[2]))
    as_other(lambda: devices.ban(made[2], "stolen again"))
    undo = {"job": SECOND_JOB, "undoes": JOB, "began_at": BEGAN + 5}
    not_done = ("refused", "Not changed by the job that is undone, or changed by another job since.")
    for _ in range(2):
        assert outcomes("unban", *made, **undo) == [not_done, ("done", None), ("refused", CHANGED), not_done]
    assert did().count("unbanned") == 2


def test_binding_is_ended_once(at: Callable[[int], None]) -> None:
    made = [bound(), company_device("acme", "B000"), registration("MIGR00002", "B000", "My Phone")]
    free = devices.manufacture(PK, "FREE", device_key="ABCD1234")
    at(5)
    assert results("unbind", *made, free) == ["done"] * 3 + ["unchanged"]
    assert did() == ["ended"] * 3
    assert [item["sk"] for item in without_acts(everything())] == ["owner"]  # the unregistered phone
    after = everything()
    assert results("unbind", *made, free) == ["done"] * 3 + ["unchanged"]
    assert everything() == after


def test_binding_after_the_job_began_is_kept(at: Callable[[int], None]) -> None:
    world = World()
    quectel.succeeded(world.ask())
    at(5)
    assert results("unbind", DEVICE) == ["done"]
    at(6)
    quectel.succeeded(world.ask())
    assert outcomes("unbind", DEVICE) == [("refused", CHANGED)]
    assert forced_unbind.holders(DEVICE)[0] is not None


def test_binding_that_is_replaced_concurrently_is_kept(
    at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    quectel.succeeded(world.ask())

    def bind_again() -> None:
        with dynamodb.acting(None):
            forced_unbind.end(DEVICE, "lost")
            quectel.succeeded(world.ask())

    at(5)
    before(monkeypatch, "TransactWriteItems", bind_again)
    assert outcomes("unbind", DEVICE) == [("refused", CHANGED)]
    assert forced_unbind.holders(DEVICE)[0] is not None


def test_unbind_in_multi_mode_ends_all_bindings_or_that_of_a_user(at: Callable[[int], None]) -> None:
    World(Mode.MULTI)
    for uid in (ME, OTHER):
        quectel.succeeded(quectel.as_user(uid))
    quectel.share(OTHER, THIRD, clock.seconds() + 600)
    at(5)
    assert results("unbind", line(DEVICE, uid=ME), line(DEVICE, uid="nobody")) == ["done", "unchanged"]
    assert set(quectel.places()) == {OTHER, THIRD}
    at(6)
    quectel.succeeded(quectel.as_user(ME))
    assert results("unbind", DEVICE) == ["done"]
    # Its binding is newer than the job.
    assert set(quectel.places()) == {ME}


@pytest.mark.parametrize("act", ["retire", "return"])
def test_act_that_ends_bindings_leaves_later_ones_alone(act: str, at: Callable[[int], None]) -> None:
    world = World()
    at(5)
    quectel.succeeded(world.ask())
    assert outcomes(act, DEVICE) == [("refused", CHANGED)]
    assert forced_unbind.holders(DEVICE)[0] is not None


def test_deleted_device_is_not_an_error_when_the_request_is_repeated(at: Callable[[int], None]) -> None:
    made = manufactured(2)
    quectel.succeeded(quectel.as_user(ME))
    at(5)
    held = ("refused", "1 user holds the device. End the binding first: bindery devices unbind DEVICE")
    for dry_run in (True, False):
        assert outcomes("delete", *made, DEVICE, dry_run=dry_run) == [("done", None), ("done", None), held]
    assert results("delete", *made) == ["unchanged"] * 2
    assert results("delete", *made, dry_run=True) == ["refused"] * 2


def test_bans_of_other_kinds_are_not_lifted(at: Callable[[int], None]) -> None:
    made = manufactured(3)
    at(5)
    assert results("retire", made[0]) == results("lost", made[1]) == results("ban", made[2]) == ["done"]
    assert results("unban", *made, job=SECOND_JOB, began_at=BEGAN + 6) == ["refused", "refused", "done"]
    assert results("found", *made[:2], job=SECOND_JOB, began_at=BEGAN + 6) == ["refused", "done"]
    assert results("return", *made, job="3" * 32, began_at=BEGAN + 6) == ["done", "unchanged", "unchanged"]


def test_addresses_are_assigned_and_removed(at: Callable[[int], None]) -> None:
    made = manufactured(3)
    at(5)
    asked = [
        line(made[0], address=ADDRESS.lower(), service="ssh", port=22),
        line(made[1], address=ADDRESS[:-1] + "9"),
        line(made[2], address="nowhere"),
        line(made[2]),
    ]
    wrong = ["'nowhere' is not a service address.", "The line has no service address."]
    assert outcomes("assign", *asked) == [("done", None)] * 2 + [("refused", why) for why in wrong]
    taken = ("refused", "A device has this service address already.")
    assert outcomes("assign", line(made[2], address=ADDRESS)) == [taken]
    assert did() == ["address_assigned"] * 2
    assert results("unassign", asked[0], made[1], made[2]) == ["done", "done", "unchanged"]
    assert did().count("address_removed") == 2
    assert item_at(items.device(made[0]))["services"] == {}


def test_device_with_sixteen_addresses_gets_no_other(at: Callable[[int], None]) -> None:
    World()
    for number in range(service_addresses.LIMIT):
        service_addresses.assign(f"80:00:00:00:00:00:01:{number:02X}", DEVICE)
    refused = ("refused", "The device has 16 service addresses already.")
    assert outcomes("assign", line(DEVICE, address=ADDRESS)) == [refused]
