"""AWS's requirements on the template that no local service checks."""

import json
import re
from functools import cache
from typing import Any

import pytest

from tools import template
from tools.expanded import expand, resources
from tools.generate import roles
from tools.template import Function
from tools.voices import VOICES

INLINE_POLICY_CHARACTERS = 10_240
"""Maximum size of all inline policies of a role, not counting whitespace."""

TABLE = f"{'s' * 128}-DirectoryTable-{'r' * 13}"
"""Longest name that CloudFormation generates for a table, with the stack's name and a random part."""

LONGEST = f"arn:aws-us-gov:dynamodb:ap-northeast-1:123456789012:table/{TABLE}"
"""Upper bound for the ARNs that are parameters of the functions' roles."""

NAMED = {
    "FunctionName": "['bindery-${stack}-",
    "DashboardName": "${AWS::StackName}-${AWS::Region}",
    "LayerName": "${AWS::StackName}-",
    "Name": "${AWS::StackName}",
}
"""The prefix of explicit names, by property. Dashboards are global, so their names include the region."""

KEPT = ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup")

UNPREFIXED = ("/by_serial", "/by_label", "/by_credential")
"""Indexes whose partition keys have no prefix."""

WITHOUT_KEYS = {"feed.record", "admin.history"}
"""Functions that may use the bus, the queue and the streams, which have no keys."""

ROLES = resources(template.document(), "AWS::IAM::Role") | template.roles()["Resources"]
"""Roles of both stacks."""

TRUSTED = {"DialectsGatewayRole", "AdminGatewayRole", "LinkGatewayRole"}

every_function = pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)
every_table = pytest.mark.parametrize(
    "table", [name for name, _ in template.resources("AWS::DynamoDB::Table") if name != "FramesTable"]
)


@cache
def deployed() -> dict[str, Any]:
    return expand(template.document())


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = deployed()["Resources"][logical_id]["Properties"]
    return found


def statements(role: str) -> list[Any]:
    policies = ROLES[role]["Properties"].get("Policies", [])
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def test_trust_of_the_gateway_has_no_condition():
    trust = {name: role["Properties"]["AssumeRolePolicyDocument"]["Statement"] for name, role in ROLES.items()}
    gateway = {
        name: statement
        for name, found in trust.items()
        for statement in found
        if statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
    }
    # API Gateway sends no aws:SourceAccount and no aws:SourceArn when it assumes an integration's role.
    assert gateway.keys() == TRUSTED
    assert all(statement.keys() == {"Effect", "Action", "Principal"} for statement in gateway.values())


def test_access_is_that_of_functions():
    assert roles.access().keys() <= {function.name for function in template.functions()}


def test_no_function_has_a_managed_policy():
    managed = {name for name, role in ROLES.items() if "ManagedPolicyArns" in role["Properties"]}
    assert managed == {"DeploymentRole"}


def test_every_role_is_in_use():
    used = {template.role(properties(function.logical_id)) for function in template.functions()}
    assert used == template.roles()["Resources"].keys()
    assert TRUSTED | {"DeploymentRole"} == resources(template.document(), "AWS::IAM::Role").keys()


@every_function
def test_function_may_write_logs_and_optionally_traces(function: Function):
    log, trace, *own = statements(template.role(properties(function.logical_id)))
    assert log["Resource"] == {"Ref": "FunctionLogGroup"}
    assert log["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    traced, statement, otherwise = trace["Fn::If"]
    assert (traced, otherwise) == ("Traced", {"Ref": "AWS::NoValue"})
    assert statement["Action"] == ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    assert own == [*function.policies]


@every_function
def test_statement_names_actions_resource_and_keys(function: Function):
    for statement in function.policies:
        service = {action.partition(":")[0] for action in statement["Action"]}
        assert statement["Effect"] == "Allow"
        text = json.dumps([statement["Action"], statement["Resource"]])
        if statement["Action"] == [roles.INVOKE] and function.name == "default.no_route":
            assert statement.keys() == {"Effect", "Action", "Resource"}
            assert roles.invocable(statement) == [
                each.logical_id for each in template.http_functions() if each.name.partition(".")[0] in VOICES
            ]
            continue
        named = roles.resources(statement)
        # A function may manage any connection, because connections have random ids, and streams are listed by table.
        assert "*" not in re.sub("/@connections/[*]|/stream/[*]", "", text)
        if service == {"lambda"}:
            assert named == ["FeedDeliver"]
        elif service <= {"events", "sqs"} or all(each.endswith("/stream") for each in named):
            assert statement.keys() == {"Effect", "Action", "Resource"}
            assert function.name in WITHOUT_KEYS
        elif service == {"execute-api"}:
            assert {*named} <= {"LinkApi/POST", "LinkApi/DELETE"}
        elif statement["Action"] == ["dynamodb:Scan"]:
            # Only for an operators' task. A scan has no keys.
            assert function.name in ("admin.devices", "admin.domains")
            assert statement.keys() == {"Effect", "Action", "Resource"}
        elif service == {"secretsmanager"} or all(each.endswith(UNPREFIXED) for each in named):
            assert statement.keys() == {"Effect", "Action", "Resource"}
        else:
            ((operator, keys),) = statement["Condition"].items()
            assert (operator, *keys) == ("ForAllValues:StringLike", "dynamodb:LeadingKeys")
            # The pattern of the doctor's items ends in `-*`, every other one in `#*`.
            assert all(re.fullmatch(r"\w+(#\*|-\*)?", pattern) for pattern in keys["dynamodb:LeadingKeys"])


def longest(resource: dict[str, Any]) -> str:
    """Return an upper bound for the ARN that a statement names."""
    ((intrinsic, value),) = resource.items()
    if intrinsic == "Ref" and not value.endswith(".Alias"):
        return LONGEST
    if intrinsic == "Ref":
        name = template.resolve(properties(value.removesuffix(".Alias"))["FunctionName"], {})
        return f"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:{name.replace('local', '1a2b3c4d')}:live"
    text = value if isinstance(value, str) else value[0]
    sizes = {"Partition": "aws-us-gov", "Region": "ap-northeast-1", "AccountId": "123456789012"}
    text = re.sub(r"\$\{AWS::(\w+)\}", lambda found: sizes[found[1]], text)
    text = re.sub(r"\$\{([Ss]tack|LinkApi)\}", "1a2b3c4d5e", text)
    return re.sub(r"\$\{\w+\}", LONGEST, text)


@pytest.mark.parametrize("role", ROLES)
def test_inline_policies_of_a_role_are_within_iams_limit(role: str):
    written = []
    for statement in statements(role):
        if "Resource" in statement:
            named = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            statement = statement | {"Resource": [longest(each) for each in named]}
        written.append(statement)
    policies = json.dumps(written, separators=(",", ":"))
    assert len(policies) <= INLINE_POLICY_CHARACTERS


def test_explicit_names_contain_the_name_or_id_of_the_stack():
    fixed = {
        (name, str(value["Fn::Sub"] if isinstance(value, dict) and "Fn::Sub" in value else value))
        for resource in (*deployed()["Resources"].values(), *template.roles()["Resources"].values())
        # These names are scoped to an API and a function.
        if resource["Type"] not in ("AWS::ApiGatewayV2::Authorizer", "AWS::ApiGatewayV2::Stage", "AWS::Lambda::Alias")
        for name, value in resource.get("Properties", {}).items()
        if name in NAMED or re.fullmatch(r"(Function|Table|Role|LogGroup|Topic|Alarm)Name", name)
        if not (isinstance(value, dict) and value.keys() & {"Ref", "Fn::If"})
    }
    assert {name for name, _ in fixed} == NAMED.keys()
    # `$default` invokes an operation's function by its name.
    for function in template.functions():
        named = template.resolve(properties(function.logical_id)["FunctionName"], {})
        assert named == f"bindery-local-{function.name.replace('.', '-')}"
        assert len(named.replace("local", "1a2b3c4d")) <= 64
    assert all(value.startswith(NAMED[name]) for name, value in fixed)


@pytest.mark.parametrize("kind", KEPT)
def test_state_is_retained_except_after_a_failed_creation(kind: str):
    kept = resources(deployed(), kind)
    assert kept
    for name, resource in kept.items():
        policies = ("Delete", "Delete") if name == "FramesTable" else ("RetainExceptOnCreate", "Retain")
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == policies


def test_version_replaced_by_new_parameters_is_deleted():
    # SAM keeps a version that leaves the template, not one that is replaced: docs/deploying.md says how to roll back.
    for version in resources(deployed(), "AWS::Lambda::Version").values():
        assert (version["DeletionPolicy"], version.get("UpdateReplacePolicy")) == ("Retain", None)


def parameter(name: str, default: object) -> dict[str, str]:
    assert deployed()["Parameters"][name]["Default"] == default
    return {"Ref": name}


@every_table
def test_table_uses_the_default_key_and_optional_protection(table: str):
    # Without a specification, DynamoDB uses its own key and does not call KMS.
    assert "SSESpecification" not in properties(table)
    # A protected table could not be deleted after a failed creation.
    assert properties(table)["DeletionProtectionEnabled"] == parameter("DeletionProtection", "false")


@every_table
def test_warm_throughput_is_optional_for_table_and_indexes(table: str):
    condition = deployed()["Conditions"]["Warmed"]["Fn::Not"][0]["Fn::And"]
    assert condition == [
        {"Fn::Equals": [parameter("WarmReads", 12000), 12000]},
        {"Fn::Equals": [parameter("WarmWrites", 4000), 4000]},
    ]
    for warmed in (properties(table), *properties(table)["GlobalSecondaryIndexes"]):
        assert warmed.get("WarmThroughput") == {
            "Fn::If": [
                "Warmed",
                {"ReadUnitsPerSecond": {"Ref": "WarmReads"}, "WriteUnitsPerSecond": {"Ref": "WarmWrites"}},
                {"Ref": "AWS::NoValue"},
            ]
        }


def test_tracing_is_off_by_default():
    assert template.roles()["Conditions"]["Traced"] == {"Fn::Equals": [{"Ref": "Tracing"}, "Active"]}
    for function in resources(deployed(), "AWS::Lambda::Function").values():
        assert function["Properties"]["TracingConfig"] == {"Mode": parameter("Tracing", "PassThrough")}


def test_default_endpoint_can_be_disabled_with_a_custom_domain():
    (server,) = properties("Api")["Body"]["servers"]
    endpoint = server["x-amazon-apigateway-endpoint-configuration"]
    assert endpoint == {"disableExecuteApiEndpoint": {"Fn::If": ["EndpointDisabled", True, False]}}
    assert deployed()["Conditions"]["EndpointDisabled"] == {
        "Fn::And": [
            {"Condition": "CustomDomain"},
            {"Fn::Equals": [parameter("ExecuteApiEndpoint", "enabled"), "disabled"]},
        ]
    }


def test_route_throttling_limits_are_integers():
    stages = resources(deployed(), "AWS::ApiGatewayV2::Stage")
    rate = {"Ref": "RouteRate"}
    for stage in stages.values():
        # The property's type is a number, so CloudFormation converts the parameter from text.
        assert stage["Properties"]["DefaultRouteSettings"] == {
            "ThrottlingRateLimit": rate,
            "ThrottlingBurstLimit": rate,
        }
    settings, parameters = stages["ApiApiGatewayDefaultStage"]["Properties"], deployed()["Parameters"]
    condition, usual, otherwise = settings["RouteSettings"]["Fn::If"]
    text = otherwise["Fn::Sub"]
    written = json.loads(re.sub(r"\$\{(\w+)\}", lambda found: str(parameters[found[1]]["Default"]), text))
    assert written == usual
    compared = deployed()["Conditions"][condition]["Fn::And"]
    assert {each["Fn::Equals"][0]["Ref"]: each["Fn::Equals"][1] for each in compared} == {
        name: parameters[name]["Default"] for name in re.findall(r"\$\{(\w+)\}", text)
    }
    routes = {f"{route.method} {route.path}" for function in template.functions() for route in function.routes}
    assert usual.keys() <= routes | {"$default"}
    # Most logins cost a hash.
    logins = {route for route in routes if route.lower().endswith(("login", "/authhash"))}
    assert usual.keys() - {"POST /api/v2/device", "POST /api/v2/device_activity", "$default"} == logins
    assert text.count("${LoginRate}") == 2 * len(logins)
    for rates in usual.values():
        assert rates.keys() == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
        assert all(type(limit) is int for limit in rates.values())
