"""Commands about events: what they print, and that an export can be continued and checked."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.feed import chain, people
from bindery.feed.chain import Draft
from bindery.registry import devices, identity, items
from tests.command_line import Bindery, InProcess
from tests.http_api import OPERATOR
from tests.records import company_device
from tests.tables import item_at
from tools import check_history
from tools.cli import client, events

pytestmark = pytest.mark.usefixtures("registry")

NOON = 1_795_176_000_000
"""2026-11-20 at 12:00."""
LAMP = identity.manufactured_device("lamp", "SN0000000001")
LAMP_ID = identity.opaque(LAMP)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    made = InProcess()
    monkeypatch.setattr(client, "connect", lambda *_: made)
    return made


@pytest.fixture(autouse=True)
def _soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time to a day after the events, which expire after `HistoryDays`."""
    monkeypatch.setattr(clock, "now", lambda: NOON + 86_400_000)


def record(number: int, kind: str = "device.renamed", device: str = LAMP, **data: Any) -> items.Event:
    """Record an event at a time that follows from its number."""
    public = {"device": identity.opaque(device), "api": "quectel", **data}
    persons = frozenset(value["id"] for value in data.values() if isinstance(value, dict))
    draft = Draft(f"{number:032x}", kind, NOON + number, device, public, "record", persons, data.get("operator"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: NOON + number)
        (event,) = chain.append(draft)
    return event


def ada() -> dict[str, str]:
    return {"kind": "user", "id": str(people.pseudonym(identity.user_holder("ada"), clock.now()))}


def test_device_history_is_readable_at_80_columns(bindery: Bindery) -> None:
    holder = ada()
    record(0, "device.bound", binding="b1", holder=holder, exclusive=True)
    record(1000, "device.unbound", binding="b1", holder=holder, cause="operator", operator=OPERATOR, reason="sold")
    shown = bindery(f"devices history {LAMP_ID} --output table")
    assert shown.stdout.splitlines() == [
        "EVENT",
        "  DETAILS",
        "2026-11-20T12:00:00Z  device.bound",
        f"  holder user {holder['id']}, exclusive yes",
        "2026-11-20T12:00:01Z  device.unbound",
        f"  holder user {holder['id']}, cause operator, operator {OPERATOR}, reason sold",
    ]
    assert [event["seq"] for event in json.loads(bindery(f"devices history {LAMP_ID}").stdout)] == [1, 2]


def test_history_of_a_person_is_shown_with_the_pseudonym(bindery: Bindery) -> None:
    holder = ada()
    record(0, binding="b1", holder=holder)
    customer = people.pseudonym(identity.customer_holder("auth0|5f/7c"), clock.now())
    record(1, binding="b2", holder={"kind": "customer", "id": customer})
    shown = bindery("users history ada --output table")
    assert shown.stderr == f"The pseudonym in these events is {holder['id']}.\n"
    event = f"2026-11-20T12:00:00Z  device.renamed  {LAMP_ID}"
    assert shown.stdout.splitlines() == ["EVENT", "  DETAILS", event, f"  holder user {holder['id']}"]
    (found,) = json.loads(bindery("issued history 'auth0|5f/7c'").stdout)
    assert found["data"]["holder"]["id"] == customer
    missing = bindery("users history nobody")
    assert (missing.exit_code, missing.stderr) == (3, "bindery: No events concern this person.\n")


def test_operators_acts_are_listed_since_a_day(bindery: Bindery) -> None:
    for number in range(2):
        record(number * 86_400_000, "device.banned", operator=OPERATOR, reason="stolen")
    listed = json.loads(bindery(f"history list --operator {OPERATOR} --since 2026-11-21").stdout)
    assert [event["at"] for event in listed] == [NOON + 86_400_000]
    assert json.loads(bindery(f"history show {listed[0]['id']}").stdout) == listed[0]
    wrong = bindery(f"history list --operator {OPERATOR} --since yesterday")
    said = "bindery: 'yesterday' is not a date or time. Examples: 7d, 2026-12-01T12:00:00Z\n"
    assert (wrong.exit_code, wrong.stderr) == (2, said)


def test_verification_says_whether_the_registry_agrees(bindery: Bindery) -> None:
    device = company_device()
    binding = item_at(items.owner(device))["binding"]
    line = f"history verify {identity.opaque(device)} --output table"
    intact = "from number 1: no event was changed, and none is missing."
    repeat = "A change of the last seconds may not be in the history yet: repeat the command."

    def verified(code: int, *said: str) -> None:
        shown = bindery(line)
        assert (shown.exit_code, shown.stdout.splitlines()) == (code, list(said))

    record(0, "device.registered", device)
    verified(
        1,
        f"1 events, {intact}",
        "The registry differs from the history:",
        f"  By the registry, binding {binding} lasts. It is not in the history.",
        repeat,
        "What happened before the upgrade to a release with a history is not in it.",
    )
    record(1, "device.bound", device, binding=binding, exclusive=True)
    verified(0, f"2 events, {intact}", "The registry agrees with the history.")
    devices.ban(device, "stolen")
    dynamodb.write(items.event(device, 2).update(set={"at": 0}))
    verified(
        1,
        "The history is broken at event 2: The event was changed: its hash is not that of its content.",
        "The registry differs from the history:",
        "  The device is banned by the registry, but not by the history.",
        repeat,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("history export --device nope", 2, "'nope' is not a device id. To look up a serial number: "),
        ("events tail --device nope", 2, "'nope' is not a device id. To look up a serial number: "),
        ("events tail --type device.bond", 2, "'device.bond' is not a type of events. Types: device.registered, "),
        (f"history show {'0' * 32}", 3, "No event has this id.\n"),
    ],
)
def test_mistyped_device_type_or_event_is_named(bindery: Bindery, line: str, code: int, said: str) -> None:
    answer = bindery(line)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert answer.stderr.startswith(f"bindery: {said}")


def test_export_is_accepted_by_the_checker(bindery: Bindery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON + 200_000)
    other = identity.manufactured_device("lamp", "SN2")
    made = [record(number * 20_000, device=LAMP if number % 2 else other) for number in range(6)]
    file = tmp_path / "events.ndjson"
    done = bindery(f"history export --since 2026-11-20 --file {file} --output table")
    assert (done.exit_code, done.stdout) == (0, f"Exported 6 events to {file}.\n")
    lines = file.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [event["id"] for event in made]
    assert check_history.main([str(file)]) == 0
    assert bindery("history export --since 2026-11-20").stdout.splitlines() == lines
    of_one = bindery(f"history export --device {LAMP_ID} --since 2026-11-20T12:00:30Z").stdout.splitlines()
    assert of_one == [lines[3], lines[5]]
    again = bindery(f"history export --file {file}")
    assert (again.exit_code, again.stderr) == (2, f"bindery: {file}: File exists\n")


@pytest.mark.parametrize("to_file", [False, True])
def test_interrupted_export_says_how_to_continue(
    bindery: Bindery, api: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_file: bool
) -> None:
    made = [record(number * 86_400_000 + 123) for number in range(3)]
    monkeypatch.setattr(clock, "now", lambda: NOON + 3 * 86_400_000)
    file = tmp_path / "events.ndjson"
    api.fail_after = 2
    line = f"history export --since 2026-11-20{f' --file {file}' if to_file else ''}"
    broken = bindery(line)
    how, why = broken.stderr.splitlines()
    continued = "bindery history export --since 2026-11-21T12:00:00.123Z"
    assert (broken.exit_code, why) == (6, "bindery: unavailable")
    assert how == f"Interrupted after 2 events. To continue: {continued}"
    api.fail_after = None
    first = (file.read_text() if to_file else broken.stdout).splitlines()
    rest = bindery(continued.removeprefix("bindery ")).stdout.splitlines()
    assert [json.loads(event)["id"] for event in [*first, *rest[1:]]] == [event["id"] for event in made]


def test_unrecorded_changes_are_listed_and_retried(bindery: Bindery) -> None:
    done = bindery("history retry --output table")
    assert (done.exit_code, done.stdout) == (0, "There are no changes to record.\n")
    dynamodb.write(items.unrecorded(NOON, "change-1").put({"record": "{}", "error": "KeyError"}))
    listed = bindery("history unrecorded --output table").stdout.splitlines()
    row = ["change-1", "2026-11-20T12:00:00Z", "KeyError"]
    assert [line.split() for line in listed] == [["CHANGE", "AT", "ERROR"], row]
    failed = bindery("history retry")
    assert (failed.exit_code, json.loads(failed.stdout)) == (1, {"recorded": 0, "left": 1})


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Do these things between two requests, one each time, and then press Ctrl-C."""
    steps: list[Callable[[], object]] = []
    moment = iter(range(NOON, NOON + 10**9, 3000))

    def pause(seconds: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        now = next(moment)
        monkeypatch.setattr(clock, "now", lambda: now)
        steps.pop(0)()

    monkeypatch.setattr(clock, "now", lambda: NOON)
    monkeypatch.setattr(time, "time", lambda: NOON / 1000)
    monkeypatch.setattr(events.time, "sleep", pause)
    return steps


def test_followed_events_are_printed_once_until_ctrl_c(bindery: Bindery, later: list[Callable[[], object]]) -> None:
    record(-86_400_000)
    later += [lambda number=number: record(number * 3000 + 1) for number in range(5)]
    followed = bindery("events tail")
    assert (followed.exit_code, followed.stderr) == (0, "Waiting for events. To stop: Ctrl-C.\n")
    printed = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [event["at"] - NOON for event in printed] == [1, 3001, 6001, 9001, 12001]


def test_followed_events_are_lines_of_text_on_a_terminal(bindery: Bindery, later: list[Callable[[], object]]) -> None:
    subject = {"kind": "account", "id": "acme"}
    draft = Draft("e" * 32, "operator.created", NOON, "account#acme", {"subject": subject}, "record", operator=OPERATOR)
    holder = ada()
    later += [lambda: record(1, binding="b1", holder=holder), lambda: chain.append(draft)]
    assert bindery("events tail --output table").stdout.splitlines() == [
        f"2026-11-20T12:00:00Z  device.renamed  {LAMP_ID}  holder user {holder['id']}",
        "2026-11-20T12:00:00Z  operator.created  account acme",
    ]


@pytest.mark.parametrize("option", ["--type device.banned", f"--device {LAMP_ID}"])
def test_followed_events_can_be_filtered(bindery: Bindery, later: list[Callable[[], object]], option: str) -> None:
    other = identity.manufactured_device("lamp", "SN2")
    later += [lambda: record(1, device=other), lambda: record(2, "device.banned", reason="stolen")]
    (line,) = bindery(f"events tail {option}").stdout.splitlines()
    assert json.loads(line)["type"] == "device.banned"
