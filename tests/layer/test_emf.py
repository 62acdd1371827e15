"""The log line of each request conforms to the specification of CloudWatch's embedded metric format."""

import pytest
from jsonschema import Draft202012Validator

from bindery.core.errors import Reason
from bindery.http import emf

pytestmark = pytest.mark.usefixtures("environment")

NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "additionalProperties": False,
    "properties": {
        "Namespace": NAME | {"maxLength": 256, "pattern": r"^[0-9A-Za-z.\-_/#:]+$"},
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 1, "maxItems": 30, "items": NAME | {"maxLength": 250}},
        },
        "Metrics": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["Name"],
                "additionalProperties": False,
                "properties": {"Name": NAME, "Unit": {"enum": ["Milliseconds", "Count"]}},
            },
        },
    },
}
FORMAT = Draft202012Validator(
    {
        "type": "object",
        "required": ["_aws"],
        "properties": {
            "_aws": {
                "type": "object",
                "required": ["Timestamp", "CloudWatchMetrics"],
                "additionalProperties": False,
                "properties": {
                    "Timestamp": {"type": "integer", "minimum": 1_577_836_800_000, "maximum": 4_102_444_800_000},
                    "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": DIRECTIVE},
                },
            }
        },
    }
)
"""Schema of the specification. Limiting the time to 2020 to 2100 distinguishes milliseconds from seconds."""


@pytest.mark.parametrize(
    ("reason", "measured"),
    [
        (
            None,
            {
                ("Refused", ("dialect",)): 0,
                ("Refused", ("dialect", "operation")): 0,
                ("Latency", ("dialect",)): 12.3,
                ("Latency", ("dialect", "operation")): 12.3,
            },
        ),
        (
            Reason.DEVICE_BANNED,
            {
                ("Refused", ("dialect",)): 1,
                ("Refused", ("dialect", "operation")): 1,
                ("Refused", ("dialect", "operation", "reason")): 1,
            },
        ),
    ],
)
def test_log_line_declares_its_metrics_and_dimensions(
    reason: Reason | None, measured: dict[tuple[str, tuple[str, ...]], float]
) -> None:
    line = emf.members("rufus.bind_device", 0.01234, reason)
    FORMAT.validate(line)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Bindery/bindery"
    assert {
        (metric["Name"], tuple(dimensions)): line[metric["Name"]]
        for metric in directive["Metrics"]
        for dimensions in directive["Dimensions"]
    } == measured
    for name in (name for dimensions in directive["Dimensions"] for name in dimensions):
        assert isinstance(line[name], str)
    assert (line["dialect"], line["operation"], line["reason"]) == ("rufus", "rufus.bind_device", reason)
