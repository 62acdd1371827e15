"""Events for operators: pages, verification, the log of all events, and what could not be recorded."""

import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ConnectionFailed
from bindery.core import clock, env
from bindery.feed import chain, people
from bindery.feed.chain import Draft
from bindery.operators import device_deletion, history, history_check
from bindery.registry import devices, identity, items
from tests import moto_registry
from tests.feed import Feed
from tests.http_api import OPERATOR, Response, admin
from tests.operators.conftest import At
from tests.records import company_device, registration
from tests.tables import item_at, stored

pytestmark = pytest.mark.usefixtures("registry")

NOON = 1_795_176_000_000
"""2026-11-20 at 12:00."""
DAY = 86_400_000


def record(
    device: str, kind: str, number: int = 0, *, person: str | None = None, operator: str | None = None, **data: Any
) -> items.Event:
    """Record an event of a device, with an id and time that follow from its number."""
    public = {"device": identity.opaque(device), "api": device.partition("#")[0], **data}
    named = frozenset({person} if person else ())
    draft = Draft(f"{number:032x}", kind, NOON + number, device, public, f"record-{number}", named, operator)
    (event,) = chain.append(draft)
    return event


def shown(event: items.Event) -> dict[str, Any]:
    return {**chain.as_public(event), "recorded_at": int(event["time"][:13])}


def ask(path: str, **query: Any) -> Response:
    return admin("history", "GET", f"history/{path}", query=query)


def of_device(device: str, action: str = "", **query: Any) -> Response:
    return ask(f"devices/{identity.opaque(device)}{action}", **query)


def owner(device: str) -> str:
    """Return the id of a device's binding."""
    return str(item_at(items.owner(device))["binding"])


def held(device: str, number: int = 0) -> None:
    """Record a device's registration and binding."""
    record(device, "device.registered", number)
    holder = {"kind": "account", "id": "acme"}
    record(device, "device.bound", number + 1, binding=owner(device), holder=holder, exclusive=True)


@pytest.fixture(name="at")
def _at(at: At) -> At:
    """Set the time, at first to noon."""
    at(NOON)
    return at


def test_device_history_is_paginated_oldest_first(at: At) -> None:
    device = company_device()
    events = [shown(record(device, "device.renamed", number)) for number in range(3)]
    first = of_device(device, limit=2).json()
    rest = of_device(device, limit=2, cursor=first["next"]).json()
    assert (first["items"], rest) == (events[:2], {"items": events[2:], "next": None})
    assert [event["seq"] for event in events] == [1, 2, 3]


def test_expired_events_are_not_shown(at: At) -> None:
    device = company_device()
    record(device, "device.renamed", 1)
    at(NOON + 399 * DAY)
    later = shown(record(device, "device.renamed", 2))
    assert len(of_device(device).json()["items"]) == 2
    at(NOON + 400 * DAY)
    assert of_device(device).json() == {"items": [later], "next": None}
    verified = of_device(device, "/verify").json()
    assert (verified["events"], verified["first_seq"], verified["problem"]) == (1, 2, None)
    assert ask(f"events/{1:032x}").status == 404


def test_device_without_events_has_an_empty_history(at: At) -> None:
    device = company_device()
    assert of_device(device).json() == {"items": [], "next": None}
    state = {"agrees": False, "differs": ["The history has no events of the device."]}
    assert of_device(device, "/verify").json()["state"] == state


def verify(device: str) -> Any:
    answer = of_device(device, "/verify")
    assert answer.status == 200
    return answer.json()


def test_intact_history_agrees_with_the_registry(at: At) -> None:
    device = company_device()
    held(device)
    devices.ban(device, "stolen")
    record(device, "device.banned", 2, operator=OPERATOR)
    state = {"agrees": True, "differs": []}
    assert verify(device) == {"events": 3, "first_seq": 1, "problem": None, "state": state}


def test_problem_between_two_reads_is_detected(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_check, "_BATCH", 1)
    device = company_device()
    held(device)
    record(device, "device.renamed", 2)
    assert (verify(device)["events"], verify(device)["problem"]) == (3, None)
    dynamodb.write(items.event(device, 2).delete())
    missing = {"seq": 3, "what": "The event before it is number 1: events are missing."}
    assert verify(device)["problem"] == missing
    monkeypatch.setattr(history_check, "EVENT_LIMIT", 1)
    assert of_device(device, "/verify").json()["detail"] == "The device has more than 1 events: export them."


def test_registry_that_differs_from_the_history_is_reported(at: At) -> None:
    device = company_device()
    record(device, "device.registered")
    record(device, "device.bound", 1, binding="gone", holder={}, exclusive=True)
    record(device, "device.online", 2, binding="gone")
    devices.ban(device, "stolen")
    devices.deactivate(device)
    assert verify(device)["state"] == {
        "agrees": False,
        "differs": [
            "By the history, binding gone lasts. It is not in the registry.",
            f"By the registry, binding {owner(device)} lasts. It is not in the history.",
            "The device is banned by the registry, but not by the history.",
            "The device is inactive by the registry, but not by the history.",
            "The device is connected by the history, but not by the registry.",
        ],
    }


def test_state_from_before_the_first_event_is_not_reported(at: At) -> None:
    device = company_device()
    devices.ban(device, "stolen")
    for number in range(2):
        record(device, "device.renamed", number)
    dynamodb.write(items.event(device, 1).delete())
    assert verify(device)["state"] == {"agrees": True, "differs": []}


def test_ended_registration_is_not_a_binding(at: At) -> None:
    device = registration("MIGR00002")
    record(device, "device.registered")
    record(device, "device.bound", 1, binding=owner(device), holder={}, exclusive=True)
    assert verify(device)["state"]["agrees"] is True
    record(device, "device.unbound", 2, binding=owner(device), holder={})
    assert verify(device)["state"]["agrees"] is False
    dynamodb.write(items.registration(device).update(set={"status": "unregistered"}))
    assert verify(device)["state"]["agrees"] is True


@pytest.mark.parametrize(
    ("path", "holder"),
    [
        ("users/ada", identity.user_holder("ada")),
        (f"customers/{identity.opaque('auth0|5f/7c')}", identity.customer_holder("auth0|5f/7c")),
    ],
)
def test_history_of_a_person_has_their_events_of_all_devices(at: At, path: str, holder: str) -> None:
    assert ask(path).json()["detail"] == "No events concern this person."
    person, other = people.pseudonym(holder, clock.now()), people.pseudonym(identity.user_holder("ben"), clock.now())
    events = [
        shown(record(f"rufus#a#{number}", "device.renamed", number, person=other if number == 1 else person))
        for number in range(4)
    ]
    first = ask(path, limit=2).json()
    assert first == {"items": [events[0], events[2]], "next": first["next"], "person": person}
    assert ask(path, limit=2, cursor=first["next"]).json() == {"items": [events[3]], "next": None, "person": person}


def test_operators_acts_are_merged_and_paginated(at: At) -> None:
    events = [
        shown(record(f"rufus#a#{number % 9}", "device.banned", number, operator=OPERATOR)) for number in range(15)
    ]
    record("rufus#a#1", "device.banned", 99, operator=f"{OPERATOR}2")
    pages = [ask("operators", operator=OPERATOR, since=NOON + 3, limit=5).json()]
    while cursor := pages[-1]["next"]:
        pages.append(ask("operators", operator=OPERATOR, since=NOON + 3, limit=5, cursor=cursor).json())
    assert [event for page in pages for event in page["items"]] == events[3:]
    assert [len(page["items"]) for page in pages] == [5, 5, 2]
    assert ask("operators", operator="nobody").json() == {"items": [], "next": None}


class Reader:
    """A client of the log that keeps its cursor."""

    def __init__(self, **query: Any) -> None:
        self.query = {"limit": 16, **query}

    def page(self) -> tuple[list[str], bool]:
        """Return the devices of the next events, and whether there are more."""
        answer = ask("events", **self.query)
        assert answer.status == 200
        page = answer.json()
        self.query = {"limit": self.query["limit"], "after": page["next"]}
        return [event["chain"] for event in page["items"]], page["more"]

    def rest(self) -> list[str]:
        """Return the devices of all events up to the end of the log."""
        found, more = self.page()
        while more:
            devices, more = self.page()
            found += devices
        return found


def named(number: int) -> str:
    return identity.opaque(f"rufus#a#{number}")


def recorded(at: At, number: int, moment: int) -> str:
    """Record an event of its own device at a time, and return the device."""
    at(moment)
    record(f"rufus#a#{number}", "device.renamed", number)
    return named(number)


def test_log_has_all_events_in_the_order_of_recording(at: At) -> None:
    made = [recorded(at, number, NOON + number * 1000) for number in range(20)]
    at(NOON + DAY // 4)
    assert ask("events", since=NOON, limit=16).json()["items"][0] == shown(chain.read("rufus#a#0")[0])
    assert Reader(since=NOON + 10_000, limit=100).rest() == made[10:]
    pages, more = [], True
    reader = Reader(since=NOON)
    while more:
        page, more = reader.page()
        pages.append(page)
    assert [device for page in pages for device in page] == made
    assert max(map(len, pages)) <= 16


def test_log_continues_on_the_next_day(at: At) -> None:
    midnight = NOON + DAY // 2
    made = [recorded(at, number, midnight + (number - 2) * 20_000) for number in range(4)]
    made.append(recorded(at, 5, midnight + 25 * DAY))
    assert Reader(since=NOON).rest() == made


def test_log_begins_with_the_oldest_event_that_is_kept(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_DAYS", "12")
    env.clear_cache()
    recorded(at, 1, NOON)
    kept = recorded(at, 2, NOON + 2 * DAY)
    at(NOON + 13 * DAY)
    assert Reader().rest() == Reader(since=5).rest() == [kept]


def test_polling_reader_gets_events_that_appear_late(at: At) -> None:
    at(NOON)
    reader = Reader(since=NOON)
    with moto_registry.late_indexes():
        late = recorded(at, 1, NOON + 1000)
        assert reader.page() == ([], False)
    made = recorded(at, 2, NOON + 2000)
    assert reader.page() == ([late, made], False)
    at(NOON + 11_000)
    assert reader.page() == ([late, made], False)
    at(NOON + 22_000)
    assert [reader.page() for _ in range(2)] == [([late, made], False), ([], False)]


def test_late_events_are_not_lost_between_pages(at: At) -> None:
    made = [recorded(at, number, NOON + number) for number in range(2, 22)]
    reader = Reader(since=NOON)
    first, more = reader.page()
    assert more
    late = recorded(at, 1, NOON + 1)
    at(NOON + 100_000)
    assert [*first, *reader.rest()] == made
    assert late in reader.page()[0]


def poison(number: int, change: Any = None) -> dynamodb.Key[Any]:
    """Store a change that could not be recorded, by default one without content, and return its key."""
    content = {"eventID": f"record-{number}"} if change is None else change
    key = items.unrecorded(NOON + number, content["eventID"])
    dynamodb.write(key.put({"record": json.dumps(content), "error": "KeyError"}))
    return key


def retry(**query: Any) -> Any:
    return admin("history", "POST", "history/unrecorded/retry", query=query).json()


def test_unrecorded_changes_are_listed_without_their_content() -> None:
    for number in range(2):
        poison(number)
    listed = ask("unrecorded", limit=1).json()
    assert listed["items"] == [{"id": "record-0", "at": NOON, "error": "KeyError"}]
    rest = ask("unrecorded", cursor=listed["next"]).json()
    assert rest == {"items": [{"id": "record-1", "at": NOON + 1, "error": "KeyError"}], "next": None}


def test_retry_records_what_can_be_recorded_now(feed: Feed, at: At) -> None:
    device = company_device()
    changes = feed.pending()
    poison(1)
    for number, change in enumerate(changes):
        poison(number, change)
    assert retry() == {"recorded": len(changes), "left": 1, "next": None}
    assert [event["type"] for event in of_device(device).json()["items"]] == ["device.registered", "device.bound"]
    assert feed.bus.published == [chain.as_public(event) for event in chain.read(device)]
    assert [item["sk"] for item in stored(Table.HISTORY) if item["pk"] == "unrecorded"] == [f"{NOON + 1}#record-1"]


def test_retry_of_a_deletion_removes_the_device_from_all_lists(feed: Feed, at: At) -> None:
    device = devices.manufacture("p1", "S1", device_key="ABCD1234")
    feed.record()
    with dynamodb.acting(OPERATOR):
        device_deletion.delete(device)
    for change in feed.pending():
        poison(0, change)
    assert retry()["left"] == 0
    assert chain.read(device)[-1]["type"] == "device.deleted"
    listed = ("devices#", "listing#", "serial#")
    assert [item for item in stored(Table.HISTORY) if item["pk"].startswith(listed)] == []


def test_retries_are_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "RETRIES", 1)
    for number in range(2):
        poison(number)
    done = [retry()]
    while cursor := done[-1]["next"]:
        done.append(retry(cursor=cursor))
    left = [each["left"] for each in done]
    assert (sum(left), max(left)) == (2, 1)
    assert len(stored(Table.HISTORY)) == 2


def test_temporary_failure_of_a_retry_keeps_the_change(feed: Feed, at: At) -> None:
    company_device()
    key = poison(0, feed.records[0])
    feed.bus.answers = [ConnectionFailed("closed")]
    assert retry()["reason"] == "unavailable"
    assert dynamodb.get(key) is not None
    assert retry()["recorded"] == 1
    assert dynamodb.get(key) is None
