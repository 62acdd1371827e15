"""The examples of docs/infrastructure-as-code.md set parameters and read outputs that the template has."""

import ast
import os
import re

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from tests.infrastructure_examples import example
from tools import template
from tools.generate import deploying

PAGE = deploying.EXAMPLES.read_text()
PARAMETERS = template.document()["Parameters"]
OUTPUTS = template.document()["Outputs"]

URL = "https://my-artifacts.s3.eu-central-1.amazonaws.com/bindery/template.yaml"
FILES = {"template.yaml": r"Outputs\.(\w+)", "app.py": r"Outputs\.(\w+)", "main.tf": r"outputs\[\"(\w+)\"\]"}
"""Pattern of an output reference, by example file."""

SET = {"ProxyDomain": "proxy.example.com", "AlarmEmail": "on-call@example.com", "LogRetentionDays": "90"}


def test_documented_outputs_match_the_template() -> None:
    for kind in ("Api", "DevicesTable", "BindingsTable", "DirectoryTable"):
        assert any(name.startswith(kind) and name.endswith("Arn") for name in OUTPUTS)
    assert {"ApiUrl", "ApiId", "DevicesTable", "LogGroup", "AccessLogGroup", "AlarmTopic"} <= OUTPUTS.keys()


@pytest.mark.parametrize("file", FILES)
def test_example_uses_existing_outputs_and_parameters(file: str) -> None:
    text = example(file)
    read = set(re.findall(FILES[file], text))
    assert {"ApiUrl", "AlarmTopic"} <= read <= OUTPUTS.keys()
    for name, value in SET.items():
        assert name in PARAMETERS
        assert re.search(rf'"?{name}"?\s*[:=]\s*"?{re.escape(value)}"?', text), name
        allowed = PARAMETERS[name].get("AllowedPattern", ".*")
        assert re.fullmatch(allowed, value)


def test_sam_example_is_a_nested_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AWS_DEFAULT_REGION", "eu-central-1")
    expanded = transform(yaml_parse(example("template.yaml")), {}, type("None_", (), {"load": lambda self: {}})())
    nested = expanded["Resources"]["Bindery"]
    assert nested["Type"] == "AWS::CloudFormation::Stack"
    assert nested["Properties"]["TemplateURL"] == URL
    assert nested["Properties"]["Parameters"] == SET
    assert nested["DeletionPolicy"] == "Retain"


def test_cdk_example_is_valid_python() -> None:
    ast.parse(example("app.py"))


def test_every_example_acknowledges_capabilities() -> None:
    for capability in ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"):
        assert PAGE.count(capability) >= 3
