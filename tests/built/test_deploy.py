"""The template, expanded and deployed by the SAM CLI to ministack, a local CloudFormation, yields the expected stack.

ministack does not support all of CloudFormation: `within_reach` removes what it rejects. Some properties it accepts
and ignores, so only tests/stack checks them, in the template: an API's routes from its OpenAPI definition and their
throttling, a table's point-in-time recovery, time to live and encryption, and the character set of a secret. For a
secret, ministack returns its name where CloudFormation returns its ARN.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.runtime import BUILD, PROCESSOR, layers, ready
from tests.server.servers import free_port, listens
from tools import template
from tools.expanded import expand, resources
from tools.generate import roles
from tools.template import ROOT, Function

STACK = "bindery"
REGION = "eu-central-1"
BUCKET = "artifacts"
START_SECONDS = 60
PARAMETERS = {"Architecture": PROCESSOR, "CanaryDeployments": "false"}
"""Canary deployments need CodeDeploy, which ministack does not support."""

every_function = pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)


UNKNOWN = {
    "AWS::ApiGatewayV2::IntegrationResponse",
    "AWS::ApiGatewayV2::RouteResponse",
    "AWS::Logs::QueryDefinition",
}
"""Other resource types that ministack does not support. It names them when it rejects a template."""


def within_reach(expanded: dict[str, Any]) -> dict[str, Any]:
    """Return the template without unsupported resources, and with built folders instead of uploaded artifacts."""
    kept = {
        name: resource
        for name, resource in expanded["Resources"].items()
        if resource["Type"] not in UNKNOWN
        # Alarms on metric expressions.
        and not (resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"])
    }
    for name, function in resources(expanded, "AWS::Lambda::Function").items():
        function["Properties"]["Code"] = str(BUILD / name)
    for layer in resources(expanded, "AWS::Lambda::LayerVersion").values():
        layer["Properties"]["Content"] = str(BUILD / layer["Properties"]["Content"]["S3Key"])
    for name, stack in resources(expanded, "AWS::CloudFormation::Stack").items():
        stack["Properties"]["TemplateURL"] = str(BUILD / name / "template.yaml")
    return expanded | {"Resources": kept}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set the environment to an empty local AWS account."""
    ready()
    folder = tmp_path_factory.mktemp("ministack")
    port = free_port()
    own = {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "DOCKER_HOST": "unix:///nonexistent"}
    given = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [ROOT / ".venv/ministack/bin/ministack"],
            env=own | given,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            patch.setenv("AWS_DEFAULT_REGION", REGION)
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, "local")
            for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
                patch.setenv(name, os.devnull)
            patch.setenv("NO_PROXY", "*")
            wait(port, process, folder / "log")
            yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not listens(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def deployed(account: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Deploy the template with the SAM CLI, without building or prompting, and return it."""
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "template.json").write_text(json.dumps(within_reach(expand(template.document(), **PARAMETERS))))
    boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    done = subprocess.run(
        [
            *(ROOT / ".venv/sam/bin/sam", "deploy", "--template-file", folder / "template.json"),
            *f"--stack-name {STACK} --s3-bucket {BUCKET} --no-confirm-changeset --no-progressbar".split(),
            *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--parameter-overrides"),
            *(f"{name}={value}" for name, value in PARAMETERS.items()),
        ],
        cwd=folder,
        env=os.environ | {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(ROOT / ".venv/sam/home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    given: dict[str, Any] = json.loads((folder / "template.json").read_text())
    return given


@pytest.fixture(scope="module")
def physical(deployed: dict[str, Any]) -> dict[str, str]:
    """Physical ids of the stack's resources, by logical id."""
    return identified(STACK)


@pytest.fixture(scope="module")
def nested(physical: dict[str, str]) -> dict[str, str]:
    """Physical ids of the roles, by logical id."""
    return identified(physical["Roles"])


def identified(stack: str) -> dict[str, str]:
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }


def test_stack_contains_exactly_the_expected_resources(
    deployed: dict[str, Any], physical: dict[str, str], nested: dict[str, str]
):
    there = {"Arm64" if PROCESSOR == "arm64" else "X8664", None}
    expected = {name for name, resource in deployed["Resources"].items() if resource.get("Condition") in there}
    assert set(physical) == expected
    assert nested.keys() == template.roles()["Resources"].keys()


def test_stack_outputs_match_the_template_and_the_api(deployed: dict[str, Any], physical: dict[str, str]):
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    found = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert set(found) == {name for name, output in deployed["Outputs"].items() if "Condition" not in output}
    assert found["ApiUrl"] == found["GatewayUrl"] == f"https://{physical['Api']}.execute-api.{REGION}.amazonaws.com"


@pytest.mark.parametrize("table", [name for name, _ in template.resources("AWS::DynamoDB::Table")])
def test_table_has_the_keys_and_indexes_of_the_template(table: str, physical: dict[str, str]):
    found = boto3.client("dynamodb").describe_table(TableName=physical[table])["Table"]
    described = {
        "AttributeDefinitions": found["AttributeDefinitions"],
        "KeySchema": found["KeySchema"],
        "BillingMode": found["BillingModeSummary"]["BillingMode"],
    }
    if "GlobalSecondaryIndexes" in found:
        described["GlobalSecondaryIndexes"] = [
            {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
            for index in found["GlobalSecondaryIndexes"]
        ]
    assert described == template.table_properties(table)


@pytest.mark.parametrize("secret", [name for name, _ in template.resources("AWS::SecretsManager::Secret")])
def test_secret_has_the_length_set_in_the_template(secret: str, physical: dict[str, str]):
    made = boto3.client("secretsmanager").get_secret_value(SecretId=physical[secret])["SecretString"]
    asked = template.document()["Resources"][secret]["Properties"]["GenerateSecretString"]
    assert len(made) == asked["PasswordLength"]


@every_function
def test_live_version_has_the_tables_and_secrets_of_the_stack(function: Function, physical: dict[str, str]):
    found = boto3.client("lambda").get_function_configuration(
        FunctionName=physical[function.logical_id], Qualifier="live"
    )
    told = {name: template.resolve(value, physical) for name, value in function.environment.items()}
    if "FUNCTION_PREFIX" in told:
        # `local` in place of a part of the stack's UUID.
        told["FUNCTION_PREFIX"] = physical[function.logical_id].removesuffix(function.name.replace(".", "-"))
    if "LINK_ENDPOINT" in told:
        told["LINK_ENDPOINT"] = f"https://{physical['LinkApi']}.execute-api.{REGION}.amazonaws.com/link"
    assert found["Environment"]["Variables"] == told
    assert (found["Handler"], found["Architectures"]) == (function.handler, [PROCESSOR])
    named = [f"{STACK}-{layer}" for layer in layers(function)]
    assert [layer["Arn"].split(":")[6] for layer in found["Layers"]] == named


@every_function
def test_role_is_limited_to_tables_and_secrets_of_the_stack(
    function: Function, physical: dict[str, str], nested: dict[str, str]
):
    properties = template.document()["Resources"][function.logical_id]["Properties"]
    role, client = nested[template.role(properties)], boto3.client("iam")
    configured = boto3.client("lambda").get_function_configuration(FunctionName=physical[function.logical_id])
    assert configured["Role"].endswith(f":role/{role}")
    names = client.list_role_policies(RoleName=role)["PolicyNames"]
    policies = [client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    found = [
        (statement["Action"], statement["Resource"], statement.get("Condition"))
        for policy in policies
        for statement in policy["Statement"]
    ]
    log = boto3.client("logs").describe_log_groups(logGroupNamePrefix=physical["FunctionLogGroup"])["logGroups"][0][
        "arn"
    ]
    assert found == [
        (["logs:CreateLogStream", "logs:PutLogEvents"], log, None),
        *(
            (statement["Action"], used(statement["Resource"], physical), statement.get("Condition"))
            for statement in function.policies
        ),
    ]


def used(written: Any, physical: dict[str, str]) -> Any:
    """Return what a policy names: the ARN of a table or index, a secret, connections, or live versions of functions."""
    if isinstance(written, list):
        return [used(each, physical) for each in written]
    if ":function:" in written.get("Fn::Sub", ""):
        # A pattern of names, or the name of one function.
        prefix = physical["RufusBindDevice"].removesuffix("rufus-bind_device")
        account = boto3.client("sts").get_caller_identity()["Account"]
        name = written["Fn::Sub"].partition("${Stack}-")[2]
        return f"arn:aws:lambda:{REGION}:{account}:function:{prefix}{name}"
    name = roles.resource(written)
    table, _, index = name.partition("/")
    if table == roles.LINK:
        account = boto3.client("sts").get_caller_identity()["Account"]
        return f"arn:aws:execute-api:{REGION}:{account}:{physical[table]}/link/{index}/@connections/*"
    if table == "EventBus":
        return str(boto3.client("events").describe_event_bus(Name=physical[table])["Arn"])
    if table == "FeedFailures":
        attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=physical[table], AttributeNames=["QueueArn"])
        return attributes["Attributes"]["QueueArn"]
    if not table.endswith("Table"):
        return physical[table]
    arn = boto3.client("dynamodb").describe_table(TableName=physical[table])["Table"]["TableArn"]
    if index == "stream":
        return f"{arn}/stream/*"
    return f"{arn}/index/{index}" if index else str(arn)
