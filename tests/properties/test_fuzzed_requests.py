"""Fuzz request handling through the real handlers, starting from each operation's sample request.

No input causes an internal error, a write by a refused request, or a response with internal text.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from bindery.http import operation
from tests import moto_registry
from tests.http_api import invoke
from tests.openid import Bank
from tests.properties import hostile, world
from tests.properties.conftest import note_errors, note_writes
from tests.properties.fuzzing import guide, searching
from tests.properties.measured import report
from tests.properties.reached import Reached
from tests.properties.scale import FULL
from tests.properties.staging import refused
from tests.properties.world import Event, World

OPERATIONS = (
    world.OPERATIONS
    if FULL
    else [
        "rufus.bind_device",
        "quectel.bind_device_sn",
        "quectel.email_pwd_login",
        "asseco.set_nickname",
        "remoteit.connect_device",
        "vodlix.add_device",
    ]
)
"""In the short form, one operation for each way of passing parameters."""

PIECES = (
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "\\",
    "\\u",
    "\\ud800",
    "e9",
    "-",
    "0",
    "null",
    "NaN",
    "\x00",
    "\ufeff",
    "é",
)
TEXTS = st.one_of(
    st.sampled_from([value for value in hostile.VALUES if isinstance(value, str)]),
    st.text(max_size=40),
    st.text(st.sampled_from("#%&=+;:.- \t\r\n\"'{}[]aA0\x00é"), max_size=20),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.sampled_from((*hostile.VALUES, float("nan")))
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TYPES = st.one_of(st.sampled_from([kind for kind in hostile.TYPES if kind is not None]), TEXTS)
PARAMETERS = st.tuples(
    st.sampled_from(["name", "x"]),
    st.sampled_from(["", "*", "*0", "*1", "*0*", "*1*", "*-1", "*a"]),
    st.sampled_from(["", "=", "={}", '="{}"', "=utf-8''{}", "=''", "=x'y'%ff"]),
).map("".join)
"""Header parameters continued and encoded as in RFC 2231, and in the plain form."""

DISPOSITIONS = st.one_of(
    st.lists(PARAMETERS, min_size=1, max_size=4).map(lambda found: "; ".join(["form-data", *found])),
    st.sampled_from(
        [
            'form-data; name="{}"',
            "form-data",
            "form-data; name*=utf-8''{}",
            "form-data; name*0*",
            "(" * 3000,
            'x; name="{}"; name="{}"',
        ]
    ),
    TEXTS,
)


@st.composite
def spliced(draw: st.DrawFn, data: bytes) -> bytes:
    """Replace a few bytes with others."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 6)))
        piece = draw(st.one_of(st.sampled_from(PIECES).map(str.encode), st.binary(max_size=6)))
        data = data[:start] + piece * draw(st.sampled_from([1, 1, 1, 2, 3000])) + data[end:]
    return data


@st.composite
def multipart(draw: st.DrawFn, members: dict[str, Any]) -> bytes:
    """Build a multipart body of mostly valid parts."""
    made = b""
    for name, value in members.items():
        disposition = draw(st.one_of(st.just('form-data; name="{}"'), DISPOSITIONS)).replace("{}", name)
        encoding = draw(
            st.sampled_from(["", "Content-Transfer-Encoding: base64\r\n", "Content-Type: text/plain; charset=x\r\n"])
        )
        head = f"--x\r\nContent-Disposition: {disposition}\r\n{encoding}\r\n"
        made += head.encode("utf-8", "replace") + str(value).encode("utf-8", "replace") + b"\r\n"
    return made + draw(st.sampled_from([b"--x--\r\n", b"--x--\r\n", b"", b"--x"]))


@st.composite
def changed(draw: st.DrawFn, event: Event, good: Event) -> Event:
    """Add one more change to a request that no legitimate client makes; `good` has none."""
    headers, body = event["headers"], _body(event)
    members = _members(good)
    kinds = ["headers", "query", "body", "value", "type", "flag"]
    kinds += ["members"] * 2 if members else []
    kinds += ["path"] if event.get("pathParameters") else []
    kind = draw(st.sampled_from(kinds))
    note(kind)
    if kind == "headers":
        name = draw(st.sampled_from([*headers, "content-type"]))
        return event | {"headers": headers | {name: draw(st.one_of(TEXTS, st.just(headers.get(name, "") + "x")))}}
    if kind == "path":
        given = event["pathParameters"]
        return event | {"pathParameters": given | {draw(st.sampled_from(sorted(given))): draw(TEXTS)}}
    if kind == "query":
        raw = event.get("rawQueryString", "").encode()
        written = TEXTS.map(lambda text: quote(text, errors="replace").encode())
        return event | {"rawQueryString": draw(st.one_of(spliced(raw), written)).decode("latin-1")}
    if kind == "value":
        return event | {"body": json.dumps(draw(VALUES)), "isBase64Encoded": False}
    if kind == "flag":
        return event | {"isBase64Encoded": not event.get("isBase64Encoded")}
    if kind == "members":
        made = members | {draw(st.sampled_from(sorted(members))): draw(VALUES)}
        return event | {"body": json.dumps(made), "isBase64Encoded": False}
    if kind == "type":
        sent = draw(st.one_of(st.just("multipart/form-data; boundary=x"), TYPES))
        data = draw(st.one_of(multipart(members), st.just(_form(members)), st.just(body)))
        return _sent(event | {"headers": headers | {"content-type": sent}}, data)
    data = draw(st.one_of(spliced(body), st.binary(max_size=60)))
    if draw(st.integers(0, 3)):
        return _sent(event, data)
    return event | {"body": data.decode("latin-1"), "isBase64Encoded": False}


def _body(event: Event) -> bytes:
    text = event.get("body") or ""
    if event.get("isBase64Encoded"):
        with suppress(ValueError):
            return base64.b64decode(text)
    return str(text).encode("utf-8", "replace")


def _members(good: Event) -> dict[str, Any]:
    """Return the fields in the body of a valid request, whether JSON or a form."""
    return hostile.given_of(good) or dict(parse_qsl(hostile.body_of(good) or ""))


def _form(members: dict[str, Any]) -> bytes:
    return "&".join(f"{name}={quote(str(value), errors='replace')}" for name, value in members.items()).encode()


def _sent(event: Event, body: bytes) -> Event:
    return event | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


class Door:
    """Each operation with its prerequisites, and its responses to fuzzed requests."""

    def __init__(self, here: World, at_first: moto_registry.State, patch: pytest.MonkeyPatch) -> None:
        self.here, self.at_first = here, at_first
        self.prepared: dict[str, tuple[moto_registry.State, Event]] = {}
        self.reached = Reached(operation)
        self.written = note_writes(patch)
        self.stands = ""

    def request(self, name: str) -> Event:
        """Return the operation's sample request, in the registry in which it succeeds."""
        if name not in self.prepared:
            moto_registry.restore(self.at_first)
            self.here.answers.clear()
            world.prepare(self.here, name)
            self.prepared[name] = moto_registry.state(), self.here.request(name)
        state, event = self.prepared[name]
        if self.stands != name:
            moto_registry.restore(state)
            self.stands = name
        return event


@pytest.fixture(scope="module")
def door(built: tuple[World, Bank, moto_registry.State]) -> Iterator[Door]:
    here, _, at_first = built
    with pytest.MonkeyPatch.context() as patch:
        yield Door(here, at_first, patch)


def test_fuzzed_requests_cause_no_internal_error(door: Door) -> None:
    with pytest.MonkeyPatch.context() as patch:
        errors = note_errors(patch)

        @searching(short=150, full=3_000)
        @given(st.sampled_from(OPERATIONS), st.data())
        def search(name: str, data: st.DataObject) -> None:
            event = good = door.request(name)
            for _ in range(data.draw(st.integers(1, 3))):
                event = data.draw(changed(event, good))
            door.written.clear()
            errors.clear()
            with door.reached.watching() as made:
                answer = invoke(name, event)
            guide(door.reached, made)
            if door.written:
                door.stands = ""
            assert answer.status < 500
            assert errors == []
            assert not hostile.INTERNAL.search(answer.body)
            assert door.written == [] or not refused(name, answer)

        search()
    report("fuzzing of request handling", door.reached.report())
