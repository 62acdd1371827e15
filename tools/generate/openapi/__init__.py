"""Generate the OpenAPI 3.1 document of the HTTP API (`make generate`).

It derives from template.yaml, the operations' models and reasons, the dialects, events/, and the admin routers.
"""

import json
import re
from importlib import import_module
from inspect import cleandoc
from typing import Any

from bindery.core.errors import Reason
from bindery.http.operation import Operation
from bindery.operators.resource import PROBLEMS
from tools import template
from tools.generate.openapi import admin
from tools.generate.openapi.answered import responses
from tools.generate.openapi.asked import asked
from tools.template import Function, Route
from tools.voices import SECURITY, VOICES, Schema, Voice

PATH = template.ROOT / "docs" / "openapi" / "bindery.json"
"""Path of the document."""

_ADMIN = (
    "Operations for operators, with IAM authorization: requests must have an AWS signature (Version 4). The command"
    " line `bindery` signs its requests; this page cannot. Times are milliseconds since the Unix epoch."
)
_PROBLEM: Schema = {
    "description": "A problem detail (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "reason": {"enum": sorted(PROBLEMS)},
    },
    "required": ["type", "title", "status", "reason"],
}


def document() -> Schema:
    """Return the document."""
    paths: dict[str, Schema] = {}
    schemas: dict[str, Schema] = {"admin.Problem": _PROBLEM}
    for function in template.http_functions():
        dialect = function.name.partition(".")[0]
        if dialect == "admin":
            for path, operations in admin.resource(function, _version(), schemas).items():
                paths.setdefault(path, {}).update(operations)
        elif dialect in VOICES:
            for number, route in enumerate(function.routes):
                described = _operation(function, route, schemas)
                described["operationId"] = function.name if number == 0 else f"{function.name}.{number + 1}"
                paths.setdefault(route.path, {})[route.method.lower()] = described
    tags = [{"name": name, "description": voice.description} for name, voice in VOICES.items()]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bindery",
            "version": _version(),
            "description": str(template.document()["Description"]),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [*tags, {"name": "admin", "description": _ADMIN}],
        "paths": paths,
        "components": {"securitySchemes": dict(SECURITY), "schemas": dict(sorted(schemas.items()))},
    }


def text() -> str:
    """Return the document as JSON."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _version() -> str:
    found = re.search(r'^version = "(.+)"$', (template.ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    if found is None:
        raise LookupError("pyproject.toml has no version")
    return found[1]


def _operation(function: Function, route: Route, schemas: dict[str, Schema]) -> Schema:
    dialect = function.name.partition(".")[0]
    operation: Operation[Any, Any] = function.load()
    event = json.loads(function.event.read_text())
    voice = VOICES[dialect]
    module = import_module(f"functions.{function.name}").__doc__ or ""
    described: Schema = {
        "tags": [dialect],
        "summary": _description(function),
        "description": f"{cleandoc(operation.__doc__ or '')}\n\n{cleandoc(module)}",
        "security": _security(operation, voice),
    }
    described |= asked(operation, route, event, schemas)
    described["responses"] = responses(operation, event, voice, schemas)
    return described


def _security(operation: Operation[Any, Any], voice: Voice) -> list[dict[str, list[str]]]:
    needed = {scheme: list[str]() for scheme, reason in voice.security.items() if reason in operation.refuses}
    if not needed and Reason.TOKEN_INVALID in operation.refuses:
        # The token can also be a parameter.
        return [{scheme: list[str]() for scheme in voice.security}, {}]
    return [needed] if needed else []


def _description(function: Function) -> str:
    properties = template.document()["Resources"][function.logical_id]["Properties"]
    return str(properties["Description"].partition(": ")[2])
