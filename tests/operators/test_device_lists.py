"""Lists and counts of devices, from the changes that the feed has recorded."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import device_connections
from bindery.core import clock
from bindery.directory import products
from bindery.feed import listing
from bindery.operators import device_counts, forced_unbind
from bindery.registry import devices, identity, items
from tests import aws_calls, listings
from tests.command_line import Bindery
from tests.feed import Feed
from tests.http_api import OPERATOR, admin
from tests.operators.remains import player
from tests.records import company_device, registration

pytestmark = pytest.mark.usefixtures("registry")

NOON = 1_795_176_000_000
"""2026-11-20 at 12:00."""
DAY = 86_400_000


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Set the time to noon, from where tests move it."""
    made = SimpleNamespace(now=NOON)
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


@pytest.fixture
def fleet(feed: Feed, time: SimpleNamespace) -> None:
    """Ten lamps, one made each minute, a plug, a camera that acme has bound, a registered phone and a player."""
    for key in ("lamp", "plug"):
        products.create(key, name=key, module_type="M")
    for number in range(10):
        devices.manufacture("lamp", f"L-{number:02}", device_key="ABCD1234")
        feed.record()
        time.now += 60_000
    devices.manufacture("plug", "P-1", device_key="ABCD1234")
    company_device(serial="C-1")
    registration("c1", "990000862471854")
    player()
    feed.record()


def lamp(number: int) -> str:
    return identity.manufactured_device("lamp", f"L-{number:02}")


def ask(path: str = "devices", **query: Any) -> Any:
    answer = admin("devices", "GET", path, query={name: str(value) for name, value in query.items()})
    assert answer.status == 200, answer.body
    return answer.json()


def serials(**query: Any) -> list[str]:
    """Return the serial numbers, or else the APIs, of all pages of a list."""
    found, cursor = [], {}
    while cursor is not None:
        page = ask(**query, **cursor)
        found += [device["serial"] or device["dialect"] for device in page["items"]]
        cursor = page["next"] and {"cursor": page["next"]}
    return found


LAMPS = [f"L-{number:02}" for number in range(10)]


@pytest.mark.parametrize("limit", [3, 10])
@pytest.mark.usefixtures("fleet")
def test_devices_of_a_product_are_listed_in_the_order_of_registration(limit: int) -> None:
    assert serials(product="lamp", limit=limit) == LAMPS
    assert serials(product="lamp", state="never_seen", limit=limit) == LAMPS
    assert serials(product="lamp", since=NOON + 480_000, limit=limit) == LAMPS[8:]
    assert serials(product="lamp", state="bound", limit=limit) == []


@pytest.mark.parametrize("limit", [2, 100])
@pytest.mark.usefixtures("fleet")
def test_all_devices_are_listed_scope_by_scope(limit: int) -> None:
    every = ["C-1", "asseco", "vodlix", *LAMPS, "P-1"]
    assert serials(limit=limit) == every
    assert serials(api="quectel", limit=limit) == [*LAMPS, "P-1"]
    assert [serials(api=api, limit=limit) for api in ("rufus", "asseco", "vodlix")] == [["C-1"], ["asseco"], ["vodlix"]]
    assert serials(account="acme", limit=limit) == ["C-1"]
    assert serials(account="acm", limit=limit) == []
    assert serials(state="bound", limit=limit) == ["C-1", "asseco"]


@pytest.mark.usefixtures("fleet")
def test_states_are_listed_by_the_time_since_when(feed: Feed, time: SimpleNamespace) -> None:
    for number in (7, 2):
        time.now += 60_000
        with dynamodb.acting(OPERATOR):
            device_connections.ban(lamp(number), "stolen")
            devices.set_enabled(lamp(number), False)
        feed.record()
    assert serials(state="banned") == serials(product="lamp", state="disabled") == ["L-07", "L-02"]
    assert serials(state="banned", since=time.now) == ["L-02"]
    with dynamodb.acting(OPERATOR):
        devices.unban(lamp(7))
    feed.record()
    assert serials(state="banned") == ["L-02"]
    (device,) = ask(state="banned")["items"]
    assert device["states"] == {"never_seen": NOON + 120_000, "banned": time.now, "disabled": time.now}
    listings.check()


@pytest.mark.usefixtures("fleet")
def test_device_that_was_deleted_meanwhile_is_left_out() -> None:
    dynamodb.write(items.device(lamp(3)).delete())
    assert serials(product="lamp") == [serial for serial in LAMPS if serial != "L-03"]


@pytest.mark.parametrize("state", ["bound", None])
@pytest.mark.parametrize("size", [12, 60])
def test_page_costs_the_same_however_long_the_list(
    size: int, state: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = "product#lamp"
    for number in range(size):
        device = identity.manufactured_device("lamp", f"{number}")
        for listed in (None, "bound"):
            dynamodb.write(items.list_entry(scope, listed, NOON + number, device).put({"device": device}))
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(aws_calls, "before", [lambda _, operation, request: asked.append({operation: request})])
    ask(product="lamp", limit=10, **({"state": state} if state else {}))
    queries = [request["Query"] for request in asked if "Query" in request]
    assert [query["Limit"] for query in queries] == [11] * 8
    (batch,) = [request["BatchGetItem"]["RequestItems"] for request in asked if "BatchGetItem" in request]
    assert [len(keys["Keys"]) for keys in batch.values()] == [10, 10]


def test_listing_of_earlier_events_is_made_up_for(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    products.create("lamp", name="Lamp", module_type="M")
    with monkeypatch.context() as patch:
        patch.setattr(listing, "TYPES", frozenset())
        devices.manufacture("lamp", "L-00", device_key="ABCD1234")
        with dynamodb.acting(OPERATOR):
            device_connections.ban(lamp(0), "stolen")
        feed.record()
    assert serials() == []
    with dynamodb.acting(OPERATOR):
        devices.set_enabled(lamp(0), False)
    feed.record()
    assert serials(state="banned") == serials(state="disabled") == serials(state="never_seen") == ["L-00"]
    listings.check()


NONE = dict.fromkeys(
    ("bound", "unbound", "never_seen", "online", "banned", "disabled", "inactive", "lost", "retired"), 0
)


@pytest.mark.usefixtures("fleet")
def test_devices_and_bindings_are_counted(feed: Feed, time: SimpleNamespace) -> None:
    bound = time.now
    time.now += DAY
    with dynamodb.acting(OPERATOR):
        device_connections.ban(lamp(1), "stolen")
    feed.record()
    counts = NONE | {"all": 10, "never_seen": 10, "banned": 1}
    lamps = {"kind": "product", "name": "lamp", "at": time.now, "last_change": time.now, "devices": counts, "days": []}
    assert ask("devices/counts", product="lamp", days=0) == {"items": [lamps], "next": None}
    (acme,) = ask("devices/counts", account="acme", days=3)["items"]
    assert acme["last_change"] == bound
    assert acme["devices"] == NONE | {"all": 1, "bound": 1}
    days = [("2026-11-19", 0), ("2026-11-20", 1), ("2026-11-21", 0)]
    assert acme["days"] == [{"day": day, "began": began, "ended": 0} for day, began in days]
    (none,) = ask("devices/counts", product="unknown", days=0)["items"]
    assert (none["devices"], none["last_change"]) == (NONE | {"all": 0}, None)


def test_counts_are_exact_after_every_write_of_the_recorder(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def check(service: str, operation: str, *_: Any) -> None:
        if operation == "TransactWriteItems":
            checked.append(operation)
            listings.check_counts()

    products.create("lamp", name="Lamp", module_type="M")
    for number in range(3):
        devices.manufacture("lamp", f"L-{number:02}", device_key="ABCD1234")
    company_device(serial="C-1")
    with dynamodb.acting(OPERATOR):
        device_connections.ban(lamp(1), "stolen")
        devices.set_enabled(lamp(2), False)
        forced_unbind.end(identity.company_device("acme", "M", "C-1"), "sold")
        devices.unban(lamp(1))
    monkeypatch.setattr(aws_calls, "after", [*aws_calls.after, check])
    feed.record()
    assert len(checked) > 8
    listings.check()


@pytest.mark.usefixtures("fleet")
def test_counts_of_all_scopes_have_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_counts, "SCOPES", 2)
    pages = [ask("devices/counts")]
    while cursor := pages[-1]["next"]:
        pages.append(ask("devices/counts", cursor=cursor))
    found = [[f"{scope['kind']} {scope['name']}" for scope in page["items"]] for page in pages]
    assert found == [["account acme", "api asseco"], ["api vodlix", "product lamp"], ["product plug"]]


@pytest.mark.usefixtures("fleet")
def test_counts_are_read_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(aws_calls, "before", [lambda _, operation, request: asked.append(operation)])
    ask("devices/counts", product="lamp", days=0)
    assert asked == ["TransactGetItems"]


@pytest.mark.usefixtures("fleet")
def test_serial_number_is_found_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(text: str) -> list[tuple[str, str]]:
        answer = admin("find", "GET", "find", query={"text": text})
        return [(match["named"], match["facts"]["serial"]) for match in answer.json()["matches"]]

    begun = "beginning of a serial number"
    assert found("l-0") == [(begun, serial) for serial in LAMPS]
    assert found("L-03") == [("serial number", "L-03")]
    assert found("L-") == found("L-1") == []
    monkeypatch.setattr("bindery.operators.find.LIMIT", 4)
    assert len(found("L-0")) == 4
    assert admin("find", "GET", "find", query={"text": "L-0"}).json()["more"]


def test_long_serial_numbers_are_found_by_their_beginning(feed: Feed) -> None:
    products.create("lamp", name="Lamp", module_type="M")
    for end in "ab":
        devices.manufacture("lamp", "#" * 127 + end, device_key="ABCD1234")
    feed.record()
    answer = admin("find", "GET", "find", query={"text": "#" * 100})
    assert [match["facts"]["serial"][-1] for match in answer.json()["matches"]] == ["a", "b"]


@pytest.mark.usefixtures("fleet")
def test_list_is_readable_at_80_columns(bindery: Bindery, time: SimpleNamespace) -> None:
    shown = bindery("devices list --product lamp --state never-seen --limit 2 --output table")
    assert shown.stderr == "There are more entries. Use --limit or --all.\n"
    lines = shown.stdout.splitlines()
    assert [line.split() for line in lines[1:4:2]] == [
        ["API", "ACCOUNT/PRODUCT", "IDENTIFIER", "STATE", "REGISTERED"],
        ["quectel", "lamp", "L-00", "never-seen", "2026-11-20T12:00:00Z"],
    ]
    assert max(map(len, lines)) <= 80
    found = json.loads(bindery("devices list --product lamp --since 2026-11-20T12:08 --all").stdout)
    assert [device["serial"] for device in found] == ["L-08", "L-09"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list --product lamp --account acme", "specify at most one of --product, --account and --api"),
        ("find --serial ''", "specify one of --serial, --mac, --imei or --address"),
    ],
)
def test_command_that_cannot_select_devices_says_why(bindery: Bindery, line: str, said: str) -> None:
    found = bindery(f"devices {line}")
    assert (found.exit_code, found.stderr) == (2, f"bindery: {said}\n")


@pytest.mark.usefixtures("fleet")
def test_statistics_are_readable_at_80_columns(bindery: Bindery, time: SimpleNamespace) -> None:
    time.now += 60_000
    shown = bindery("stats --days 1 --output table").stdout
    assert shown == (
        "DEVICES OF    ALL  BOUND  UNBOUND  NEVER SEEN  ONLINE  BANNED\n"
        "account acme  1    1      0        0           0       0\n"
        "api asseco    1    1      0        0           0       0\n"
        "api vodlix    1    0      0        1           0       0\n"
        "product lamp  10   0      0        10          0       0\n"
        "product plug  1    0      0        1           0       0\n"
        "all           14   2      0        12          0       0\n"
        "\n"
        "DAY         BINDINGS BEGUN  ENDED\n"
        "2026-11-20  2               0\n"
        "\n"
        "Last change: 2026-11-20T12:10:00Z\n"
    )
    assert json.loads(bindery("stats --account acme").stdout)["devices"]["bound"] == 1
    assert bindery("stats --product unknown --output table").stdout == "No devices.\n"
