"""`bindery restore` and `bindery switch` with a stack that has the template's tables and parameters."""

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from tests.server.programs import COMMAND
from tools import template
from tools.cli.restore import TABLES

REGION = "eu-central-1"
NAMES = [f"{name}TableName" for name in TABLES]
LABELS = [f"{name}StreamLabel" for name in TABLES]
PARAMETERS = dict.fromkeys([*NAMES, *LABELS], "") | {
    "CanaryDeployments": "true",
    "Issuer": "https://issuer.example.com",
}

BOTH_IMAGES = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}

EARLIEST = datetime(2026, 10, 17, tzinfo=UTC)
LATEST = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOMENT = "2026-11-20T12:00:00Z"
RESTORED = [f"bindery-20261120T120000Z-{name.lower()}" for name in TABLES]

CALL = BaseClient._make_api_call
SESSION = boto3.Session()
"""It loads the description of each service once."""

Bindery = Callable[..., Result]


@pytest.fixture
def bindery(monkeypatch: pytest.MonkeyPatch) -> Bindery:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)

    def run(line: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(COMMAND, shlex.split(line), input=stdin)

    return run


def bare(part: Any) -> Any:
    """Return a table without the properties that depend on other parameters of the template."""
    if isinstance(part, list):
        return [bare(element) for element in part]
    if isinstance(part, dict):
        return {k: bare(v) for k, v in part.items() if k not in ("DeletionProtectionEnabled", "WarmThroughput")}
    return part


class Deployed:
    def __init__(self, region: str = REGION) -> None:
        self.stacks = SESSION.client("cloudformation", region_name=region)
        self.tables = SESSION.client("dynamodb", region_name=region)
        document = template.document()
        self.stacks.create_stack(
            StackName="bindery",
            TemplateBody=json.dumps(
                {
                    "Parameters": {name: document["Parameters"][name] for name in PARAMETERS},
                    "Resources": {f"{name}Table": bare(document["Resources"][f"{name}Table"]) for name in TABLES},
                }
            ),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in PARAMETERS.items()],
            Tags=[{"Key": "environment", "Value": "test"}],
        )
        resources = self.stacks.describe_stack_resources(StackName="bindery")["StackResources"]
        physical = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        self.own = [physical[f"{name}Table"] for name in TABLES]
        for name, table in zip(TABLES, self.own, strict=True):
            self.tables.put_item(TableName=table, Item={"pk": {"S": name}, "sk": {"S": name}})
            self.tables.update_continuous_backups(
                TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
            # In moto, the recovery window contains only the moment at which recovery was turned on.
            backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][region].tables[table]
            backend.continuous_backups["PointInTimeRecoveryDescription"] |= {
                "EarliestRestorableDateTime": EARLIEST.timestamp(),
                "LatestRestorableDateTime": LATEST.timestamp(),
            }
            self.tables.tag_resource(
                ResourceArn=self.table(table)["TableArn"], Tags=[{"Key": "environment", "Value": "test"}]
            )
        self.tables.update_time_to_live(
            TableName=self.own[1], TimeToLiveSpecification={"AttributeName": "expires_at", "Enabled": True}
        )

    def parameters(self) -> dict[str, str]:
        (stack,) = self.stacks.describe_stacks(StackName="bindery")["Stacks"]
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack["Parameters"]}

    def used(self) -> list[str]:
        return [self.parameters()[name] for name in NAMES]

    def streams(self) -> list[str]:
        return [self.parameters()[name] for name in LABELS]

    def table(self, table: str) -> dict[str, Any]:
        return self.tables.describe_table(TableName=table)["Table"]

    def items(self, table: str) -> list[dict[str, Any]]:
        return self.tables.scan(TableName=table)["Items"]

    def tags(self, table: str) -> list[dict[str, str]]:
        return self.tables.list_tags_of_resource(ResourceArn=self.table(table)["TableArn"])["Tags"]

    def recovers(self, table: str) -> bool:
        found = self.tables.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        return found["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.fixture
def stack(bindery: Bindery) -> Iterator[Deployed]:
    with mock_aws():
        yield Deployed()


def test_stack_uses_all_three_restored_tables(stack: Deployed, bindery: Bindery):
    stack.tables.put_item(TableName=stack.own[0], Item={"pk": {"S": "another"}})
    answer = bindery(f"restore bindery --to {MOMENT} --yes")
    assert answer.exit_code == 0, answer.output
    assert stack.used() == RESTORED
    assert sorted(stack.tables.list_tables()["TableNames"]) == sorted([*stack.own, *RESTORED])
    for own, restored in zip(stack.own, RESTORED, strict=True):
        assert stack.items(restored) == stack.items(own)
        assert stack.recovers(restored)
        assert stack.tags(restored) == stack.tags(own) == [{"Key": "environment", "Value": "test"}]
    lives = stack.tables.describe_time_to_live(TableName=RESTORED[1])["TimeToLiveDescription"]
    assert lives == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    assert answer.output.endswith(
        f"bindery uses the restored tables. To switch back: bindery switch bindery {' '.join(stack.own)}\n"
    )


def test_old_and_new_tables_are_never_written_concurrently(
    stack: Deployed, bindery: Bindery, monkeypatch: pytest.MonkeyPatch
):
    updates: list[dict[str, str]] = []

    def watched(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "UpdateStack":
            updates.append(
                {given["ParameterKey"]: given.get("ParameterValue", "as it was") for given in arguments["Parameters"]}
            )
        return CALL(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", watched)
    bindery(f"restore bindery --to {MOMENT} --yes")
    tables = dict(zip([*NAMES, *LABELS], [*RESTORED, *stack.streams()], strict=True))
    assert updates == [
        tables | {"CanaryDeployments": "false", "Issuer": "as it was"},
        dict.fromkeys(tables, "as it was") | {"CanaryDeployments": "true", "Issuer": "as it was"},
    ]


def test_switch_can_be_declined_made_later_and_undone(stack: Deployed, bindery: Bindery):
    answer = bindery(f"restore bindery --to {MOMENT}", stdin="n\n")
    assert answer.exit_code == 0
    assert stack.parameters() == PARAMETERS
    assert answer.output.endswith(
        f"bindery was not changed. To use the restored tables: bindery switch bindery {' '.join(RESTORED)}\n"
    )
    answer = bindery(f"switch bindery {' '.join(RESTORED)}")
    assert answer.exit_code == 0
    assert stack.used() == RESTORED
    answer = bindery("switch bindery")
    assert (answer.exit_code, stack.parameters()) == (0, PARAMETERS)
    assert answer.output.endswith(f"bindery uses {', '.join(stack.own)}.\n")


def test_interrupted_restore_resumes(stack: Deployed, bindery: Bindery):
    stack.tables.restore_table_to_point_in_time(SourceTableName=stack.own[0], TargetTableName=RESTORED[0])
    answer = bindery(f"restore bindery --to {MOMENT} --yes")
    assert answer.exit_code == 0, answer.output
    assert stack.used() == RESTORED


def test_existing_table_of_another_source_is_refused(stack: Deployed, bindery: Bindery):
    stack.tables.restore_table_to_point_in_time(SourceTableName=stack.own[1], TargetTableName=RESTORED[0])
    answer = bindery(f"restore bindery --to {MOMENT} --yes")
    assert answer.exit_code == 4
    assert answer.output == f"bindery: {RESTORED[0]} already exists and was not restored from {stack.own[0]}\n"
    assert stack.parameters() == PARAMETERS


def test_second_restore_starts_from_the_tables_in_use(stack: Deployed, bindery: Bindery):
    bindery(f"restore bindery --to {MOMENT} --yes")
    answer = bindery("restore bindery --to 2026-11-20T13:00:00Z --yes")
    assert answer.exit_code == 4
    assert f"bindery: {RESTORED[0]} can only be restored to a time from " in answer.output


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("restore bindery --to 2026-10-16T23:59:59Z", 4, "can only be restored to a time from 2026-10-17T00:00:00Z to"),
        ("restore bindery --to 2026-11-21T12:00:01Z", 4, "to 2026-11-21T12:00:00Z\n"),
        ("restore bindery --to yesterday", 2, "'yesterday' is not a point in time. Example: 2026-11-20T12:00:00Z"),
        (f"restore other --to {MOMENT}", 1, "Stack with id other does not exist"),
        ("switch bindery one two", 2, "specify three tables"),
        ("switch bindery one two three", 1, "Requested resource not found"),
    ],
)
def test_impossible_restore_is_reported_and_changes_nothing(
    stack: Deployed, bindery: Bindery, line: str, code: int, told: str
):
    answer = bindery(line)
    assert answer.exit_code == code
    assert told in answer.output
    assert stack.parameters() == PARAMETERS
    assert sorted(stack.tables.list_tables()["TableNames"]) == sorted(stack.own)


def test_tables_of_another_region_are_restored(stack: Deployed, bindery: Bindery, monkeypatch: pytest.MonkeyPatch):
    there = Deployed("us-west-2")
    sources: list[str] = []

    def across(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        # moto can restore only within a region.
        if operation == "RestoreTableToPointInTime":
            sources.append(arguments["SourceTableArn"].rpartition("/")[2])
            properties = template.table_properties(f"{TABLES[len(sources) - 1]}Table")
            return stack.tables.create_table(TableName=arguments["TargetTableName"], **properties)
        return CALL(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", across)
    answer = bindery(f"restore bindery --to {MOMENT} --from-region us-west-2 --yes")
    assert answer.exit_code == 0, answer.output
    assert sources == there.own
    assert stack.used() == RESTORED
    assert there.used() == ["", "", ""]
    assert stack.recovers(RESTORED[2])
    # These tables had no stream.
    found = [stack.table(table) for table in RESTORED]
    assert [table["StreamSpecification"] for table in found] == [BOTH_IMAGES] * 3
    assert stack.streams() == [table["LatestStreamLabel"] for table in found]


def test_table_whose_stream_lacks_images_is_refused(stack: Deployed, bindery: Bindery):
    keys = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    properties = template.table_properties("BindingsTable")
    stack.tables.create_table(TableName="other", StreamSpecification=keys, **properties)
    answer = bindery(f"switch bindery {stack.own[0]} other {stack.own[2]}")
    assert answer.exit_code == 4
    assert answer.output == (
        "bindery: the stream of other has KEYS_ONLY instead of NEW_AND_OLD_IMAGES. Turn that stream off, then run the"
        " same command again\n"
    )
    assert stack.parameters() == PARAMETERS
