"""Every request value results in a valid DynamoDB key: `tests.key_sizes` rejects keys that are too long.

Values grow when they are processed: `#` and `%` are escaped, and composition or case folding can add characters.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from bindery.registry import identity
from tests.http_api import admin, invoke
from tests.properties import hostile, world
from tests.properties.scale import FULL
from tests.properties.world import Event

FOUR_BYTES, TWELVE_BYTES, FIVE_BYTES = "\U0001d4b3", "\U0001d160", "\u1f80"
"""A four-byte character, one of four bytes that NFC expands to twelve, and one of three that folding expands to five.
"""

TEXTS = [
    *(character * size for character in (FOUR_BYTES, TWELVE_BYTES, "#") for size in (128, 512)),
    *(character * 64 for character in (FOUR_BYTES, TWELVE_BYTES, "#", FIVE_BYTES) if FULL),
    *([FOUR_BYTES * 256, TWELVE_BYTES * 254, "%" * 512] if FULL else []),
]


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_request_values_never_exceed_the_key_size(name: str, here: world.World, errors: list[str]) -> None:
    world.prepare(here, name)
    for text in TEXTS:
        for event in _with(here.request(name), text):
            answer = invoke(name, event)
            assert (answer.status < 500, errors) == (True, []), (event, answer)


def _with(good: Event, text: str) -> Iterator[Event]:
    """Yield the event with this text in place of each of its parameters in turn."""
    given = hostile.given_of(good) or {}
    for name in given:
        yield hostile.with_body(good, json.dumps(given | {name: text}).encode())
    asked = dict(parse_qsl(good.get("rawQueryString", "")))
    for name in asked:
        yield good | {"rawQueryString": urlencode(asked | {name: text})}
    parameters = good.get("pathParameters") or {}
    for name in parameters:
        yield good | {"pathParameters": parameters | {name: text}}


USER = {"uid": "u", "account": "acme"}
ROW = {"product_key": world.PK, "serial": "S", "device_key": "ABCD"}
CARD = {"customer": "c", "device_id": "d", "kind": "smart-card"}
BODIES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("accounts", "POST", "accounts", {"account": "a", "name": "n"}),
    ("users", "POST", "users", USER | {"domain": "d", "customer": "c"}),
    ("users", "PATCH", "users/ada", {"domain": "d"}),
    ("users", "PATCH", "users/ada", {"customer": "c"}),
    ("domains", "POST", "domains", {"domain": "d"}),
    ("products", "POST", "products", {"product_key": "p", "name": "n", "module_type": "m", "data_center": "c"}),
    ("families", "POST", "families", {"fid": "f", "owner": "ada"}),
    ("keys", "POST", "keys", {"account": "acme", "kind": "rufus", "grant": "READ", "alias": "a"}),
]
"""Operators' requests with text fields."""
ROWS = [("devices", "devices/import", ROW), ("issued_devices", "issued-devices/import", CARD)]
ASKED = [
    ("devices", "devices", ("serial", "mac", "imei", "address")),
    ("users", "users", ("account",)),
    ("keys", "keys", ("account",)),
    ("families", "families", ("owner",)),
    ("issued_devices", "issued-devices", ("customer",)),
    ("connections", "connections", ("caller", "device")),
]


@pytest.mark.parametrize("text", TEXTS)
def test_operator_values_never_exceed_the_key_size(text: str, here: world.World, errors: list[str]) -> None:
    opaque = identity.opaque(text)
    answers = [
        *(
            admin(resource, method, path, body | {name: text})
            for resource, method, path, body in BODIES
            for name in body
        ),
        admin("users", "POST", "users", USER | {"email": f"{text[:252]}@x", "domain": world.DOMAIN}),
        admin("users", "PATCH", "users/ada", {"email": f"{text[:252]}@x"}),
        *(
            admin(resource, "POST", path, {"rows": [row | {name: text}]})
            for resource, path, row in ROWS
            for name in row
        ),
        *(admin(resource, "GET", path, query={name: text}) for resource, path, names in ASKED for name in names),
        admin("devices", "GET", f"devices/{opaque}"),
        admin("devices", "POST", f"devices/{opaque}/unbind", {"reason": "r"}),
        admin("connections", "GET", "connections", query={"device": opaque}),
        admin("connections", "DELETE", f"connections/{opaque}/ada"),
    ]
    assert (sorted({answer.status for answer in answers if answer.status >= 500}), errors) == ([], [])
