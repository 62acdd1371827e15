"""`bindery restore` and `bindery switch`.

They call CloudFormation and DynamoDB, not the admin API.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any

import typer

from tools.cli import output
from tools.cli.client import Exit, Failure
from tools.cli.command import exit_on_failure

TABLES = ("Devices", "Bindings", "Directory")
"""Prefixes of resources and parameters, such as `DevicesTable`."""

IMAGES = "NEW_AND_OLD_IMAGES"
"""View type of the tables' streams: the whole item before and after a change."""

LONGEST = 72
"""Maximum length of a table name."""

POLL = {"Delay": 20, "MaxAttempts": 3 * 60 * 24}
"""Poll AWS every 20 seconds for a day."""

Stack = Annotated[str, typer.Argument(help="Stack name.", show_default=False)]
Profile = Annotated[str | None, typer.Option(help="AWS profile.", show_default=False)]
Region = Annotated[str | None, typer.Option(help="AWS region of the stack.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(_exit_on_any_failure(restore))
    app.command()(_exit_on_any_failure(switch))


def restore(
    stack: Stack,
    to: Annotated[str, typer.Option(help="Point in time (UTC), such as 2026-11-20T12:00:00Z.", show_default=False)],
    from_region: Annotated[
        str | None, typer.Option(help="Restore the tables of the stack of this name in another region.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Switch without asking for confirmation.")] = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Restore a stack's tables to a point in time.

    The three tables are restored as new ones, and the stack is switched to those. Existing tables are not changed.
    To resume an interrupted restore, run the same command again.
    """
    moment = _moment(to)
    target = _Stack(stack, profile, region)
    source = target if from_region is None else _Stack(stack, profile, from_region)
    tables, before = source.tables(), target.tables()
    for table in tables.values():
        source.restorable(table, moment)
    restored = {name: f"{stack}-{moment:%Y%m%dT%H%M%SZ}-{name.lower()}" for name in TABLES}
    if any(len(table) > LONGEST for table in restored.values()):
        raise Failure(
            Exit.USAGE, f"the stack name {stack} is too long: table names can have at most {LONGEST} characters"
        )
    for name, table in tables.items():
        target.restore(source, table, restored[name], moment)
    for name, table in tables.items():
        output.note(f"Restoring {restored[name]}. This takes minutes to hours.")
        target.finish(source, table, restored[name])
    output.note(f"Restored {', '.join(restored.values())}.")
    if yes or typer.confirm(f"Switch {stack} to these tables?", err=True):
        target.use(restored)
        output.note(
            f"{stack} uses the restored tables. To switch back: bindery switch {stack} {' '.join(before.values())}"
        )
    else:
        output.note(
            f"{stack} was not changed. To use the restored tables: bindery switch {stack} {' '.join(restored.values())}"
        )


def switch(
    stack: Stack,
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="Devices, bindings and directory table, in this order. Default: the stack's own.", metavar="TABLE"
        ),
    ] = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Switch a stack to three other tables, or back to its own.

    Requests fail for a minute or two.
    """
    if tables and len(tables) != len(TABLES):
        raise Failure(Exit.USAGE, "specify three tables: devices, bindings and directory, in this order")
    target = _Stack(stack, profile, region)
    chosen = dict(zip(TABLES, tables or ("", "", ""), strict=True))
    for table in filter(None, chosen.values()):
        target.describe(table)
    target.use(chosen)
    output.note(f"{stack} uses {', '.join(target.tables().values())}.")


class _Stack:
    """A deployed stack."""

    def __init__(self, name: str, profile: str | None, region: str | None) -> None:
        import boto3  # slow to import, and only needed here

        session = boto3.Session(profile_name=profile, region_name=region)
        self.name = name
        self.region = session.region_name
        self._stacks: Any = session.client("cloudformation")
        self._tables: Any = session.client("dynamodb")

    def parameters(self) -> dict[str, str]:
        (found,) = self._stacks.describe_stacks(StackName=self.name)["Stacks"]
        given = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in found.get("Parameters", [])}
        if f"{TABLES[0]}StreamLabel" not in given:
            raise Failure(Exit.USAGE, f"{self.name} has no parameter {TABLES[0]}StreamLabel: deploy this version first")
        return given

    def tables(self) -> dict[str, str]:
        given = self.parameters()
        return {
            name: given[f"{name}TableName"]
            or self._stacks.describe_stack_resource(StackName=self.name, LogicalResourceId=f"{name}Table")[
                "StackResourceDetail"
            ]["PhysicalResourceId"]
            for name in TABLES
        }

    def describe(self, table: str) -> dict[str, Any]:
        described: dict[str, Any] = self._tables.describe_table(TableName=table)["Table"]
        return described

    def restorable(self, table: str, moment: datetime) -> None:
        """Raise `Failure` if a table cannot be restored to that time."""
        found = self._tables.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        recovery = found.get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
            raise Failure(Exit.CONFLICT, f"point-in-time recovery is not enabled for {table}")
        earliest, latest = recovery["EarliestRestorableDateTime"], recovery["LatestRestorableDateTime"]
        if not earliest <= moment <= latest:
            raise Failure(
                Exit.CONFLICT, f"{table} can only be restored to a time from {_text(earliest)} to {_text(latest)}"
            )

    def restore(self, source: "_Stack", table: str, target: str, moment: datetime) -> None:
        """Start to restore a table, unless that was started before."""
        described = source.describe(table)
        here = {"SourceTableName": table} if source.region == self.region else {"SourceTableArn": described["TableArn"]}
        try:
            self._tables.restore_table_to_point_in_time(**here, TargetTableName=target, RestoreDateTime=moment)
        except self._tables.exceptions.TableAlreadyExistsException:
            summary = self.describe(target).get("RestoreSummary", {})
            if summary.get("SourceTableArn") != described["TableArn"]:
                raise Failure(Exit.CONFLICT, f"{target} already exists and was not restored from {table}") from None

    def finish(self, source: "_Stack", table: str, target: str) -> None:
        """Wait for a table, then set what DynamoDB does not restore."""
        self._tables.get_waiter("table_exists").wait(TableName=target, WaiterConfig=POLL)
        self._tables.update_continuous_backups(
            TableName=target, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        lives = source.time_to_live(table)
        if lives is not None and self.time_to_live(target) is None:
            self._tables.update_time_to_live(
                TableName=target, TimeToLiveSpecification={"AttributeName": lives, "Enabled": True}
            )
        self.stream(target)
        tags = source.tags(table)
        if tags:
            self._tables.tag_resource(ResourceArn=self.describe(target)["TableArn"], Tags=tags)

    def stream(self, table: str) -> str:
        """Return the label of a table's stream of changes, which is turned on if it is off."""
        described = self.describe(table)
        specification = described.get("StreamSpecification", {})
        if not specification.get("StreamEnabled"):
            self._tables.update_table(
                TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": IMAGES}
            )
            self._tables.get_waiter("table_exists").wait(TableName=table, WaiterConfig=POLL)
            described = self.describe(table)
        elif specification["StreamViewType"] != IMAGES:
            raise Failure(
                Exit.CONFLICT,
                f"the stream of {table} has {specification['StreamViewType']} instead of {IMAGES}. Turn that stream"
                " off, then run the same command again",
            )
        label: str = described["LatestStreamLabel"]
        return label

    def time_to_live(self, table: str) -> str | None:
        """Return the table's time-to-live attribute, or None."""
        found = self._tables.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        attribute: str | None = found.get("AttributeName")
        return attribute if found["TimeToLiveStatus"] in ("ENABLED", "ENABLING") else None

    def tags(self, table: str) -> list[dict[str, str]]:
        """Return a table's tags, except AWS's own."""
        arn = self.describe(table)["TableArn"]
        found = self._tables.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn).build_full_result()
        return [tag for tag in found["Tags"] if not tag["Key"].startswith("aws:")]

    def use(self, tables: Mapping[str, str]) -> None:
        """Switch the stack to these tables, with "" for its own.

        Canaries are off during the update, because they would write to old and new tables.
        """
        canaries = self.parameters()["CanaryDeployments"]
        changed = {f"{name}TableName": table for name, table in tables.items()}
        changed |= {f"{name}StreamLabel": self.stream(table) if table else "" for name, table in tables.items()}
        self._update(changed | {"CanaryDeployments": "false"})
        if canaries != "false":
            self._update({"CanaryDeployments": canaries})

    def _update(self, changed: Mapping[str, str]) -> None:
        from botocore.exceptions import ClientError, WaiterError

        parameters = [
            {"ParameterKey": name, "ParameterValue": changed[name]}
            if name in changed
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in self.parameters()
        ]
        output.note(f"Updating {self.name} ({', '.join(changed)})")
        try:
            self._stacks.update_stack(
                StackName=self.name,
                UsePreviousTemplate=True,
                Parameters=parameters,
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            )
            self._stacks.get_waiter("stack_update_complete").wait(StackName=self.name, WaiterConfig=POLL)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        except WaiterError:
            raise Failure(
                Exit.REFUSED,
                f"the update of {self.name} failed and was rolled back. For the reason, see the stack's events",
            ) from None


def _exit_on_any_failure(command: Callable[..., None]) -> Callable[..., None]:
    """Print failures, also those of AWS, as one line and exit with their code."""

    @exit_on_failure
    @wraps(command)
    def run(**arguments: Any) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            command(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise Failure(Exit.REFUSED, str(error)) from None

    return run


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(Exit.USAGE, f"{text!r} is not a point in time. Example: 2026-11-20T12:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
