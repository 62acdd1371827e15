"""rufus: exact responses of timing sessions and passings, and the items they write."""

import json
import re
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import devices, identity
from tests.http_api import Response
from tests.rufus import KEY, OTHER, READER, bound, get, unbind
from tests.sample_requests import send
from tests.tables import everything, stored

NOW = 1795176000_007
SHOWN_NOW = "2026-11-20T12:00:00.007Z"
UNKNOWN = "65A1B7E0C6BC3D32C268C1506E3F6F39E225DC6ED79573E177E7243E8E38115B"
NO_SESSION = (404, '{"description":"Session not found or closed"}')
FIRST = {"timestamp": "2026-11-20T09:20:25.123Z", "num_passing": 1, "bib": "7"}


@pytest.fixture(autouse=True)
def _then(companies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def opened(deviceid: str, key: str = KEY) -> Response:
    return send("rufus.open_session", {"api_key": key}, body={"deviceid": deviceid, "alias": "START-5K"})


def token(deviceid: str) -> str:
    return str(opened(deviceid).json()["token_session"])


def inserted(token: Any, *passings: Any, key: str = KEY) -> Response:
    return send("rufus.insert_passings", {"api_key": key}, body={"token_session": token, "passings_list": passings})


def listed(deviceid: str, key: str = READER, **query: Any) -> Response:
    return send("rufus.list_passings", {"api_key": key}, path={"deviceid": deviceid}, query=query)


def activity(deviceid: str) -> tuple[int, int, str | None]:
    shown = get(deviceid).json()["result"]
    return shown["sessions"], shown["passings"], shown["last_seen"]


def numbered(*numbers: int) -> list[dict[str, Any]]:
    return [FIRST | {"num_passing": number} for number in numbers]


def test_session_is_opened_and_counted() -> None:
    deviceid = bound()
    answer = opened(deviceid.lower())
    assert answer.status == 201
    given = re.fullmatch('{"description":"Session inserted succesfully","token_session":"([0-9A-F]{96})"}', answer.body)
    assert given
    assert given[1] not in str(everything())
    assert given[1][64:] not in str(everything())
    assert activity(deviceid) == (1, 0, SHOWN_NOW)


def test_key_needs_the_access_of_the_operation() -> None:
    deviceid = bound()
    writer = api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="writer")
    for answer in (opened(deviceid, READER), inserted(token(deviceid), FIRST, key=READER), listed(deviceid, writer)):
        assert (answer.status, answer.body) == (403, '{"description":"Wrong api key access type"}')


def test_passings_are_inserted_counted_and_listed_by_time() -> None:
    deviceid = bound()
    session = token(deviceid)
    full = {
        "timestamp": "2026-11-20T10:20:24+01:00",
        "num_passing": 2,
        "bib": "17",
        "participant_id": "XB123AR8",
        "chip": "000000000000017",
        "latitude": "12.000",
        "longitude": 13.5,
        "status": "Sent",
        "timezone": "UTC",
        "gender": None,
    }
    answer = inserted(session.lower(), FIRST, full)
    assert (answer.status, answer.body) == (
        201,
        f'{{"description":"Passings inserted succesfully","token_session":"{session}","inserted_count":2,'
        '"duplicate_count":0}',
    )
    shown = full | {"timestamp": "2026-11-20T09:20:24.000Z", "longitude": "13.5"}
    result = [shown, dict.fromkeys(full) | FIRST]
    pagination = {"limit": 100, "has_more": False, "cursor": None}
    expected = {"description": "Success", "result": result, "pagination": pagination}
    assert (listed(deviceid).status, listed(deviceid).body) == (200, json.dumps(expected, separators=(",", ":")))
    assert activity(deviceid) == (1, 2, SHOWN_NOW)
    kept = [item for item in stored(Table.BINDINGS) if "num_passing" in item]
    assert {item["expires_at"] for item in kept} == {NOW // 1000 + 90 * 86400}


def test_time_without_an_offset_is_utc() -> None:
    deviceid = bound()
    assert inserted(token(deviceid), FIRST | {"timestamp": "2026-11-20T09:20:25.123"}).status == 201
    (passing,) = listed(deviceid).json()["result"]
    assert passing["timestamp"] == FIRST["timestamp"]


def test_passing_is_inserted_once() -> None:
    deviceid = bound()
    session = token(deviceid)
    counts = []
    for numbers in ([1, 2], [1, 2], [2, 3, 3], [3]):
        body = inserted(session, *numbered(*numbers)).json()
        counts.append((body["inserted_count"], body["duplicate_count"]))
    assert counts == [(2, 0), (0, 2), (1, 2), (0, 1)]
    assert activity(deviceid)[1] == len(listed(deviceid).json()["result"]) == 3


def test_long_list_is_inserted_in_parts() -> None:
    deviceid = bound()
    answer = inserted(token(deviceid), *numbered(*range(200)))
    assert (answer.status, answer.json()["inserted_count"]) == (201, 200)
    assert activity(deviceid)[1] == 200


def test_passings_are_listed_page_by_page() -> None:
    deviceid = bound()
    inserted(token(deviceid), *numbered(1, 2, 3))
    found, cursor = [], ""
    for _ in range(2):
        body = listed(deviceid, limit=2, cursor=cursor).json()
        found += [passing["num_passing"] for passing in body["result"]]
        cursor = body["pagination"]["cursor"]
    assert (found, cursor) == ([1, 2, 3], None)


def test_passings_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bound()
    inserted(token(deviceid), FIRST)
    for days, left in ((89, 1), (90, 0)):
        monkeypatch.setattr(clock, "now", lambda later=NOW + days * 86_400_000: later)
        assert len(listed(deviceid).json()["result"]) == left


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": identity.opaque("owner")}], ids=str
)
def test_invalid_page_is_400(query: dict[str, Any]) -> None:
    (name,) = query
    answer = listed(bound(), **query)
    assert (answer.status, answer.body) == (400, f'{{"description":"Invalid parameter: {name}"}}')


def test_earlier_session_is_closed_by_a_new_one() -> None:
    deviceid = bound()
    earlier, later = token(deviceid), token(deviceid)
    refused = inserted(earlier, FIRST)
    assert (refused.status, refused.body) == NO_SESSION
    assert inserted(later, FIRST).status == 201
    assert activity(deviceid) == (2, 1, SHOWN_NOW)


def test_unknown_session_is_404() -> None:
    session = token(bound())
    wrong = session[:-1] + ("0" if session[-1] != "0" else "1")
    for given, key in (("x", KEY), (wrong, KEY), ("F9" * 48, KEY), (session, OTHER)):
        refused = inserted(given, FIRST, key=key)
        assert (refused.status, refused.body) == NO_SESSION


def test_unbound_and_foreign_devices_are_404() -> None:
    deviceid = bound()
    session = token(deviceid)
    for given, key in ((UNKNOWN, KEY), ("x", KEY), (deviceid, OTHER)):
        refused = opened(given, key)
        named = {"description": "Device not found", "deviceid": given.upper()}
        assert (refused.status, refused.json()) == (404, named)
    inserted(session, FIRST)
    assert unbind(deviceid).status == 200
    assert opened(deviceid).status == 404
    assert (inserted(session, FIRST).status, inserted(session, FIRST).body) == NO_SESSION
    assert len(listed(deviceid).json()["result"]) == 1
    assert listed(deviceid, OTHER).json()["result"] == []
    bound()
    assert activity(deviceid) == (0, 0, None)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"token_session": None}, "Missing required parameter: token_session"),
        ({"token_session": 7}, "Missing required parameter: token_session"),
        ({"passings_list": None}, "Missing required parameter: passings_list"),
        ({"passings_list": "x"}, "Invalid parameter: passings_list"),
        ({"passings_list": []}, "Missing required parameter: passings_list"),
        *(
            ({"passings_list": [FIRST | flaw]}, "Invalid parameter: passings_list")
            for flaw in (
                *({"timestamp": given} for given in ("x", "2026-11-20", 7, "1969-12-31T23:59:59Z")),
                *({"num_passing": given} for given in (-1, "1", 1.5, 10**15)),
                *({"bib": given} for given in ("x" * 129, "a\x00")),
                {"latitude": [1]},
            )
        ),
    ],
    ids=str,
)
def test_invalid_body_is_400(wrong: dict[str, Any], text: str) -> None:
    body = {"token_session": token(bound()), "passings_list": [FIRST]} | wrong
    before = everything()
    answer = send("rufus.insert_passings", {"api_key": KEY}, body=body)
    assert (answer.status, answer.body) == (400, f'{{"description":"{text}"}}')
    assert everything() == before


def test_banned_device_is_refused() -> None:
    deviceid = bound()
    session = token(deviceid)
    devices.ban(identity.company_device("acme", "Model X1", "DEVICE-123"), "stolen")
    before = everything()
    for refused in (opened(deviceid), inserted(session, FIRST)):
        assert (refused.status, refused.body) == (403, '{"description":"Device banned"}')
    assert everything() == before
