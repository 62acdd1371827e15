"""Parameters, tables, log groups and layers of the template."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.stack import test_layering
from tests.stack.test_layering import MODULES
from tools import template
from tools.template import Function

of_the_layer = cache(test_layering.of_the_layer)


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = template.document()["Resources"][logical_id]["Properties"]
    return found


def loaded(source: Path) -> set[str]:
    """Return the layer's modules that a function imports, directly or indirectly."""
    found: set[str] = set()
    new = of_the_layer(source)
    while new:
        found |= new
        new = {imported for module in new for imported in of_the_layer(MODULES[module])} - found
    return found


@pytest.mark.parametrize("name", template.document()["Parameters"])
def test_parameter_has_a_description_and_a_valid_default(name: str):
    parameter = template.document()["Parameters"][name]
    default = parameter["Default"]
    assert parameter["Description"].endswith(".")
    if "AllowedValues" in parameter:
        assert default in parameter["AllowedValues"]
    elif parameter["Type"] == "Number":
        assert parameter["MinValue"] <= int(default) <= parameter["MaxValue"]
    else:
        assert len(default) <= parameter["MaxLength"]
        assert re.fullmatch(parameter["AllowedPattern"], default)


@pytest.mark.parametrize("table", [name for name, _ in template.resources("AWS::DynamoDB::Table")])
def test_table_is_on_demand_with_point_in_time_recovery(table: str):
    assert properties(table)["BillingMode"] == "PAY_PER_REQUEST"
    recovery = properties(table).get("PointInTimeRecoverySpecification")
    assert recovery == (None if table == "FramesTable" else {"PointInTimeRecoveryEnabled": True})


def test_every_log_group_has_a_retention_period():
    for _, log in template.resources("AWS::Logs::LogGroup"):
        assert log["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert template.document()["Globals"]["Function"]["LoggingConfig"]["LogGroup"] == {"Ref": "FunctionLogGroup"}


@pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)
def test_function_has_exactly_the_layers_it_imports(function: Function):
    modules = loaded(function.source)
    # The default route imports the dialect of an unknown path only when it is needed.
    signed = {"security.oidc", "directory.sessions"} & modules or function.name == "default.no_route"
    jwt = [{"Ref": "JwtLayer"}] if signed else []
    cryptography = [{"Fn::If": ["Arm64", {"Ref": "CryptographyArm64Layer"}, {"Ref": "CryptographyX8664Layer"}]}]
    expected = jwt + (cryptography if {"security.oidc", "security.encryption"} & modules else [])
    assert properties(function.logical_id).get("Layers", []) == expected


@pytest.mark.parametrize("name", ["Deps", "Cryptography"])
@pytest.mark.parametrize(("condition", "architecture"), [("Arm64", "arm64"), ("X8664", "x86_64")])
def test_layer_of_wheels_is_deployed_for_its_architecture(name: str, condition: str, architecture: str):
    layer = template.document()["Resources"][f"{name}{condition}Layer"]
    assert layer["Condition"] == condition
    assert layer["Metadata"]["BuildMethod"] == "makefile"
    assert layer["Metadata"].get("BuildArchitecture", "x86_64") == architecture
    assert layer["Properties"]["CompatibleArchitectures"] == [architecture]
