"""Requests in the OpenAPI document."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bindery.http.operation import Operation
from tools.generate.openapi.schemas import REF, schema_of
from tools.template import Route
from tools.voices import Schema

PARAMETER = re.compile(r"\{(\w[\w-]*)\}")
"""Path parameter."""


def asked(operation: Operation[Any, Any], route: Route, event: Mapping[str, Any], schemas: dict[str, Schema]) -> Schema:
    """Return the parameters and body of a route."""
    model, source = operation.request, operation.request.source
    schema = schema_of(model, operation.name, schemas, "validation")
    in_path = PARAMETER.findall(route.path)
    properties: dict[str, Schema] = schema.get("properties", {})
    shown = {shown_name(name, info): info for name, info in model.model_fields.items()}
    parameters: list[Schema] = []
    for name in in_path:
        alias, names = next((alias, names) for alias, info in shown.items() if name in (names := names_of(alias, info)))
        # The event may be for another route of the operation, where the parameter has another name.
        given = [event["pathParameters"][known] for known in names if known in (event.get("pathParameters") or {})]
        example = {"example": given[0]} if given else {}
        parameters.append({"name": name, "in": "path", "required": True, "schema": properties[alias]} | example)
    rest = {
        name: properties[name] | _also(names_of(name, info)[1:])
        for name, info in shown.items()
        if not any(path in names_of(name, info) for path in in_path)
    }
    if "query" in source:
        examples = {name: values[0] for name, values in parse_qs(event.get("rawQueryString", "")).items()}
        for name, property_ in rest.items():
            required = {"required": True} if name in schema.get("required", []) else {}
            schema_ = _as_text(property_)
            example = {"example": value_of(examples[name], schema_, schemas)} if name in examples else {}
            style = {"style": "form", "explode": False} if schema_.get("type") == "array" else {}
            blank = {"allowEmptyValue": True} if _absent_when_blank(model, name) else {}
            parameters.append({"name": name, "in": "query", **required, **blank, "schema": schema_, **style, **example})
    found: Schema = {"parameters": parameters} if parameters else {}
    if source not in ("path", "query") and rest:
        body = body_of(event)
        if "form" in source:
            # Swagger UI fills in forms only from the examples of members.
            shown_as = {name: {"examples": [value]} for name, value in (body or {}).items()}
            rest = {name: _as_sent(inner) | shown_as.get(name, {}) for name, inner in rest.items()}
        schema["properties"] = rest
        schema["required"] = [name for name in schema.get("required", []) if name in rest]
        reference = {"$ref": REF.format(model=f"{operation.name}.{model.__name__}")}
        kinds = ["application/json"]
        if "form" in source:
            kinds += ["application/x-www-form-urlencoded", "multipart/form-data"]
            # Clients choose the first content type, so it must be the one of the event.
            kinds.sort(key=lambda kind: kind != event["headers"]["content-type"])
        content = {"schema": reference} if body is None else {"schema": reference, "example": body}
        found["requestBody"] = {
            "required": source == "body" or bool(schema.get("required")),
            "content": dict.fromkeys(kinds, content),
        }
    return found


def shown_name(name: str, info: FieldInfo) -> str:
    """Return a field's name in the schema."""
    alias = info.validation_alias or info.alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias) if alias is not None else name


def names_of(shown: str, info: FieldInfo) -> list[str]:
    """Return all names of a field, the schema's first."""
    alias = info.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [shown]


def _also(others: list[str]) -> Schema:
    """Describe alternative names, which a schema cannot."""
    if not others:
        return {}
    names = " or ".join(f"`{name}`" for name in others)
    return {"description": f"Also accepted as {names}. The first of these that has a value is used."}


def _as_text(schema: Schema) -> Schema:
    """Remove null from the schema of a query parameter."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if not options:
        return schema
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return kept | (options[0] if len(options) == 1 else {"anyOf": options})


def value_of(text: str, schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """Convert a parameter's text to its type."""
    named = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    match named.get("type"):
        case "integer":
            return int(text)
        case "boolean":
            return text == "true"
        case "array":
            return text.split(",")
    return text


def _absent_when_blank(model: type[BaseModel], name: str) -> bool:
    """Return True if an empty parameter counts as absent."""
    try:
        return model.model_validate({name: ""}) == model.model_validate({})
    except ValidationError:
        return False


def _as_sent(schema: Schema) -> Schema:
    """Allow numbers and booleans for a form's member."""
    scalars: list[Schema] = [{"type": "number"}, {"type": "boolean"}]
    return {"anyOf": [*schema.get("anyOf", [schema]), *scalars]} | {k: v for k, v in schema.items() if k == "default"}


def body_of(event: Mapping[str, Any]) -> Any:
    """Return the members of an event's JSON or form body, or None."""
    body = event.get("body")
    if not body:
        return None
    sent = base64.b64decode(body).decode() if event.get("isBase64Encoded") else body
    return json.loads(sent) if sent.lstrip().startswith("{") else {k: v[0] for k, v in parse_qs(sent).items()}
