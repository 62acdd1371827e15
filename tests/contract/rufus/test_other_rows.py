"""rufus, row by row: what showing, listing and unbinding answer, to the byte, and what they leave in the tables."""

import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import bindings, devices, identity, items
from bindery.rufus import company_devices, dialect
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

NOW = 1795176000_007
SHOWN_NOW = "2026-11-20T12:00:00.007Z"
NOT_FOUND = '{"description":"Device not found"}'
UNKNOWN = "65A1B7E0C6BC3D32C268C1506E3F6F39E225DC6ED79573E177E7243E8E38115B"

KEY = "ror-ae4fc6c19681a20fad30"
READER = "ror-00000000000000000001"
UNBINDER = "ror-00000000000000000002"
OTHER = "ror-00000000000000000003"


@pytest.fixture(autouse=True)
def _accounts(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for account in ("acme", "other"):
        accounts.create(account, name=account)
    api_keys.issue("acme", Kind.RUFUS, Grant.READ_WRITE, alias="all", chosen=KEY)
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="reader", chosen=READER)
    api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="unbinder", unbind=True, chosen=UNBINDER)
    api_keys.issue("other", Kind.RUFUS, Grant.READ_WRITE, alias="other", unbind=True, chosen=OTHER)
    monkeypatch.setattr(clock, "now", lambda: NOW)


def bind(serial: str = "DEVICE-123", account: str = "acme", **given: Any) -> str:
    return company_devices.bind(account, "Model X1", serial, **{"alias": None, "firmware": None, "kind": None, **given})


def _one(name: str, method: str, deviceid: str, key: str | None) -> Response:
    headers = {} if key is None else {"api_key": key}
    path, parameters = f"/v0/devices/{deviceid}", {"deviceid": deviceid}
    return invoke(name, event(method, path, headers=headers, path_parameters=parameters))


def get(deviceid: str, key: str | None = READER) -> Response:
    return _one("rufus.get_device", "GET", deviceid, key)


def unbind(deviceid: str, key: str | None = UNBINDER) -> Response:
    return _one("rufus.unbind_device", "DELETE", deviceid, key)


def page(query: Any = "", key: str | None = READER) -> Response:
    headers = {} if key is None else {"api_key": key}
    return invoke("rufus.list_devices", event("GET", "/v0/devices", headers=headers, query=query))


def serials(answer: Response) -> list[str]:
    return [device["serial_number"] for device in answer.json()["result"]]


def not_found(deviceid: str) -> str:
    return json.dumps(
        {"description": "Device not found", "deviceid": deviceid}, separators=(",", ":"), ensure_ascii=False
    )


def test_a_device_is_shown_with_all_that_was_said_of_it() -> None:
    deviceid = bind(alias="Front door", firmware="1.2", kind="lock")
    answer = get(deviceid)
    assert (answer.status, answer.body) == (
        200,
        f'{{"description":"Success","result":{{"deviceid":"{deviceid}","type":"lock","model":"Model X1",'
        f'"alias":"Front door","firmware":"1.2","serial_number":"DEVICE-123","creation_date":"{SHOWN_NOW}",'
        '"sessions":0,"passings":0,"last_seen":null}}',
    )
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}


def test_what_was_never_said_is_null() -> None:
    result = get(bind()).json()["result"]
    assert [name for name, value in result.items() if value is None] == ["type", "alias", "firmware", "last_seen"]


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW - 7, "2026-11-20T12:00:00.000Z"),
        (NOW + 992, "2026-11-20T12:00:00.999Z"),
    ],
)
def test_dates_have_milliseconds_whatever_they_are(moment: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)
    deviceid = bind()
    monkeypatch.setattr(clock, "now", lambda: NOW)
    assert get(deviceid).json()["result"]["creation_date"] == shown


@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda deviceid: f" {deviceid} "])
def test_a_deviceid_is_found_in_any_case_and_shown_as_printed(spell: Any) -> None:
    deviceid = bind()
    assert get(spell(deviceid)).json()["result"]["deviceid"] == deviceid
    assert unbind(spell(deviceid)).json()["deviceid"] == deviceid


IMPOSSIBLE = ["X", UNKNOWN[:-1], UNKNOWN + "0", "G" * 64, "日本", "a\u0000b", '"', "%2F", "#", "ﬀ" * 32, "x" * 5000]


@pytest.mark.parametrize("deviceid", [UNKNOWN, UNKNOWN.lower(), *IMPOSSIBLE])
def test_what_is_no_devices_is_404_alike_whatever_it_looks_like(deviceid: str) -> None:
    bind()
    before = everything()
    shown = deviceid.upper() if deviceid.upper() == UNKNOWN else deviceid
    assert (get(deviceid).status, get(deviceid).body) == (404, NOT_FOUND)
    assert (unbind(deviceid).status, unbind(deviceid).json()) == (404, json.loads(not_found(shown)))
    assert everything() == before


def test_half_a_surrogate_pair_is_no_device() -> None:
    assert get("\ud800").body == NOT_FOUND
    assert unbind("\ud800").body == not_found("?")


def test_another_companys_device_answers_as_one_that_does_not_exist() -> None:
    theirs = bind(account="other")
    before = everything()
    assert get(theirs) == get(UNKNOWN)
    assert (unbind(theirs).status, unbind(theirs).body) == (404, not_found(theirs))
    assert unbind(theirs).headers == unbind(UNKNOWN).headers
    assert everything() == before
    assert get(theirs, OTHER).status == 200


def test_an_unbound_device_leaves_nothing_but_itself() -> None:
    deviceid = bind(alias="Front door", firmware="1.2", kind="lock")
    (device,) = stored(Table.DEVICES)
    answer = unbind(deviceid)
    assert (answer.status, answer.body) == (
        200,
        f'{{"description":"Device unbinded succesfully","deviceid":"{deviceid}"}}',
    )
    assert stored(Table.BINDINGS) == []
    assert stored(Table.DEVICES) == [device]
    assert (get(deviceid).body, serials(page())) == (NOT_FOUND, [])


def test_unbinding_again_is_404() -> None:
    deviceid = bind()
    unbind(deviceid)
    before = everything()
    assert (unbind(deviceid).status, unbind(deviceid).body) == (404, not_found(deviceid))
    assert everything() == before


def test_a_device_bound_again_has_its_deviceid_and_nothing_else_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bind(alias="Front door", firmware="1.2", kind="lock")
    unbind(deviceid)
    monkeypatch.setattr(clock, "now", lambda: NOW + 1000)
    assert bind() == deviceid
    assert get(deviceid).json()["result"] == {
        "deviceid": deviceid,
        "type": None,
        "model": "Model X1",
        "alias": None,
        "firmware": None,
        "serial_number": "DEVICE-123",
        "creation_date": "2026-11-20T12:00:01.007Z",
        "sessions": 0,
        "passings": 0,
        "last_seen": None,
    }


def test_a_banned_device_is_shown_listed_and_let_go_and_stays_banned() -> None:
    deviceid = bind()
    device = identity.company_device_of("acme", deviceid)
    devices.ban(device, "stolen")
    assert (get(deviceid).status, serials(page())) == (200, ["DEVICE-123"])
    assert unbind(deviceid).status == 200
    body = '{"model": "Model X1", "serial_number": "DEVICE-123"}'
    refused = invoke("rufus.bind_device", event("POST", "/v0/devices", headers={"api_key": KEY}, body=body))
    assert (refused.status, stored(Table.BINDINGS)) == (403, [])


@pytest.mark.parametrize(
    ("grant", "may_unbind", "statuses"),
    [
        (Grant.READ, False, [200, 200, 403, 403]),
        (Grant.WRITE, False, [403, 403, 403, 201]),
        (Grant.WRITE, True, [403, 403, 200, 201]),
        (Grant.READ_WRITE, False, [200, 200, 403, 201]),
        (Grant.READ_WRITE, True, [200, 200, 200, 201]),
    ],
)
def test_each_access_type_may_do_exactly_its_own(grant: Grant, may_unbind: bool, statuses: list[int]) -> None:
    key = api_keys.issue("acme", Kind.RUFUS, grant, alias="granted", unbind=may_unbind)
    deviceid = bind()
    body = '{"model": "Model X1", "serial_number": "DEVICE-123"}'
    answers = [
        get(deviceid, key),
        page(key=key),
        unbind(deviceid, key),
        invoke("rufus.bind_device", event("POST", "/v0/devices", headers={"api_key": key}, body=body)),
    ]
    assert [answer.status for answer in answers] == statuses
    assert {answer.body for answer in answers if answer.status == 403} <= {
        '{"description":"Wrong api key access type"}'
    }


@pytest.mark.parametrize(
    ("key", "description"), [(None, "Missing api key"), ("ror-ffffffffffffffffffff", "Invalid api key")]
)
def test_the_key_comes_before_everything(key: str | None, description: str) -> None:
    deviceid = bind()
    before = everything()
    for answer in (get(deviceid, key), get("X", key), page(key=key), page("limit=x", key), unbind("X", key)):
        assert (answer.status, answer.body) == (403, f'{{"description":"{description}"}}')
    assert page("limit=x", UNBINDER).body == '{"description":"Wrong api key access type"}'
    assert unbind("X", READER).body == '{"description":"Wrong api key access type"}'
    assert everything() == before


def test_unbinding_notes_the_day_of_the_keys_last_use() -> None:
    def last_used() -> list[Any]:
        return [
            item.get("last_used") for item in stored(Table.DIRECTORY) if item["pk"].endswith(api_keys.id_of(UNBINDER))
        ]

    deviceid = bind()
    unbind(UNKNOWN)
    assert last_used() == [None]
    unbind(deviceid)
    assert last_used() == ["2026-11-20"]


def test_a_list_shows_the_companys_devices_those_bound_last_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bind("theirs", "other")
    first = bind("S2", alias="Front door", kind="lock")
    monkeypatch.setattr(clock, "now", lambda: NOW + 1)
    second = bind("S1", firmware="1.2")
    answer = page()
    assert (answer.status, answer.body) == (
        200,
        '{"description":"Success","result":['
        f'{{"deviceid":"{first}","type":"lock","model":"Model X1","alias":"Front door","firmware":null,'
        f'"serial_number":"S2","creation_date":"{SHOWN_NOW}"}},'
        f'{{"deviceid":"{second}","type":null,"model":"Model X1","alias":null,"firmware":"1.2",'
        '"serial_number":"S1","creation_date":"2026-11-20T12:00:00.008Z"}'
        '],"pagination":{"page":1,"limit":100,"total":2,"has_more":false}}',
    )
    assert serials(page(key=OTHER)) == ["theirs"]


def test_an_account_without_devices_has_one_empty_page() -> None:
    assert page().body == (
        '{"description":"Success","result":[],"pagination":{"page":1,"limit":100,"total":0,"has_more":false}}'
    )


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The serial numbers of seven devices in the order in which they were bound."""
    given = [f"S{number}" for number in (3, 1, 2, 7, 5, 6, 4)]
    for number, serial in enumerate(given):
        monkeypatch.setattr(clock, "now", lambda number=number: NOW + number)
        bind(serial)
    return given


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 5000])
def test_pages_part_the_list_into_all_of_it_once(limit: int, bound: list[str]) -> None:
    for number in range(1, 9):
        answer = page({"page": number, "limit": limit})
        assert serials(answer) == bound[(number - 1) * limit : number * limit]
        assert answer.json()["pagination"] == {
            "page": number,
            "limit": limit,
            "total": 7,
            "has_more": number * limit < 7,
        }


def test_a_device_bound_between_two_pages_comes_last(bound: list[str]) -> None:
    first = serials(page("limit=4"))
    bind("A0")
    second = page("limit=4&page=2")
    assert first + serials(second) == [*bound, "A0"]
    assert second.json()["pagination"]["total"] == 8


def test_binding_again_keeps_a_devices_place(bound: list[str]) -> None:
    bind(bound[0], alias="renamed")
    assert serials(page()) == bound
    assert page().json()["result"][0]["alias"] == "renamed"


def test_what_an_account_holds_through_another_api_is_not_listed() -> None:
    bind()
    for api in ("quectel", "rufusx"):
        elsewhere = {"holder": "account#acme", "holder_sort": bindings.holder_sort(api, NOW)}
        dynamodb.write(dynamodb.Put(items.owner(f"{api}#S"), elsewhere))
    assert (serials(page()), page().json()["pagination"]["total"]) == (["DEVICE-123"], 1)


@pytest.mark.parametrize(
    ("query", "pagination"),
    [
        ("", (1, 100)),
        ("page=2", (2, 100)),
        ("page=&limit=%20", (1, 100)),
        ("page=%202%20&limit=007", (2, 7)),
        ("limit=5000", (1, 5000)),
        ("page=9999999999&limit=5000", (9999999999, 5000)),
        ("page=1&colour=red&deviceid=x", (1, 100)),
    ],
)
def test_page_and_limit_have_defaults_and_bounds(query: str, pagination: tuple[int, int]) -> None:
    answer = page(query)
    assert answer.status == 200
    assert (answer.json()["pagination"]["page"], answer.json()["pagination"]["limit"]) == pagination


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("page=0", "page"),
        ("limit=0", "limit"),
        ("limit=5001", "limit"),
        ("page=-1", "page"),
        ("page=1.0", "page"),
        ("page=1e1", "page"),
        ("page=%D9%A1", "page"),
        ("page=x&limit=y", "page, limit"),
        ("page=1&page=2", "page"),
        ("page=10000000000000000", "page"),
        ("limit=true", "limit"),
    ],
)
def test_any_other_page_or_limit_is_400_by_name(query: str, parameters: str) -> None:
    answer = page(query)
    assert (answer.status, answer.body) == (400, f'{{"description":"Invalid parameter: {parameters}"}}')


def test_a_page_that_lambda_could_not_hand_over_is_400_and_a_smaller_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for serial in ("é\\", '"' * 128):
        bind(serial)
    whole = page("limit=2").body
    handed_over = len(json.dumps(whole, ensure_ascii=False).encode()) - 2
    monkeypatch.setattr(dialect, "ANSWER_LIMIT", handed_over)
    assert page("limit=2").body == whole
    monkeypatch.setattr(dialect, "ANSWER_LIMIT", handed_over - 1)
    assert page("limit=2").body == '{"description":"Invalid parameter: limit"}'
    assert page("limit=1").status == 200


def test_the_largest_page_of_ordinary_text_can_be_handed_over() -> None:
    bind("S" * 40, alias="a" * 60, firmware="f" * 20, kind="t" * 20)
    body = page().body
    (one,) = [json.dumps(device) for device in page().json()["result"]]
    assert 5000 * (len(one) + one.count('"')) + len(body) < dialect.ANSWER_LIMIT


@pytest.mark.parametrize(("method", "allowed"), [("PUT", "DELETE, GET"), ("POST", "DELETE, GET")])
def test_a_device_has_no_other_methods(method: str, allowed: str) -> None:
    answer = invoke("default.no_route", event(method, f"/v0/devices/{UNKNOWN}", route="$default"))
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
