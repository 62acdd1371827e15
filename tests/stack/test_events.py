"""docs/events.md and the JSON Schema describe every type of event, with an event that a test provoked."""

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bindery.feed import catalogue, delivery
from tools.generate import events

EXAMPLES: dict[str, Any] = json.loads(events.EXAMPLES.read_text())
RECORDED = catalogue.TYPES.keys() - {"webhook.test"}


def test_page_and_schema_are_up_to_date() -> None:
    assert events.PAGE.read_text() == events.page(), "make generate"
    assert json.loads(events.SCHEMA.read_text()) == events.schema(), "make generate"


def test_schema_is_valid_and_names_every_member() -> None:
    Draft202012Validator.check_schema(events.schema())
    assert events.MEMBERS.keys() == {name for kind in catalogue.TYPES.values() for name in kind.members}


def test_every_recorded_type_has_an_example() -> None:
    assert EXAMPLES.keys() == RECORDED


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_example_is_valid_as_published_and_as_delivered(name: str) -> None:
    schema = events.schema()
    Draft202012Validator(schema).validate(EXAMPLES[name])
    body = json.loads(delivery.body(EXAMPLES[name]))
    Draft202012Validator(schema | {"$ref": "#/$defs/webhook"}).validate(body)


def test_data_of_another_type_is_invalid() -> None:
    event = copy.deepcopy(EXAMPLES["device.bound"])
    del event["data"]["holder"]
    assert not Draft202012Validator(events.schema()).is_valid(event)
    assert Draft202012Validator(events.schema()).is_valid(event | {"type": "device.online"})
