"""`bindery restore` and `bindery switch`: tables as they were at a moment, and which tables a stack uses.

Both work on the stack itself (CloudFormation, DynamoDB) with the person's AWS credentials, not through the admin API.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any

import typer

from tools.cli import output
from tools.cli.client import Exit, Failure

TABLES = ("Devices", "Bindings", "Directory")
"""As the template names them: the resource `DevicesTable`, the parameter `DevicesTableName`."""

LONGEST = 72
"""Letters that the name of a table may have that a stack uses: the template's parameters take no more."""

POLL = {"Delay": 20, "MaxAttempts": 3 * 60 * 24}
"""How AWS is asked whether it has finished: every 20 seconds, for a day."""

Stack = Annotated[str, typer.Argument(help="The stack's name.", show_default=False)]
Profile = Annotated[str | None, typer.Option(help="The AWS profile.", show_default=False)]
Region = Annotated[str | None, typer.Option(help="The stack's AWS region.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Make them commands of `app`."""
    app.command()(_telling(restore))
    app.command()(_telling(switch))


def restore(
    stack: Stack,
    to: Annotated[str, typer.Option(help="The moment, such as 2026-11-20T12:00:00Z (UTC).", show_default=False)],
    from_region: Annotated[
        str | None, typer.Option(help="The region of the stack of this name whose tables are restored.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Switch without asking.")] = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Restore a stack's three tables to one moment, into new tables beside them, and let the stack use those.

    What is there stays as it is. A restoration that was broken off goes on when the same command is given again.
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
            Exit.USAGE, f"{stack} is too long a name to restore tables under: they may have {LONGEST} letters"
        )
    for name, table in tables.items():
        target.restore(source, table, restored[name], moment)
    for name, table in tables.items():
        output.note(f"{restored[name]}: is being restored, which takes minutes to hours")
        target.finish(source, table, restored[name])
    output.note(f"restored: {', '.join(restored.values())}")
    if yes or typer.confirm(f"Shall {stack} use them from now on?", err=True):
        target.use(restored)
        output.note(f"{stack} uses them. To go back: bindery switch {stack} {' '.join(before.values())}")
    else:
        output.note(f"{stack} is as it was. To use them: bindery switch {stack} {' '.join(restored.values())}")


def switch(
    stack: Stack,
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="The tables of devices, bindings and directory. Default: the stack's own.", metavar="TABLE"
        ),
    ] = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Let a stack use three other tables, or its own again. Requests fail for a minute or two meanwhile."""
    if tables and len(tables) != len(TABLES):
        raise Failure(
            Exit.USAGE, "three tables belong together: those of devices, bindings and directory, in this order"
        )
    target = _Stack(stack, profile, region)
    chosen = dict(zip(TABLES, tables or ("", "", ""), strict=True))
    for table in filter(None, chosen.values()):
        target.describe(table)
    target.use(chosen)
    output.note(f"{stack} uses {', '.join(target.tables().values())}.")


class _Stack:
    """A deployed stack and the tables of its region."""

    def __init__(self, name: str, profile: str | None, region: str | None) -> None:
        import boto3  # takes a while, which no other command needs

        session = boto3.Session(profile_name=profile, region_name=region)
        self.name = name
        self.region = session.region_name
        self._stacks: Any = session.client("cloudformation")
        self._tables: Any = session.client("dynamodb")

    def parameters(self) -> dict[str, str]:
        """The parameters that the stack was deployed with."""
        (found,) = self._stacks.describe_stacks(StackName=self.name)["Stacks"]
        given = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in found.get("Parameters", [])}
        if f"{TABLES[0]}TableName" not in given:
            raise Failure(Exit.USAGE, f"{self.name} has no parameter {TABLES[0]}TableName: deploy this version first")
        return given

    def tables(self) -> dict[str, str]:
        """The names of the three tables that are in use."""
        given = self.parameters()
        return {
            name: given[f"{name}TableName"]
            or self._stacks.describe_stack_resource(StackName=self.name, LogicalResourceId=f"{name}Table")[
                "StackResourceDetail"
            ]["PhysicalResourceId"]
            for name in TABLES
        }

    def describe(self, table: str) -> dict[str, Any]:
        """What DynamoDB says of a table."""
        described: dict[str, Any] = self._tables.describe_table(TableName=table)["Table"]
        return described

    def restorable(self, table: str, moment: datetime) -> None:
        """Raises `Failure` if a table cannot be restored to a moment."""
        found = self._tables.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        recovery = found.get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
            raise Failure(Exit.CONFLICT, f"{table} has no point-in-time recovery")
        earliest, latest = recovery["EarliestRestorableDateTime"], recovery["LatestRestorableDateTime"]
        if not earliest <= moment <= latest:
            raise Failure(
                Exit.CONFLICT, f"{table} can be restored to moments from {_text(earliest)} to {_text(latest)}, no other"
            )

    def restore(self, source: "_Stack", table: str, target: str, moment: datetime) -> None:
        """Begin to restore a table under another name, unless that has begun already."""
        described = source.describe(table)
        here = {"SourceTableName": table} if source.region == self.region else {"SourceTableArn": described["TableArn"]}
        try:
            self._tables.restore_table_to_point_in_time(**here, TargetTableName=target, RestoreDateTime=moment)
        except self._tables.exceptions.TableAlreadyExistsException:
            summary = self.describe(target).get("RestoreSummary", {})
            if summary.get("SourceTableArn") != described["TableArn"]:
                raise Failure(Exit.CONFLICT, f"{target} is there already, and was not restored from {table}") from None

    def finish(self, source: "_Stack", table: str, target: str) -> None:
        """Wait until a table is restored, and give it what DynamoDB does not restore: recovery, time to live, tags."""
        self._tables.get_waiter("table_exists").wait(TableName=target, WaiterConfig=POLL)
        self._tables.update_continuous_backups(
            TableName=target, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        lives = source.time_to_live(table)
        if lives is not None and self.time_to_live(target) is None:
            self._tables.update_time_to_live(
                TableName=target, TimeToLiveSpecification={"AttributeName": lives, "Enabled": True}
            )
        tags = source.tags(table)
        if tags:
            self._tables.tag_resource(ResourceArn=self.describe(target)["TableArn"], Tags=tags)

    def time_to_live(self, table: str) -> str | None:
        """The attribute after whose time items go, if they do."""
        found = self._tables.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        attribute: str | None = found.get("AttributeName")
        return attribute if found["TimeToLiveStatus"] in ("ENABLED", "ENABLING") else None

    def tags(self, table: str) -> list[dict[str, str]]:
        """A table's tags but those that AWS itself gave it."""
        arn = self.describe(table)["TableArn"]
        found = self._tables.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn).build_full_result()
        return [tag for tag in found["Tags"] if not tag["Key"].startswith("aws:")]

    def use(self, tables: Mapping[str, str]) -> None:
        """Let the stack use these tables; an empty name is that of the stack's own.

        Without canaries: for five minutes they would write to the old tables and to the new.
        """
        canaries = self.parameters()["CanaryDeployments"]
        self._update({f"{name}TableName": table for name, table in tables.items()} | {"CanaryDeployments": "false"})
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
        output.note(f"{self.name}: is being updated ({', '.join(changed)})")
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
                Exit.REFUSED, f"{self.name} could not be updated and is as it was before: its events say why"
            ) from None


def _telling(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose failures are told in a line, with an exit code."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            command(**arguments)
        except Failure as failure:
            output.note(f"bindery: {failure.text}")
            raise typer.Exit(failure.code) from None
        except (BotoCoreError, ClientError) as error:
            output.note(f"bindery: {error}")
            raise typer.Exit(Exit.REFUSED) from None

    return run


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(Exit.USAGE, f"{text!r} is no moment: 2026-11-20T12:00:00Z is") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
