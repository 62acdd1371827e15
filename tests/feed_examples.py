"""Events that tests provoke: each is valid in the published schema, and EVENTS_RECORD=1 keeps one of each type."""

import json
import os
from collections.abc import Iterable
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tools.generate import events

RECORDING = os.environ.get("EVENTS_RECORD") == "1"


def hold(found: Iterable[dict[str, Any]]) -> None:
    """Check events against the schema, or record them as examples. Of a type, the one with most members is kept."""
    for event in found:
        _schema().validate(event)
        if RECORDING:
            recorded = json.loads(events.EXAMPLES.read_text()) if events.EXAMPLES.exists() else {}
            if len(event["data"]) >= len(recorded.get(event["type"], {"data": {}})["data"]):
                recorded[event["type"]] = event
            events.EXAMPLES.write_text(json.dumps(dict(sorted(recorded.items())), indent=1) + "\n")


@cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(events.schema())
