"""Operators' requests in the world of the proofs: one valid request for each body, path and query of the admin API."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from bindery.registry import identity
from bindery.security import secrets
from tests.http_api import OPERATOR, event
from tests.properties import hostile, world
from tests.properties.hostile import Event, Named
from tests.records import TSL

_DEVICE = identity.opaque(identity.manufactured_device(world.PK, world.SN))
_CUSTOMER = identity.opaque(world.CUSTOMER)
_ROW = {"product_key": world.PK, "serial": "SN2", "device_key": "ABCD1234", "module_type": "M", "data_center": "eu"}
_CARD = {"customer": "c1", "device_id": "CARD-0002", "kind": "payment-card", "card_status": "valid"}
_USER = {"domain": "demo", "role": "regular", "home_mode": False, "customer": "c1", "email": "dora@example.com"}
_PRODUCT = {"name": "Lock", "module_type": "M", "domains": ["demo"], "data_center": "eu", "capabilities": 1}

REQUESTS: tuple[tuple[str, str, str, Any], ...] = (
    ("accounts", "POST", "accounts", {"account": "new", "name": "New"}),
    ("accounts", "GET", "accounts?limit=2", None),
    ("accounts", "POST", "accounts/acme/spread", {"parts": 2}),
    ("connections", "GET", "connections?caller=ada&limit=2", None),
    ("devices", "POST", "devices/import", {"rows": [_ROW], "dry_run": True}),
    ("devices", "POST", f"devices/{_DEVICE}/ban", {"reason": "stolen"}),
    ("devices", "PUT", f"devices/{_DEVICE}/address", {"address": "80:00:00:00:00:00:00:F2"}),
    ("devices", "GET", f"devices/{_DEVICE}", None),
    ("devices", "GET", f"devices?serial={world.SN}", None),
    ("domains", "POST", "domains", {"domain": "app", "enabled": True, "binders": "everyone", "secret": "s" * 32}),
    ("domains", "PATCH", "domains/demo", {"enabled": True, "binders": "everyone"}),
    ("families", "POST", "families", {"fid": "home", "owner": "ada", "members": ["ben"], "rooms": ["hall"]}),
    ("issued_devices", "POST", "issued-devices/import", {"rows": [_CARD]}),
    ("issued_devices", "PATCH", f"issued-devices/{_CUSTOMER}/CARD-0001", {"card_status": "valid"}),
    ("keys", "POST", "keys", {"account": "acme", "kind": "rufus", "grant": "READ", "unbind": False, "alias": "app"}),
    ("keys", "GET", f"keys/{secrets.fingerprint('key')}", None),
    ("privacy", "GET", "privacy/ada", None),
    ("products", "POST", "products", {"product_key": "p2", "mode": 2} | _PRODUCT),
    ("products", "PATCH", f"products/{world.PK}", _PRODUCT),
    ("products", "PUT", f"products/{world.PK}/barred/ada", None),
    ("products", "PUT", f"products/{world.PK}/tsl", TSL),
    ("settings", "PUT", "settings/device_management", {"value": 1}),
    ("users", "POST", "users", {"uid": "dora", "account": "acme"} | _USER),
    ("users", "PATCH", "users/cleo", _USER),
    ("users", "POST", "users/ada/password", {"password": world.PASSWORD}),
    ("users", "POST", "users/ada/tokens", {"dialect": "quectel", "lifetime": 60}),
)
"""Resource, method, path with query, and body."""


def request(method: str, path: str, body: Any) -> Event:
    """Return the event of such a request as API Gateway sends it after verifying the signature."""
    path, _, query = path.partition("?")
    text = None if body is None else json.dumps(body)
    made = event(method, f"/admin/v1/{path}", headers={"content-type": "application/json"}, body=text, query=query)
    made["requestContext"]["authorizer"] = {"iam": {"userArn": OPERATOR}}
    return _with_query(made)


def everything(good: Event) -> Iterator[Named]:
    """Yield every hostile request derived from a valid one."""
    for what, made in hostile.everything(good):
        yield what, _with_query(made)
    path = good["rawPath"].split("/")
    # After /admin/v1/ and the resource, every second segment is an id.
    for part in range(4, len(path), 2):
        for value in (*hostile.VALUES[hostile.SOME], *hostile.RAW[hostile.SOME]):
            if isinstance(value, str) and value:
                yield f"/{value[:30]!r}", good | {"rawPath": "/".join([*path[:part], value, *path[part + 1 :]])}


def _with_query(made: Event) -> Event:
    """Return an event with its query as API Gateway decodes it, with repeated values joined, as the router reads it."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(made["rawQueryString"], keep_blank_values=True):
        given[name] = f"{given[name]},{value}" if name in given else value
    return made | {"queryStringParameters": given}
