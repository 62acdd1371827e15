"""Tables of docs/deploying.md and docs/infrastructure-as-code.md, generated from template.yaml (`make generate`)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from tools import template
from tools.expanded import expand
from tools.generate import roles
from tools.template import ROOT

PAGE = ROOT / "docs/deploying.md"
EXAMPLES = ROOT / "docs/infrastructure-as-code.md"

WHY = {
    ("DevicesTable", "BatchGetItem"): "read the devices of a request or an import",
    ("DevicesTable", "GetItem"): "read a device",
    ("DevicesTable", "PutItem"): "write the doctor's test device",
    ("DevicesTable", "UpdateItem"): "create and change devices; bind a device unless it is banned",
    ("DevicesTable", "DeleteItem"): "delete the doctor's test device",
    ("DevicesTable", "ConditionCheckItem"): "bind, share and connect only if the device is not banned",
    ("DevicesTable/by_serial", "Query"): "find devices by serial number",
    ("BindingsTable", "BatchGetItem"): "read a device's bindings and shares",
    ("BindingsTable", "GetItem"): "read a binding",
    ("BindingsTable", "PutItem"): "write user devices, shares, registrations and connections",
    ("BindingsTable", "UpdateItem"): "bind, rename, share and connect; count failed attempts",
    ("BindingsTable", "DeleteItem"): "unbind; end shares and connections; erase a user",
    ("BindingsTable", "ConditionCheckItem"): "check failed guesses; free the nickname of an ended registration",
    ("BindingsTable", "Query"): "list a user's devices or a device's holders",
    ("BindingsTable/by_holder", "Query"): "list the devices or connections of an account, a customer or a user",
    ("BindingsTable/by_holder", "Scan"): "find bindings without a credential, after an upgrade",
    ("BindingsTable/by_label", "Query"): "find the connection that a client uses",
    ("BindingsTable/by_credential", "Query"): "find the device that connects",
    ("DirectoryTable", "BatchGetItem"): "read caller, account, domain and product",
    ("DirectoryTable", "GetItem"): "read the caller's key or user, or a record that an operator asks for",
    ("DirectoryTable", "PutItem"): "create accounts, keys, users, domains, products, settings and service addresses",
    ("DirectoryTable", "UpdateItem"): "change records, import issued devices; record the day of a key's last use",
    ("DirectoryTable", "DeleteItem"): "delete service addresses, email addresses, product blocks and erased users",
    ("DirectoryTable", "ConditionCheckItem"): "write only if user, product block and domain have not changed",
    ("DirectoryTable", "Query"): "list a customer's issued devices, or records of a user",
    ("DirectoryTable/by_list", "Query"): "list records for operators",
    ("DirectoryTable/by_list", "Scan"): "find the users of a user domain, and the products that name it",
    ("DevicesTable/stream", "DescribeStream"): "read new devices",
    ("DevicesTable/stream", "GetRecords"): "read new devices",
    ("DevicesTable/stream", "GetShardIterator"): "read new devices",
    ("DevicesTable/stream", "ListStreams"): "read new devices",
    ("BindingsTable/stream", "DescribeStream"): "read changes of bindings, shares and connections",
    ("BindingsTable/stream", "GetRecords"): "read changes of bindings, shares and connections",
    ("BindingsTable/stream", "GetShardIterator"): "read changes of bindings, shares and connections",
    ("BindingsTable/stream", "ListStreams"): "read changes of bindings, shares and connections",
    ("DirectoryTable/stream", "DescribeStream"): "read operators' changes",
    ("DirectoryTable/stream", "GetRecords"): "read operators' changes",
    ("DirectoryTable/stream", "GetShardIterator"): "read operators' changes",
    ("DirectoryTable/stream", "ListStreams"): "read operators' changes",
    ("FramesTable", "GetItem"): "check that the table is readable",
    ("FramesTable", "PutItem"): "store what a device sends to the relay",
    ("FramesTable", "DeleteItem"): "delete the doctor's test item",
    ("FramesTable", "Query"): "read what a device sent to the relay",
    ("HistoryTable", "BatchGetItem"): "read the events that concern a person, or that an operator caused",
    (
        "HistoryTable",
        "GetItem",
    ): "find out whether an event is recorded; read an event, a pseudonym or how far a webhook is",
    ("HistoryTable", "PutItem"): "record events; log deliveries",
    ("HistoryTable", "UpdateItem"): "record how far events were delivered; create pseudonyms",
    ("HistoryTable", "DeleteItem"): "delete cursors of completed deliveries, replayed dead letters and retried changes",
    ("HistoryTable", "Query"): "read a device's events and a webhook's deliveries",
    ("HistoryTable/by_time", "Query"): "list events in the order of recording, or what is due to be delivered",
    ("EventBus", "PutEvents"): "publish events",
    ("FeedDeliver", "InvokeFunction"): "deliver an event at once",
    ("FeedFailures", "SendMessage"): "report changes that could not be recorded",
    ("DeviceIdSecret", "GetSecretValue"): "derive rufus device ids",
    ("BindingKeySecret", "GetSecretValue"): "derive quectel authKeys; encrypt share codes",
    ("ClaimSecret", "GetSecretValue"): "derive claim codes (quectel)",
    ("QuectelSessionSecret", "GetSecretValue"): "sign and verify quectel session tokens",
    ("RemoteitSessionSecret", "GetSecretValue"): "sign and verify remoteit session tokens",
    (
        "DirectorySecret",
        "GetSecretValue",
    ): "encrypt secrets of domains and webhooks; count failed logins; derive guids and pseudonyms; sign ids of streams",
    ("LinkApi/DELETE", "ManageConnections"): "disconnect devices",
    ("LinkApi/POST", "ManageConnections"): "send messages to devices",
}
"""Purpose of each action on a table, an index, a stream, a secret, the event bus, a queue or the WebSocket API."""

IDLE = {
    "AWS::ApiGatewayV2::Api": (
        "the HTTP API; the WebSocket API of devices; the relay, if `ProxyCertificateArn` is set",
        "free",
    ),
    "AWS::ApiGatewayV2::ApiMapping": ("maps `DomainName` to the API, and `ProxyDomain` to the relay", "free"),
    "AWS::ApiGatewayV2::Authorizer": ("checks a device's credential", "free"),
    "AWS::ApiGatewayV2::DomainName": ("`DomainName` and `*.ProxyDomain`, if set", "free"),
    "AWS::ApiGatewayV2::Integration": ("functions of the WebSocket API and the relay", "free"),
    "AWS::ApiGatewayV2::IntegrationResponse": ("the answer to a device's ping", "free"),
    "AWS::ApiGatewayV2::Route": ("routes of the WebSocket API and the relay", "free"),
    "AWS::ApiGatewayV2::RouteResponse": ("the answer to a device's ping", "free"),
    "AWS::ApiGatewayV2::Stage": ("rate limits, and the access log of the HTTP API", "free"),
    "AWS::CloudFormation::Stack": ("the functions' roles", "free"),
    "AWS::CloudWatch::Alarm": (
        "notify `AlarmEmail`; `ErrorsAlarm` rolls back deployments",
        "$0.10 or $0.30 per metric",
    ),
    "AWS::CloudWatch::Dashboard": ("shows all APIs", "free; $3 after the account's first three"),
    "AWS::CodeDeploy::Application": ("contains the deployment groups", "free"),
    "AWS::CodeDeploy::DeploymentGroup": ("shift the traffic of canaries, with `CanaryDeployments`", "free"),
    "AWS::DynamoDB::Table": (
        "the registry and its history",
        "$0.25 per GB, and $0.20 per GB for point-in-time recovery",
    ),
    "AWS::Events::EventBus": ("publishes events", "free"),
    "AWS::Events::Rule": (
        "delivers what is due to webhooks, every minute",
        "$0.06 for its invocations",
    ),
    "AWS::IAM::Role": (
        "one per function, or for several with the same access; three for API Gateway, one for CodeDeploy",
        "free",
    ),
    "AWS::Lambda::Alias": ("`live`: the version that is called", "free"),
    "AWS::Lambda::EventSourceMapping": ("pass changes of three tables to `feed.record`", "free"),
    "AWS::Lambda::Function": ("one per operation, three for devices, two for events", "free"),
    "AWS::Lambda::LayerVersion": ("shared code; only those of one processor are deployed", "free"),
    "AWS::Lambda::Permission": ("lets the rule invoke `feed.deliver`", "free"),
    "AWS::Lambda::Version": ("deployed versions, to roll back to", "free; with `SnapStart`, its snapshot"),
    "AWS::Logs::LogGroup": ("logs of the functions and of API Gateway", "$0.03 per GB stored"),
    "AWS::Logs::MetricFilter": (
        "count errors, failed guesses, banned devices, and events that are not recorded or not delivered",
        "$0.30 per metric in use",
    ),
    "AWS::Logs::QueryDefinition": ("saved log queries", "free"),
    "AWS::SNS::Subscription": ("`AlarmEmail`, if set", "free"),
    "AWS::SNS::Topic": ("alarm notifications", "free"),
    "AWS::SQS::Queue": ("changes that could not be recorded", "free"),
    "AWS::SecretsManager::Secret": ("keys from which ids, authKeys and tokens are derived", "$0.40 each"),
}
"""Purpose of each resource type, and its idle monthly price in us-east-1."""


def main() -> None:
    """Update the tables of both pages."""
    for page in (PAGE, EXAMPLES):
        page.write_text(rendered(page.read_text()))


def rendered(page: str) -> str:
    """Return a page with new tables between `<!-- name -->` and `<!-- end -->`."""
    tables = {"parameters": _parameters, "statements": _statements, "resources": _resources, "outputs": _outputs}
    for name, rows in tables.items():
        head, found, rest = page.partition(f"<!-- {name} -->\n")
        if not found:
            continue
        _, _, tail = rest.partition("<!-- end -->\n")
        page = f"{head}<!-- {name} -->\n{''.join(_row(row) for row in rows())}<!-- end -->\n{tail}"
    return page


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _parameters() -> Iterator[tuple[str, ...]]:
    yield "parameter", "default", "description"
    yield "---", "---", "---"
    for name, parameter in template.document()["Parameters"].items():
        default = parameter["Default"]
        yield f"`{name}`", "empty" if default == "" else f"`{default}`", parameter["Description"]


def _outputs() -> Iterator[tuple[str, ...]]:
    yield "output", "description"
    yield "---", "---"
    for name, output in template.document()["Outputs"].items():
        yield f"`{name}`", output["Description"]


def _statements() -> Iterator[tuple[str, ...]]:
    yield "resource", "action", "purpose", "functions"
    yield "---", "---", "---", "---"
    granted = {
        (resource, action.partition(":")[2], function.name)
        for function in template.functions()
        for statement in function.policies
        if not _invokes_all(statement)
        for resource in roles.resources(statement)
        for action in statement["Action"]
    }
    order = list(WHY)
    for (resource, action), rows in groupby(
        sorted(granted, key=lambda row: (order.index(row[:2]), row[2])), lambda row: row[:2]
    ):
        yield f"`{resource}`", f"`{action}`", WHY[resource, action], ", ".join(name for _, _, name in rows)
    for function in template.functions():
        for statement in function.policies:
            if _invokes_all(statement):
                aliases = f"the alias `live` of {len(roles.invocable(statement))} functions"
                yield aliases, f"`{roles.INVOKE.partition(':')[2]}`", "paths with extra slashes", function.name
    for name, role in template.resources("AWS::IAM::Role"):
        yield from _of_a_role(name, role)


def _invokes_all(statement: Mapping[str, Any]) -> bool:
    return statement["Action"] == [roles.INVOKE] and isinstance(statement["Resource"], list)


def _of_a_role(name: str, properties: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for policy in properties.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = ", ".join(f"`{action.partition(':')[2]}`" for action in _each(statement["Action"]))
            yield (
                f"the alias `live` of {len(roles.invocable(statement))} functions",
                actions,
                properties["Description"],
                f"none: `{name}`",
            )
    for managed in properties.get("ManagedPolicyArns", []):
        yield (
            "the functions' aliases, alarms",
            f"`{managed['Fn::Sub'].rpartition('/')[2]}` of AWS",
            properties["Description"],
            f"none: `{name}`",
        )


def _resources() -> Iterator[tuple[str, ...]]:
    yield "resource", "count", "purpose", "monthly, idle"
    yield "---", "---", "---", "---"
    both = (expand(template.document()), template.roles())
    kinds = sorted(resource["Type"] for stack in both for resource in stack["Resources"].values())
    for kind, found in groupby(kinds):
        yield f"`{kind}`", str(len(list(found))), *IDLE[kind]


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    main()
