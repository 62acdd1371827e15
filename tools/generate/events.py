"""Write docs/events.md and docs/events.schema.json from the catalogue of events: `python -m tools.generate.events`.

The examples are events that tests provoked: `EVENTS_RECORD=1 python -m pytest tests/contract/feed` replaces them.
"""

import json
from collections.abc import Iterator
from typing import Any

from bindery.core import clock
from bindery.feed import catalogue
from bindery.feed.catalogue import EventType
from tools.template import ROOT

PAGE = ROOT / "docs/events.md"
SCHEMA = ROOT / "docs/events.schema.json"
EXAMPLES = ROOT / "tools/generate/events_examples.json"

VERSION = 1
"""Version of the format. A later one may remove members or change their meaning."""

COMPLETE = "device.bound"
"""Type of the event that is shown in whole."""

HEAD = """# Events

What happens to devices, and what operators do, becomes an event within seconds. Every event is in the
[history](history.md), and is published to the stack's event bus and to [webhooks](webhooks.md). This page and
[events.schema.json](events.schema.json) (JSON Schema 2020-12) are generated from
[`bindery/feed/catalogue.py`](../layers/bindery/bindery/feed/catalogue.py): change that module and run `make generate`.

- **Once.** An event keeps its `id` however often it is delivered. Ignore an `id` that you have processed.
- **In order.** The events of a device are a chain: `seq` counts them from 1, and `previous` is the `hash` of the one
  before. Each account, product and other record that operators change has a chain too. Chains have no common order.
- **Only what changed.** A request that changes nothing, such as a repeated ban, gives no event.
- **No names.** Users and customers have random pseudonyms, which an erasure deletes. Events contain no addresses,
  nicknames or credentials. `device` is the device's id in the admin API (`bindery devices show DEVICE`). It is opaque
  but not secret: a quectel device's contains its serial number, an asseco device's its identifier, such as an IMEI.
- **Version 1.** Types and members may be added, so ignore what you do not know. None is removed or changes its meaning.

`at` is the time of the change in milliseconds, in whole seconds on AWS.

"""

_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_TEXT = {"type": "string"}
_TIME = {"type": "integer", "minimum": 0}
_PARTY = {"$ref": "#/$defs/party"}

MEMBERS: dict[str, dict[str, Any]] = {
    "device": _TEXT,
    "api": {"enum": ["asseco", "nowhere", "quectel", "rufus", "vodlix"]},
    "binding": _TEXT,
    "holder": _PARTY,
    "user": _PARTY,
    "subject": _PARTY,
    "operator": _TEXT,
    "reason": _TEXT,
    "cause": {
        "enum": [
            "declined",
            "ended",
            "erased",
            "evicted",
            "expired",
            "holder",
            "operator",
            "retired",
            "returned",
            "transferred",
            "withdrawn",
        ]
    },
    "until": _TIME,
    "exclusive": {"type": "boolean"},
    "address": _ID,
    "connection": _ID,
    "members": {"type": "array", "items": _TEXT, "uniqueItems": True},
    "webhook": _TEXT,
}
"""JSON Schema of each member of `data`."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of events, and of what webhooks receive."""
    names = list(catalogue.TYPES)
    by_type = [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": {"data": {"$ref": f"#/$defs/{name}"}}},
        }
        for name in names
    ]
    event = {
        "id": _ID,
        "type": {"enum": names},
        "at": _TIME,
        "chain": _TEXT,
        "seq": {"type": "integer", "minimum": 1},
        "previous": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
        "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "data": {"type": "object"},
    }
    delivered = {
        "type": {"enum": names},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": {"type": "object", "properties": {"sequence": {"type": "integer"}}, "required": ["sequence"]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:bindery:events:{VERSION}",
        "title": "An event in the history and on the event bus. #/$defs/webhook: as webhooks receive it.",
        "$ref": "#/$defs/event",
        "$defs": {
            "event": _object(event) | {"allOf": by_type},
            "webhook": _object(delivered) | {"allOf": by_type},
            "party": _object({"kind": _TEXT, "id": _TEXT}),
            **{name: _data(kind) for name, kind in catalogue.TYPES.items()},
        },
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


def _data(kind: EventType) -> dict[str, Any]:
    members = {name: MEMBERS[name] | {"description": text} for name, text in kind.members.items()}
    return {"description": kind.description} | _object(
        members, [name for name in kind.members if name not in kind.optional]
    )


def page() -> str:
    """Return the page."""
    examples = json.loads(EXAMPLES.read_text())
    return HEAD + "".join([*_envelopes(examples[COMPLETE]), *_types(examples)])


def _envelopes(event: dict[str, Any]) -> Iterator[str]:
    yield "## In the history, and on the event bus\n\n"
    yield "On the bus, this is the `detail` of an event with the source `bindery` and its type as `detail-type`.\n\n"
    yield _json(event)
    yield "\n## At a webhook\n\nThe header `webhook-id` is the event's `id`. See [webhooks.md](webhooks.md).\n\n"
    body = {"type": event["type"], "timestamp": clock.iso(event["at"])}
    yield _json(body | {"data": event["data"] | {"sequence": event["seq"]}})


def _types(examples: dict[str, Any]) -> Iterator[str]:
    for name, kind in catalogue.TYPES.items():
        yield f"\n## {name}\n\n{kind.description}\n"
        if kind.members:
            yield "\n| member of `data` | |\n|---|---|\n"
        for member, text in kind.members.items():
            yield f"| `{member}` | {text}{' Not in every event.' if member in kind.optional else ''} |\n"
        if name in examples:
            yield "\n" + _json(examples[name]["data"])


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2)}\n```\n"


def main() -> None:
    """Write both files."""
    SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
