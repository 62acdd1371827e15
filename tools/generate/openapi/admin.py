"""Admin resources in the OpenAPI document."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc
from typing import Any
from urllib.parse import parse_qs

from bindery.operators.resource import PROBLEMS
from tools.generate.openapi.asked import PARAMETER, body_of, value_of
from tools.generate.openapi.schemas import REF, tidy
from tools.template import Function
from tools.voices import Schema


def resource(function: Function, version: str, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Return a resource's paths, with problem details as errors."""
    router = function.load()
    module = import_module(f"functions.{function.name}")
    event = json.loads(function.event.read_text())
    made = router.app.get_openapi_schema(title="Bindery", version=version)
    described = json.loads(made.model_dump_json(by_alias=True, exclude_none=True))
    owner = function.name

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: inner.replace("#/components/schemas/", f"#/components/schemas/{owner}.")
                if name == "$ref"
                else named(inner)
                for name, inner in value.items()
            }
        return [named(inner) for inner in value] if isinstance(value, list) else value

    for name, schema in described.get("components", {}).get("schemas", {}).items():
        if not name.endswith("ValidationError"):
            schemas[f"{owner}.{name}"] = tidy(named(schema))
    paths: dict[str, Schema] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            operation = tidy(named(operation))
            # The router's operationId consists of function name, path and method.
            name = operation["operationId"].partition("_admin_v1_")[0]
            operation["operationId"] = f"{owner}.{name}"
            operation["tags"] = ["admin"]
            operation["security"] = [{"aws_signature": []}]
            operation["description"] = cleandoc(getattr(module, name).__doc__)
            operation["summary"] = _first(operation["description"])
            operation["responses"] = dict(sorted((operation["responses"] | dict(_problems())).items()))
            _exemplify(operation, path, method, event, schemas)
            paths.setdefault(path, {})[method] = operation
    return paths


def _exemplify(
    operation: Schema, path: str, method: str, event: Mapping[str, Any], schemas: Mapping[str, Schema]
) -> None:
    """Add examples from the resource's event, if it is for this operation."""
    http = event["requestContext"]["http"]
    found = re.fullmatch(PARAMETER.sub(r"(?P<\1>[^/]+)", path), http["path"])
    if found is None or http["method"].lower() != method:
        return
    given = found.groupdict() | {name: values[0] for name, values in parse_qs(event.get("rawQueryString", "")).items()}
    for parameter in operation.get("parameters", []):
        if parameter["name"] in given:
            parameter["example"] = value_of(given[parameter["name"]], parameter["schema"], schemas)
    if (body := body_of(event)) is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = body


def _first(description: str) -> str:
    return re.split(r"[.:](?:\s|$)", description)[0].replace("\n", " ")


def _problems() -> Iterator[tuple[str, Schema]]:
    by_status: dict[int, list[str]] = {}
    for status, title in PROBLEMS.values():
        if title not in by_status.setdefault(status, []):
            by_status[status].append(title)
    schema = {"$ref": REF.format(model="admin.Problem")}
    for status, titles in by_status.items():
        yield (
            str(status),
            {"description": "; or: ".join(titles) + ".", "content": {"application/problem+json": {"schema": schema}}},
        )
