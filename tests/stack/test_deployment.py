"""Versions, aliases, canaries and invoke permissions of a deployed stack, and CloudFormation's limits."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from typing import Any

import pytest

from tools import template
from tools.expanded import expand, resources
from tools.generate import roles
from tools.template import INTEGRATIONS, Function

RESOURCES = 500
TEMPLATE_BYTES = 1_000_000
OUTPUTS = 200
LIVE = re.escape(roles.FUNCTION_ARN) + r"bindery-\$\{stack\}-[a-z]+-\*:live"

ROOM = 45
"""Number of additional operations that must fit the limits, each with a role of its own."""

CANARIES = {
    logical_id
    for logical_id, properties in template.resources("AWS::Serverless::Function")
    if "DeploymentPreference" in properties
}


@cache
def deployed() -> dict[str, Any]:
    return expand(template.document())


def gateway_role(function: Function) -> str:
    return "AdminGatewayRole" if function.name.startswith("admin.") else "DialectsGatewayRole"


def callable_by(role: str) -> list[str]:
    """Return the functions whose live versions a gateway role may invoke."""
    policies = template.document()["Resources"][role]["Properties"]["Policies"]
    (statement,) = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "lambda:InvokeFunction")
    assert all("Ref" in each or re.fullmatch(LIVE, each["Fn::Sub"][0]) for each in statement["Resource"])
    return roles.invocable(statement)


def named(part: Any) -> Iterator[str]:
    """Yield the resources and parameters that a part of a template references."""
    if isinstance(part, list):
        for each in part:
            yield from named(each)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value.partition(".")[0] if isinstance(value, str) else value[0]
            elif key == "Fn::Sub":
                yield from re.findall(r"\$\{([\w:]+)[.}]", value if isinstance(value, str) else value[0])
            elif key == "DependsOn":
                yield from [value] if isinstance(value, str) else value
            yield from named(value)


def test_more_operations_fit_the_cloudformation_limits():
    stack, nested = deployed(), template.roles()
    each = [name for name in stack["Resources"] if name.startswith("QuectelUnbundlingDeviceDk")]
    assert len(each) == 3
    assert len(stack["Resources"]) + ROOM * len(each) <= RESOURCES
    assert len(nested["Resources"]) + ROOM <= RESOURCES
    assert len(nested["Outputs"]) + ROOM <= OUTPUTS
    for document in (stack, nested):
        assert len(json.dumps(document)) * (1 + ROOM / len(template.functions())) <= TEMPLATE_BYTES


def test_roles_get_the_parameters_of_their_template():
    passed = template.document()["Resources"]["Roles"]["Properties"]["Parameters"]
    assert passed.keys() == template.roles()["Parameters"].keys()
    used = {*named({part: template.roles()[part] for part in ("Conditions", "Resources")})}
    assert passed.keys() == {name for name in used if not name.startswith("AWS::")}
    for name, value in passed.items():
        (text,) = value.values()
        # `Stack` is a part of the stack's id.
        assert name == "Stack" or name in [*named(value)] or {"Ref": name} in text[1]["table"]["Fn::If"]


@pytest.mark.parametrize("function", template.http_functions(), ids=lambda function: function.name)
def test_routes_of_a_function_invoke_its_live_alias(function: Function):
    integration = template.api()["components"][INTEGRATIONS][function.logical_id]
    prefix = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions"
    assert integration == {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "payloadFormatVersion": "2.0",
        "credentials": {"Fn::GetAtt": [gateway_role(function), "Arn"]},
        "uri": {"Fn::Sub": [f"{prefix}/${{live}}/invocations", {"live": {"Ref": f"{function.logical_id}.Alias"}}]},
    }
    body = deployed()["Resources"]["Api"]["Properties"]["Body"]
    uri = body["components"][INTEGRATIONS][function.logical_id]["uri"]
    assert uri["Fn::Sub"][1] == {"live": {"Ref": f"{function.logical_id}Aliaslive"}}


def test_gateway_may_invoke_only_live_aliases():
    for role in ("DialectsGatewayRole", "AdminGatewayRole"):
        theirs = [function.logical_id for function in template.http_functions() if gateway_role(function) == role]
        assert sorted(callable_by(role)) == sorted(theirs)
    assert template.api()["components"][INTEGRATIONS].keys() == {
        function.logical_id for function in template.http_functions()
    }
    assert sorted(callable_by("LinkGatewayRole")) == sorted(
        function.logical_id for function in (*template.link().values(), template.relay())
    )
    # The rule that delivers events is not API Gateway.
    (permission,) = resources(deployed(), "AWS::Lambda::Permission").values()
    assert permission["Properties"]["SourceArn"] == {"Fn::GetAtt": ["DeliverySchedule", "Arn"]}


def test_path_declares_its_parameters():
    for path, methods in template.api()["paths"].items():
        for method in methods.values():
            declared = [(parameter["name"], parameter["in"]) for parameter in method.get("parameters", [])]
            assert declared == [(name, "path") for name in re.findall(r"\{([^/]+)\}", path)]


def test_each_api_the_link_and_the_relay_have_canaries():
    found = {function.name.partition(".")[0] for function in template.functions() if function.logical_id in CANARIES}
    assert {"rufus", "quectel", "asseco", "remoteit", "vodlix", "link", "relay"} <= found


@pytest.mark.parametrize("function", sorted(CANARIES))
def test_new_version_of_a_canary_gets_a_tenth_of_requests_for_five_minutes(function: str):
    alias = deployed()["Resources"][f"{function}Aliaslive"]
    name = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]
    assert name == {"Ref": f"{function}DeploymentGroup"}
    group = deployed()["Resources"][f"{function}DeploymentGroup"]["Properties"]
    assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": {"Ref": "ErrorsAlarm"}}]}
    assert group["AutoRollbackConfiguration"]["Enabled"]
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": "Canary10Percent5Minutes"}
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["DeploymentRole", "Arn"]}


@pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)
def test_function_changes_only_after_all_canaries_have_moved(function: Function):
    if function.logical_id in CANARIES:
        assert "DependsOn" not in deployed()["Resources"][function.logical_id]
        return
    aliases = {f"{canary}Aliaslive" for canary in CANARIES}
    assert set(deployed()["Resources"][function.logical_id]["DependsOn"]) == aliases
    assert "UpdatePolicy" not in deployed()["Resources"][f"{function.logical_id}Aliaslive"]


def test_resources_have_no_circular_dependency():
    for canaries in ("true", "false"):
        found = expand(template.document(), CanaryDeployments=canaries)["Resources"]
        needed = {name: found.keys() & set(named(resource)) for name, resource in found.items()}
        for canary in CANARIES:
            assert f"{canary}Aliaslive" in needed["DefaultNoRoute"]
            assert canaries == "false" or f"{canary}DeploymentGroup" in needed[f"{canary}Aliaslive"]
        # Raises an error that names the cycle.
        TopologicalSorter(needed).prepare()


def test_new_versions_are_live_at_once_without_canaries():
    expanded = expand(template.document(), CanaryDeployments="false")
    assert not resources(expanded, "AWS::CodeDeploy::DeploymentGroup")
    aliases = resources(expanded, "AWS::Lambda::Alias").values()
    assert len(aliases) == len(template.functions())
    assert not any("UpdatePolicy" in alias for alias in aliases)


def test_snapstart_is_off_by_default():
    parameter = deployed()["Parameters"]["SnapStart"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("None", ["None", "PublishedVersions"])
    for function in resources(deployed(), "AWS::Lambda::Function").values():
        assert function["Properties"]["SnapStart"] == {"ApplyOn": {"Ref": "SnapStart"}}


@pytest.mark.parametrize("layer", [name for name, _ in template.resources("AWS::Serverless::LayerVersion")])
def test_changed_layer_publishes_new_versions_of_its_functions(layer: str):
    document = copy.deepcopy(template.document())
    document["Resources"][layer]["Properties"]["ContentUri"] = "s3://bucket/another"
    versions = resources(expand(document), "AWS::Lambda::Version").keys()
    new = {
        re.sub(r"Version[0-9a-f]+$", "", name)
        for name in versions - resources(deployed(), "AWS::Lambda::Version").keys()
    }
    shared = document["Globals"]["Function"]["Layers"]
    naming = {
        function.logical_id
        for function in template.functions()
        if {"Ref": layer} in shared + document["Resources"][function.logical_id]["Properties"].get("Layers", [])
    }
    assert new == naming
    # For layers with a condition, the checksum in the shared layer changes: tests/stack/test_build.py.
    assert naming or "Condition" in document["Resources"][layer]


def reaching_functions() -> list[str]:
    """Return the parameters that affect a function, directly or through a condition."""
    expanded = deployed()
    text = json.dumps(resources(expanded, "AWS::Lambda::Function"))
    conditions = {name: said for name, said in expanded["Conditions"].items() if f'{{"Fn::If": ["{name}",' in text}
    text += json.dumps(conditions) + json.dumps([expanded["Conditions"]["Arm64"]])
    return [name for name in expanded["Parameters"] if f'{{"Ref": "{name}"}}' in text]


ANOTHER = {
    "Architecture": "x86_64",
    "SnapStart": "PublishedVersions",
    "Tracing": "Active",
    "LeaseSeconds": "600",
    "AwsClient": "botocore",
    "SecretsVersion": "2",
}


@pytest.mark.parametrize("parameter", [*reaching_functions(), "SecretsVersion"])
def test_changed_parameter_publishes_new_function_versions(parameter: str):
    before, after = (
        resources(expanded, "AWS::Lambda::Version")
        for expanded in (deployed(), expand(template.document(), **{parameter: ANOTHER.get(parameter, "another")}))
    )
    assert before.keys() == after.keys()
    for name, version in before.items():
        # A different description replaces the version. It names the layer, so the function has changed too.
        assert version["Properties"]["Description"]["Ref"].startswith("BinderyLayer")
        assert after[name]["Properties"]["Description"] != version["Properties"]["Description"]


def test_longest_parameter_values_fit_the_layer_description():
    parameters, layer = deployed()["Parameters"], template.document()["Resources"]["BinderyLayer"]["Properties"]
    for said, longest in (("Description", 256), ("LicenseInfo", 512)):
        text = layer[said]["Fn::Sub"]
        for name in re.findall(r"\$\{(\w+)\}", text):
            allowed = parameters[name]
            most = allowed.get("MaxLength") or max(
                map(len, map(str, allowed.get("AllowedValues", [allowed.get("MaxValue")])))
            )
            text = text.replace(f"${{{name}}}", "x" * int(most))
        assert len(text) <= longest


def test_every_role_has_the_optional_permissions_boundary():
    kept = resources(deployed(), "AWS::IAM::Role")
    assert kept.keys() == resources(template.document(), "AWS::IAM::Role").keys()
    for role in (*kept.values(), *template.roles()["Resources"].values()):
        assert role["Properties"]["PermissionsBoundary"] == {
            "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]
        }
    name = "HasPermissionsBoundary"
    assert template.roles()["Conditions"][name] == template.document()["Conditions"][name]


def test_access_log_contains_routes_but_no_paths_or_callers():
    stage = resources(deployed(), "AWS::ApiGatewayV2::Stage")["ApiApiGatewayDefaultStage"]
    written = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    logged = (
        *("requestId", "requestTime", "routeKey", "status", "responseLength", "responseLatency"),
        *("integrationStatus", "integrationLatency", "integrationErrorMessage", "error.message"),
    )
    assert set(written.values()) == {f"$context.{name}" for name in logged}


def test_custom_domain_is_optional():
    document = template.document()
    for name in ("Domain", "DomainMapping"):
        assert document["Resources"][name]["Condition"] == "CustomDomain"
    assert document["Conditions"]["CustomDomain"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DomainName"}, ""]}]}
    assert document["Rules"]["Domain"]["RuleCondition"] == document["Conditions"]["CustomDomain"]
