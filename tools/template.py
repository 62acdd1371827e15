"""Tables, functions, routes, environment variables and policies of template.yaml and roles.yaml."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

ROOT = Path(__file__).resolve().parent.parent

# API Gateway's OpenAPI extensions.
ANY = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
INTEGRATIONS = "x-amazon-apigateway-integrations"
CORS = "x-amazon-apigateway-cors"


@dataclass(frozen=True, slots=True)
class Route:
    """A route. The default route has the method and path `$default`."""

    method: str
    path: str
    iam: bool = False
    """True if API Gateway requires AWS signatures."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the template."""

    logical_id: str
    handler: str
    routes: tuple[Route, ...]
    environment: Mapping[str, Any]
    """Variables with unresolved intrinsic functions."""
    policies: tuple[Mapping[str, Any], ...]
    """IAM statements, except those for logs and traces."""

    @property
    def name(self) -> str:
        """Such as `rufus.bind_device`."""
        return self.handler.removesuffix(".handler")

    @property
    def writes(self) -> bool:
        """True if the function can write to a table."""
        writing = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
        return any(not writing.isdisjoint(statement["Action"]) for statement in self.policies)

    @property
    def source(self) -> Path:
        """Source file."""
        return ROOT / "functions" / (self.name.replace(".", "/") + ".py")

    @property
    def event(self) -> Path:
        """Sample event."""
        return ROOT / "events" / (self.name.replace(".", "/") + ".json")

    def load(self) -> Any:
        """Import and return the handler."""
        return import_module(f"functions.{self.name}").handler


@cache
def document() -> dict[str, Any]:
    """Return the parsed template."""
    return _parsed("template.yaml")


@cache
def roles() -> dict[str, Any]:
    """Return the parsed template of the nested stack with the functions' roles."""
    return _parsed("roles.yaml")


def _parsed(file: str) -> dict[str, Any]:
    # libyaml, which not every build of PyYAML has, takes a tenth of the time: a second for each process.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader.add_multi_constructor("!", intrinsics_multi_constructor)
    parsed: dict[str, Any] = yaml.load((ROOT / file).read_text(), loader)  # noqa: S506 (a safe loader)
    return parsed


def resources(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield logical id and properties of all resources of a type."""
    for logical_id, resource in document()["Resources"].items():
        if resource["Type"] == kind:
            yield logical_id, resource.get("Properties", {})


def metadata(logical_id: str) -> dict[str, Any]:
    """Return a resource's `Metadata`. A function's has its `Routes` and its `Access` to tables."""
    found: dict[str, Any] = document()["Resources"][logical_id]["Metadata"]
    return found


def routes(logical_id: str) -> list[str]:
    """Return a function's `Routes`. Functions of the device link have none."""
    found: list[str] = metadata(logical_id).get("Routes", [])
    return found


def link() -> dict[str, Function]:
    """Return the functions of the WebSocket API by route key, and its `authorizer`."""
    (authorizer,) = (found["AuthorizerUri"] for _, found in resources("AWS::ApiGatewayV2::Authorizer"))
    integrations = dict(resources("AWS::ApiGatewayV2::Integration"))
    uris = {
        found["RouteKey"]: integrations[found["Target"]["Fn::Sub"].removeprefix("integrations/${")[:-1]].get(
            "IntegrationUri"
        )
        for _, found in resources("AWS::ApiGatewayV2::Route")
        if found["ApiId"] == {"Ref": "LinkApi"}
    } | {"authorizer": authorizer}
    by_id = {function.logical_id: function for function in functions()}
    return {
        key: by_id[uri["Fn::Sub"][1]["live"]["Ref"].removesuffix(".Alias")]
        for key, uri in uris.items()
        if uri is not None
    }


def api() -> dict[str, Any]:
    """Return the HTTP API's OpenAPI definition."""
    ((_, properties),) = resources("AWS::Serverless::HttpApi")
    definition: dict[str, Any] = properties["DefinitionBody"]
    return definition


def cors(origins: str) -> dict[str, Any]:
    """Return the CORS configuration for a value of AllowedOrigins; without origins, an empty one."""
    _, configured, _ = api()[CORS]["Fn::If"]
    return configured | {"allowOrigins": origins.split(",")} if origins else {}


def _routes() -> dict[str, list[Route]]:
    """Return the routes of each function by logical id, which is also the integration's name."""
    found: dict[str, list[Route]] = {}
    for path, methods in api()["paths"].items():
        for method, route in methods.items():
            function = route[INTEGRATION]["$ref"].removeprefix(f"#/components/{INTEGRATIONS}/")
            name = "$default" if route.get("isDefaultRoute") else "ANY" if method == ANY else method.upper()
            found.setdefault(function, []).append(Route(name, path, route.get("security") == [{"AWS_IAM": []}]))
    return found


@cache
def functions() -> tuple[Function, ...]:
    """Return all functions."""
    shared = document()["Globals"]["Function"]["Environment"]["Variables"]
    routes = _routes()
    return tuple(
        Function(
            logical_id,
            properties["Handler"],
            tuple(routes.get(logical_id, ())),
            shared | properties.get("Environment", {}).get("Variables", {}),
            tuple(statement for statement in statements(role(properties)) if statement not in _shared()),
        )
        for logical_id, properties in resources("AWS::Serverless::Function")
    )


@cache
def http_functions() -> tuple[Function, ...]:
    """Return the functions of the HTTP API."""
    return tuple(function for function in functions() if function.routes)


def relay() -> Function:
    """Return the function of the relay's HTTP API, which has only the default route."""
    return replace(function("relay.forward"), routes=(Route("$default", "$default"),))


def pong() -> str:
    """Return the WebSocket API's answer to a ping."""
    ((_, properties),) = resources("AWS::ApiGatewayV2::IntegrationResponse")
    (answer,) = properties["ResponseTemplates"].values()
    return str(answer)


def statements(role: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role."""
    policies = roles()["Resources"].get(role, {}).get("Properties", {}).get("Policies", [])
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def role(properties: Mapping[str, Any]) -> str:
    """Return the logical id of a function's role in the nested stack, which is also the name of its output."""
    return str(properties["Role"]["Fn::GetAtt"][1]).removeprefix("Outputs.")


def _shared() -> list[dict[str, Any]]:
    _, first = next(resources("AWS::Serverless::Function"))
    return statements(role(first))[:2]


def function(name: str) -> Function:
    """Return a function by name."""
    return next(function for function in functions() if function.name == name)


def table_properties(logical_id: str) -> dict[str, Any]:
    """Return arguments of `create_table`, except the name."""
    properties = next(found for name, found in resources("AWS::DynamoDB::Table") if name == logical_id)
    made = {name: properties[name] for name in ("AttributeDefinitions", "KeySchema", "BillingMode")}
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in properties.get("GlobalSecondaryIndexes", ())
    ]
    return made | ({"GlobalSecondaryIndexes": indexes} if indexes else {})


def resolve(value: Any, physical: Mapping[str, str]) -> str:
    """Resolve `!Ref X` to `physical["X"]` or the default of parameter X, `!If` to its last value, and stack names."""
    if isinstance(value, dict):
        if "Fn::Sub" in value:
            text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
            text = str(text).replace("${AWS::StackName}", "bindery").replace("${stack}", "local")
            return re.sub(r"\$\{(\w+)\}", lambda found: resolve({"Ref": found[1]}, physical), text)
        (name,) = value.values()
        if isinstance(name, list):
            return resolve(name[-1], physical)
        return physical[name] if name in physical else str(document()["Parameters"][name]["Default"])
    return str(value)
