"""Callers cannot set fields that they do not own: such fields change neither the response nor the tables."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from pydantic import AliasChoices

from bindery.core import clock
from tests import moto_registry
from tests.http_api import invoke
from tests.properties import world
from tests.properties.hostile import given_of
from tests.properties.staging import Stage, columns, refused, told
from tests.properties.world import Event
from tests.tables import everything
from tools import template

COVETED: dict[str, Any] = {
    "account": "other",
    "address": "80:00:00:00:00:00:00:F9",
    "acc": "other",
    "ban_status": 0,
    "banned_at": 1,
    "banned_by": "me",
    "binding": "planted",
    "bindingMode": 1,
    "bound_at": 1,
    "caller": "cleo",
    "card-status": "blocked",
    "leases": {"planted": {"id": "planted", "until": 9999999999}},
    "created_at": 1,
    "credential": "planted",
    "changed_by": "planted",
    "CreatedRecordStatus": "unregistered",
    "customer": "MIGR00009",
    "customer-id": "MIGR00009",
    "data_center": "planted",
    "device": "planted",
    "device_key": "F9F9F9F9",
    "dialect": "vodlix",
    "disabled": True,
    "domain": "planted",
    "enabled": False,
    "expires_at": 9999999999,
    "gen": 1,
    "generation": 1,
    "grant": "READ_WRITE",
    "holder": "account#other",
    "holder-id": "MIGR00009",
    "identifier": "planted",
    "inactive": True,
    "installation-id": "planted",
    "is-primary": True,
    "kind": "share",
    "collection": "planted",
    "masked-card-number": "planted",
    "mode": 1,
    "owner": "cleo",
    "pk": "planted",
    "push-expiration-date": "2099-01-01",
    "push-id": "planted",
    "role": "administrator",
    "series": "planted",
    "serial": "planted",
    "share": "planted",
    "shares": {"cleo": 9999999999},
    "holder_sort": "planted",
    "sk": "planted",
    "status": "blocked",
    "sub": "cleo",
    "uid": "cleo",
    "unbind": True,
    "user": "cleo",
    "userId": "cleo",
    "__class__": "planted",
    "__proto__": {"holder": "account#other"},
    "device_management": 0,
}
"""Names a caller might try to set: record attributes, rule arguments, token claims and response fields."""

AT_RANDOM = frozenset(
    {"binding", "connection", "credential", "id", "last_at", "proxy", "key_id", "push_id", "series", "session", "share"}
)
"""Attributes with random values."""


def taken(name: str) -> set[str]:
    """Return the names of an operation's parameters."""
    found: set[str] = set()
    for field, said in template.function(name).load().request.model_fields.items():
        alias = said.validation_alias or said.alias or field
        found |= {str(choice) for choice in alias.choices} if isinstance(alias, AliasChoices) else {str(alias)}
    return found


def planted(name: str, event: Event) -> Iterator[tuple[str, Event]]:
    """Yield the request with every name added: as intended, as text and as null, in body and query."""
    coveted = {member: value for member, value in COVETED.items() if member not in taken(name)}
    values = {
        "meant": coveted,
        "text": dict.fromkeys(coveted, "planted"),
        "null": dict.fromkeys(coveted),
        "lists": {member: [value] for member, value in coveted.items()},
    }
    text = {member: value if isinstance(value, str) else json.dumps(value) for member, value in coveted.items()}
    query = [*parse_qsl(event["rawQueryString"], keep_blank_values=True), *text.items()]
    for how, members in values.items():
        if (given := given_of(event) if event.get("body") else {}) is not None:
            yield how, event | {"body": json.dumps(members | given), "isBase64Encoded": False}
    if event.get("body") and event["isBase64Encoded"]:
        form = [*text.items(), *parse_qsl(base64.b64decode(event["body"]).decode())]
        yield "form", event | {"body": base64.b64encode(urlencode(form).encode()).decode()}
    yield "query", event | {"rawQueryString": urlencode(query)}
    yield "headers", event | {"headers": event["headers"] | {f"x-{name}": value for name, value in text.items()}}


def steady(value: Any) -> Any:
    """Return a record without its random values."""
    if isinstance(value, dict):
        return {name: "…" if name in AT_RANDOM else steady(found) for name, found in value.items()}
    return [steady(found) for found in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_fields_a_caller_may_not_set_have_no_effect(
    name: str, stage: Callable[[str, str], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    request = stage(name, columns(name)[0]).request()
    prepared = moto_registry.state()
    own = invoke(name, request)
    assert not refused(name, own)
    after = steady(everything())
    tried = 0
    for how, event in planted(name, request):
        moto_registry.restore(prepared)
        assert told(invoke(name, event)) == told(own), how
        assert steady(everything()) == after, how
        tried += 1
    assert tried >= 3
