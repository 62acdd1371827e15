"""vodlix: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable

import pytest

from bindery.directory import settings
from bindery.registry import devices
from tests import vodlix
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_operators, operator
from tests.invariants import broken
from tests.vodlix import DEVICE, FACTS, MAC


def add(version: str) -> Request:
    body = {"mac_address": MAC} | dict.fromkeys(FACTS, version)
    return Request(f"add {version}", lambda: vodlix.add(body), gains="bind")


def show(screen: str) -> Request:
    body = {"mac_address": MAC, "current_screen": screen}
    return Request(f"show {screen}", lambda: vodlix.record(body))


def look() -> Request:
    return Request("look", lambda: vodlix.check({"mac_address": MAC}))


BAN, UNBAN, _ = of_operators(DEVICE)
SWITCH_OFF = operator("switch off", "settings", "PUT", f"settings/{settings.DEVICE_MANAGEMENT}", {"value": 0})


def added() -> None:
    assert add("1").ask().status == 200


GIVEN: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "added": added,
    "banned": lambda: (added(), devices.ban(DEVICE, "stolen")),
}
CASES: dict[str, tuple[str, Callable[[], list[Request]]]] = {
    "two add": ("nothing", lambda: [add("2"), add("3")]),
    "two add again": ("added", lambda: [add("2"), add("3")]),
    "three add again": ("added", lambda: [add("2"), add("3"), add("4")]),
    "an add and a ban": ("added", lambda: [add("2"), BAN]),
    "an add and a ban of an unknown device": ("nothing", lambda: [add("2"), BAN]),
    "an add and an unban": ("banned", lambda: [add("2"), UNBAN]),
    "an add, a ban and an unban": ("added", lambda: [add("2"), BAN, UNBAN]),
    "two add and a ban": ("added", lambda: [add("2"), BAN, add("3")]),
    "an activity and a ban": ("added", lambda: [show("home"), BAN]),
    "an activity and an add": ("nothing", lambda: [show("home"), add("2")]),
    "two activities": ("added", lambda: [show("home"), show("menu")]),
    "an activity, an add and a ban": ("added", lambda: [show("home"), add("2"), BAN]),
    "a check, a ban and an unban": ("added", lambda: [look(), BAN, UNBAN]),
    "a check and an add": ("nothing", lambda: [look(), add("2")]),
    "an add and the switch": ("added", lambda: [add("2"), SWITCH_OFF]),
}


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("case", CASES)
def test_every_schedule_is_equivalent_to_some_order(case: str) -> None:
    given, asked = CASES[case]
    GIVEN[given]()
    assert schedules.check(asked(), broken) > 1
