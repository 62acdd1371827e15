"""rufus: the list by cursor, which costs the same however long the list is."""

import base64
from typing import Any

import pytest

from bindery.core import clock
from bindery.directory import accounts
from bindery.registry import identity
from bindery.security import secrets
from tests import aws_calls
from tests.http_api import Response
from tests.rufus import OTHER, bound, page, unbind

NOW = 1795176000_007


@pytest.fixture(autouse=True)
def three(companies: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bind three devices and return their ids in order of binding."""
    made = []
    for number in range(3):
        monkeypatch.setattr(clock, "now", lambda number=number: NOW + number)
        made.append(bound(f"S{number}"))
    return made


def at(cursor: str, limit: int = 2, **key: str) -> Response:
    return page({"cursor": cursor, "limit": limit}, **key)


def ids(answer: Response) -> list[str]:
    return [device["deviceid"] for device in answer.json()["result"]]


def test_list_by_cursor_is_exact() -> None:
    numbered = page({"limit": 2, "page": 1})
    first = at("")
    cursor = first.json()["pagination"]["cursor"]
    assert (first.status, first.body) == (
        200,
        numbered.body.replace(
            '{"page":1,"limit":2,"total":3,"has_more":true}', f'{{"limit":2,"has_more":true,"cursor":"{cursor}"}}'
        ),
    )
    assert at(" ").body == first.body
    last = at(f" {cursor} ")
    assert last.json()["pagination"] == {"limit": 2, "has_more": False, "cursor": None}
    assert last.json()["result"] == page({"limit": 2, "page": 2}).json()["result"]


def test_page_that_ends_with_the_list_has_no_cursor(three: list[str]) -> None:
    answer = at("", 3)
    assert (ids(answer), answer.json()["pagination"]["cursor"]) == (three, None)
    assert at("", key=OTHER).json()["pagination"] == {"limit": 2, "has_more": False, "cursor": None}


def test_unbound_device_neither_shifts_nor_ends_the_list(three: list[str]) -> None:
    cursor = at("", 1).json()["pagination"]["cursor"]
    unbind(three[0])
    assert ids(at(cursor)) == three[1:]


def altered(cursor: str, old: str, new: str) -> str:
    text = identity.from_opaque(cursor)
    assert old in text
    return identity.opaque(text.replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        lambda cursor: "x",
        lambda cursor: cursor[:-1],
        lambda cursor: cursor + "=",
        lambda cursor: cursor.swapcase(),
        lambda cursor: cursor + "é",
        lambda cursor: "c" * 1025,
        lambda cursor: altered(cursor, "acme", "other"),
        lambda cursor: altered(cursor, " 0 ", " 1 "),
        lambda cursor: altered(cursor, " ", ""),
        lambda cursor: identity.opaque(identity.from_opaque(cursor).partition(" ")[2]),
        lambda cursor: base64.urlsafe_b64encode(b"{}").decode(),
    ],
)
def test_altered_cursor_is_400(change: Any) -> None:
    answer = at(change(at("").json()["pagination"]["cursor"]))
    assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: cursor"}')


def test_cursor_of_another_account_is_400() -> None:
    bound("theirs", "other")
    cursor = at("", 1).json()["pagination"]["cursor"]
    answer = at(cursor, key=OTHER)
    assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: cursor"}')


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("cursor=&page=1", "page, cursor"),
        ("cursor=x&page=2", "page, cursor"),
        ("cursor=&cursor=", "cursor"),
        ("cursor=&limit=0", "limit"),
    ],
)
def test_cursor_goes_with_one_limit_and_no_page(query: str, parameters: str) -> None:
    answer = page(query)
    assert (answer.status, answer.body) == (400, f'{{"description":"Invalid parameter: {parameters}"}}')


def test_cursor_reveals_no_deviceid(three: list[str]) -> None:
    text = identity.from_opaque(at("", 1).json()["pagination"]["cursor"])
    assert three[0].lower() not in text.lower()
    assert secrets.fingerprint(three[0]) in text


@pytest.mark.parametrize("parts", [1, 16])
def test_page_takes_one_query_and_one_more_at_the_end_of_a_part(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if parts > 1:
        accounts.spread("acme", parts)
    for number in range(40):
        bound(f"T{number}", parts=parts)
    calls: list[str] = []
    monkeypatch.setattr(aws_calls, "before", [lambda service, operation, request: calls.append(operation)])
    cursor = ""
    while cursor is not None:
        calls.clear()
        answer = at(cursor, 7)
        assert 1 <= calls.count("Query") <= (1 if parts == 1 else 2)
        cursor = answer.json()["pagination"]["cursor"]
