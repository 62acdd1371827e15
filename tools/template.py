"""template.yaml as the tools and the tests read it: one source for tables, functions, routes, settings and policies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent

# API Gateway's own words in an OpenAPI definition.
ANY = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
INTEGRATIONS = "x-amazon-apigateway-integrations"


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API. The method and path of the `$default` route are both `$default`."""

    method: str
    path: str
    iam: bool = False
    """Whether API Gateway lets through signed requests alone (SigV4)."""


@dataclass(frozen=True, slots=True)
class Function:
    """One operation as the template deploys it."""

    logical_id: str
    handler: str
    routes: tuple[Route, ...]
    environment: Mapping[str, Any]
    """Each variable's value as the template writes it, intrinsic functions included."""
    policies: tuple[Mapping[str, Any], ...]
    """The IAM statements that are the function's own: its log and its traces are beside them."""

    @property
    def name(self) -> str:
        """The dialect and the operation, `rufus.bind_device`."""
        return self.handler.removesuffix(".handler")

    @property
    def writes(self) -> bool:
        """Whether it may change any table."""
        writing = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
        return any(not writing.isdisjoint(statement["Action"]) for statement in self.policies)

    @property
    def source(self) -> Path:
        """The function's file."""
        return ROOT / "functions" / (self.name.replace(".", "/") + ".py")

    @property
    def event(self) -> Path:
        """The sample event for `sam local invoke`."""
        return ROOT / "events" / (self.name.replace(".", "/") + ".json")

    def load(self) -> Any:
        """The handler itself."""
        return import_module(f"functions.{self.name}").handler


@cache
def document() -> dict[str, Any]:
    """The template, parsed."""
    parsed: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return parsed


def resources(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The logical id and the properties of every resource of a type."""
    for logical_id, resource in document()["Resources"].items():
        if resource["Type"] == kind:
            yield logical_id, resource.get("Properties", {})


def api() -> dict[str, Any]:
    """What the HTTP API answers, as its OpenAPI definition with API Gateway's extensions."""
    ((_, properties),) = resources("AWS::Serverless::HttpApi")
    definition: dict[str, Any] = properties["DefinitionBody"]
    return definition


def _routes() -> dict[str, list[Route]]:
    """The routes of each function, by its logical id, which is also the name of its integration."""
    found: dict[str, list[Route]] = {}
    for path, methods in api()["paths"].items():
        for method, route in methods.items():
            function = route[INTEGRATION]["$ref"].removeprefix(f"#/components/{INTEGRATIONS}/")
            name = "$default" if route.get("isDefaultRoute") else "ANY" if method == ANY else method.upper()
            found.setdefault(function, []).append(Route(name, path, route.get("security") == [{"AWS_IAM": []}]))
    return found


@cache
def functions() -> tuple[Function, ...]:
    """Every function of the template, in its order."""
    shared = document()["Globals"]["Function"]["Environment"]["Variables"]
    routes = _routes()
    return tuple(
        Function(
            logical_id,
            properties["Handler"],
            tuple(routes.get(logical_id, ())),
            shared | properties.get("Environment", {}).get("Variables", {}),
            tuple(statement for statement in statements(f"{logical_id}Role") if statement not in _shared()),
        )
        for logical_id, properties in resources("AWS::Serverless::Function")
    )


def statements(role: str) -> list[dict[str, Any]]:
    """The IAM statements of a role's own policies; that of the traces is an `Fn::If`."""
    policies = document()["Resources"].get(role, {}).get("Properties", {}).get("Policies", [])
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def _shared() -> list[dict[str, Any]]:
    """The statements that every function's role has."""
    first = statements(f"{next(resources('AWS::Serverless::Function'))[0]}Role")
    return first[:2]


def function(name: str) -> Function:
    """The function of an operation, by `dialect.operation`."""
    return next(function for function in functions() if function.name == name)


def table_properties(logical_id: str) -> dict[str, Any]:
    """What `create_table` takes to make a table as the template does (all but its name, and what it costs)."""
    properties = next(found for name, found in resources("AWS::DynamoDB::Table") if name == logical_id)
    made = {name: properties[name] for name in ("AttributeDefinitions", "KeySchema", "BillingMode")}
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in properties["GlobalSecondaryIndexes"]
    ]
    return made | {"GlobalSecondaryIndexes": indexes}


def resolve(value: Any, physical: Mapping[str, str]) -> str:
    """A setting's value where `!Ref X` becomes `physical["X"]`, or else parameter X's default.

    Of `!If` it is the last: with the parameters' defaults the stack's own tables are used. `!Sub` knows
    the stack's name alone, which is `bindery`.
    """
    if isinstance(value, dict):
        if "Fn::Sub" in value:
            return str(value["Fn::Sub"]).replace("${AWS::StackName}", "bindery")
        (name,) = value.values()
        if isinstance(name, list):
            return resolve(name[-1], physical)
        return physical[name] if name in physical else str(document()["Parameters"][name]["Default"])
    return str(value)
