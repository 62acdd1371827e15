"""Tables of docs/deploying.md and docs/infrastructure-as-code.md, made from template.yaml by `make tables`."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from tools import roles, template
from tools.expanded import expand
from tools.template import ROOT

PAGE = ROOT / "docs/deploying.md"
EXAMPLES = ROOT / "docs/infrastructure-as-code.md"

WHY = {
    ("DevicesTable", "BatchGetItem"): "read the devices of a request, or of an import, at once",
    ("DevicesTable", "GetItem"): "read one device",
    ("DevicesTable", "PutItem"): "the doctor's own device, to see whether writing works",
    ("DevicesTable", "UpdateItem"): "enter and change devices; bind one only if it is not banned",
    ("DevicesTable", "DeleteItem"): "remove the doctor's own device",
    ("DevicesTable", "ConditionCheckItem"): "bind, share and connect only if the device is not banned in that moment",
    ("DevicesTable/by_serial", "Query"): "find a device by its serial number",
    ("BindingsTable", "BatchGetItem"): "read who holds a device, and who shares it, at once",
    ("BindingsTable", "GetItem"): "read one binding",
    ("BindingsTable", "PutItem"): "write a binding's place with its user, a share, a registration, a connection",
    ("BindingsTable", "UpdateItem"): "bind, rename, share, connect; count failed attempts",
    ("BindingsTable", "DeleteItem"): "unbind; end shares and connections; erase",
    (
        "BindingsTable",
        "ConditionCheckItem",
    ): "bind only if nobody missed too often; free only nicknames of what has ended",
    ("BindingsTable", "Query"): "list what one user holds, or who holds one device",
    ("BindingsTable/by_holder", "Query"): "list what a company, a customer or a user holds",
    ("BindingsTable/by_proxy", "Query"): "see whether the relay's look-up works",
    ("DirectoryTable", "BatchGetItem"): "read caller, account, domain and product at once",
    ("DirectoryTable", "GetItem"): "read the key or the user that calls, or one record of the operators'",
    (
        "DirectoryTable",
        "PutItem",
    ): "enter accounts, keys, users, domains, products, settings; remember an import's rows",
    ("DirectoryTable", "UpdateItem"): "change those; note the day of a key's last use; share a family's devices",
    ("DirectoryTable", "DeleteItem"): "take away addresses, bars and erased users",
    ("DirectoryTable", "ConditionCheckItem"): "write only if user, bar or domain are still as they were read",
    ("DirectoryTable", "Query"): "list a customer's issued devices, or what belongs to a user",
    ("DirectoryTable/by_list", "Query"): "the operators' lists",
    ("DeviceIdSecret", "GetSecretValue"): "derive rufus' deviceids",
    ("BindingKeySecret", "GetSecretValue"): "derive quectel's authKeys, encrypt share codes",
    ("QuectelSessionSecret", "GetSecretValue"): "sign and verify quectel's session tokens",
    ("RemoteitSessionSecret", "GetSecretValue"): "sign and verify remoteit's session tokens",
    (
        "DirectorySecret",
        "GetSecretValue",
    ): "seal and open the secrets of user domains; count failed logins; derive guids",
}
"""What a function does with an action on a table, an index or a secret."""

IDLE = {
    "AWS::ApiGatewayV2::Api": ("the one gateway of all routes", "nothing"),
    "AWS::ApiGatewayV2::ApiMapping": ("the gateway under `DomainName`", "nothing"),
    "AWS::ApiGatewayV2::DomainName": ("`DomainName`, if it is given", "nothing"),
    "AWS::ApiGatewayV2::Stage": ("its rates and its access log", "nothing"),
    "AWS::CloudWatch::Alarm": (
        "tells what a person must look at; `ErrorsAlarm` undoes deployments",
        "$0.10 a metric, $0.30 where the usual is learnt",
    ),
    "AWS::CloudWatch::Dashboard": ("every API at a glance", "nothing; $3 beyond an account's third"),
    "AWS::CodeDeploy::Application": ("holds the deployment groups", "nothing"),
    "AWS::CodeDeploy::DeploymentGroup": ("how a function's traffic moves, with `CanaryDeployments`", "nothing"),
    "AWS::DynamoDB::Table": ("the registry", "$0.25 a GB, and $0.20 a GB for recovery"),
    "AWS::IAM::Role": ("a role a function, two of the gateway, one of CodeDeploy", "nothing"),
    "AWS::Lambda::Alias": ("`live`: the version that is called", "nothing"),
    "AWS::Lambda::Function": ("the operations", "nothing"),
    "AWS::Lambda::LayerVersion": ("code that they share; those of one processor are deployed", "nothing"),
    "AWS::Lambda::Version": ("what was deployed, so that one can go back", "nothing; with `SnapStart` its snapshot"),
    "AWS::Logs::LogGroup": ("the functions' log and the gateway's", "$0.03 a GB that is kept"),
    "AWS::Logs::MetricFilter": (
        "counts errors, guesses and banned devices in the logs",
        "$0.30 for each metric in use",
    ),
    "AWS::Logs::QueryDefinition": ("what support asks the log", "nothing"),
    "AWS::SNS::Subscription": ("`AlarmEmail`, if it is given", "nothing"),
    "AWS::SNS::Topic": ("whoever is told of alarms", "nothing"),
    "AWS::SSM::Parameter": ("the ARNs of the tables in use, for the policies", "nothing"),
    "AWS::SecretsManager::Secret": ("what ids, keys and tokens are derived from", "$0.40 each"),
}
"""What resources of a type are for, and what one costs a month when nobody calls, in us-east-1."""


def main() -> None:
    """Write the tables of both pages."""
    for page in (PAGE, EXAMPLES):
        page.write_text(rendered(page.read_text()))


def rendered(page: str) -> str:
    """A page with the tables that stand between `<!-- name -->` and `<!-- end -->` as the template has them."""
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
    yield "parameter", "default", "what it is"
    yield "---", "---", "---"
    for name, parameter in template.document()["Parameters"].items():
        default = parameter["Default"]
        yield f"`{name}`", "empty" if default == "" else f"`{default}`", parameter["Description"]


def _outputs() -> Iterator[tuple[str, ...]]:
    yield "output", "what it is"
    yield "---", "---"
    for name, output in template.document()["Outputs"].items():
        yield f"`{name}`", output["Description"]


def _statements() -> Iterator[tuple[str, ...]]:
    yield "on", "action", "why", "which functions"
    yield "---", "---", "---", "---"
    granted = {
        (roles.resource(statement["Resource"]), action.partition(":")[2], function.name)
        for function in template.functions()
        for statement in function.policies
        for action in statement["Action"]
    }
    order = list(WHY)
    for (resource, action), rows in groupby(
        sorted(granted, key=lambda row: (order.index(row[:2]), row[2])), lambda row: row[:2]
    ):
        yield f"`{resource}`", f"`{action}`", WHY[resource, action], ", ".join(name for _, _, name in rows)
    functions = {f"{function.logical_id}Role" for function in template.functions()}
    for name, role in template.resources("AWS::IAM::Role"):
        if name not in functions:
            yield from _of_a_role(name, role)


def _of_a_role(name: str, properties: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for policy in properties.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = ", ".join(f"`{action.partition(':')[2]}`" for action in _each(statement["Action"]))
            yield (
                f"the alias `live` of {len(_each(statement['Resource']))} functions",
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
    yield "resource", "how many", "what it is for", "a month, idle"
    yield "---", "---", "---", "---"
    kinds = sorted(resource["Type"] for resource in expand(template.document())["Resources"].values())
    for kind, found in groupby(kinds):
        yield f"`{kind}`", str(len(list(found))), *IDLE[kind]


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    main()
