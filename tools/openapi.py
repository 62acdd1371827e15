"""OpenAPI 3.1 of the whole HTTP API, made from the operations themselves: `make openapi` writes it.

Routes and summaries come from template.yaml, parameters and replies from the request and reply models, refusals from
what each operation declares and its dialect's table, examples from events/ and from the dialects' own envelopes, the
admin resources from their routers. Nothing is written twice, so nothing can differ from what is deployed.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc
from string import Formatter
from typing import Any
from urllib.parse import parse_qs

from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from bindery.admin import PROBLEMS
from bindery.edge import Operation
from bindery.faults import Fault, Reason
from bindery.wire import Call, Refusal
from tools import template
from tools.template import Function, Route
from tools.voices import SECURITY, VOICES, Schema, Voice

PATH = template.ROOT / "docs" / "openapi" / "bindery.json"
"""Where the document is kept."""

_PARAMETER = re.compile(r"\{(\w[\w-]*)\}")
_REF = "#/components/schemas/{model}"
_DETAILS = {"parameters": "serial_number", "address": "80:00:00:00:00:00:00:F1"}
"""What stands in an example for the placeholders of a refusal's text; any other stands for itself."""


ADMIN = (
    "What operators do, behind IAM: requests are signed (AWS Signature Version 4), as the command line `bindery` does."
    " A page in a browser cannot sign, so these cannot be tried there. Times are milliseconds since the epoch."
)
SUCCESS = "success"
"""The name of the example of a reply, beside those of refusals."""
PROBLEM: Schema = {
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
    """The document."""
    paths: dict[str, Schema] = {}
    schemas: dict[str, Schema] = {"admin.Problem": PROBLEM}
    for function in template.functions():
        dialect = function.name.partition(".")[0]
        if dialect == "admin":
            for path, operations in _admin(function, schemas).items():
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
        "tags": [*tags, {"name": "admin", "description": ADMIN}],
        "paths": paths,
        "components": {"securitySchemes": dict(SECURITY), "schemas": dict(sorted(schemas.items()))},
    }


def text() -> str:
    """The document as it is kept."""
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
    described |= _asked(operation, route, event, schemas)
    described["responses"] = _responses(operation, event, voice, schemas)
    return described


def _security(operation: Operation[Any, Any], voice: Voice) -> list[dict[str, list[str]]]:
    """The credentials that an operation refuses to do without."""
    needed = {scheme: list[str]() for scheme, reason in voice.security.items() if reason in operation.refuses}
    return [needed] if needed else []


def _description(function: Function) -> str:
    properties = template.document()["Resources"][function.logical_id]["Properties"]
    return str(properties["Description"].partition(": ")[2])


# ── What is asked ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _asked(
    operation: Operation[Any, Any], route: Route, event: Mapping[str, Any], schemas: dict[str, Schema]
) -> Schema:
    """The parameters and the body of an operation at one of its routes."""
    model, source = operation.request, operation.request.source
    schema = _schema(model, operation.name, schemas, "validation")
    in_path = _PARAMETER.findall(route.path)
    properties: dict[str, Schema] = schema.get("properties", {})
    shown = {_shown(name, info): info for name, info in model.model_fields.items()}
    parameters: list[Schema] = []
    for name in in_path:
        alias, names = next((alias, names) for alias, info in shown.items() if name in (names := _names(alias, info)))
        # The event came by one of the operation's routes, where the parameter may have another name.
        given = [event["pathParameters"][known] for known in names if known in (event.get("pathParameters") or {})]
        example = {"example": given[0]} if given else {}
        parameters.append({"name": name, "in": "path", "required": True, "schema": properties[alias]} | example)
    rest = {
        name: properties[name]
        for name, info in shown.items()
        if not any(path in _names(name, info) for path in in_path)
    }
    if source == "query":
        examples = {name: values[0] for name, values in parse_qs(event.get("rawQueryString", "")).items()}
        for name, property_ in rest.items():
            required = {"required": True} if name in schema.get("required", []) else {}
            schema_ = _as_text(property_)
            example = {"example": _read(examples[name], schema_, schemas)} if name in examples else {}
            style = {"style": "form", "explode": False} if schema_.get("type") == "array" else {}
            blank = {"allowEmptyValue": True} if _absent_when_blank(model, name) else {}
            parameters.append({"name": name, "in": "query", **required, **blank, "schema": schema_, **style, **example})
    asked: Schema = {"parameters": parameters} if parameters else {}
    if source in ("body", "form") and rest:
        body = _body(event)
        if source == "form":
            # A viewer fills in a form by the examples of its members, and takes no other.
            shown_as = {name: {"examples": [value]} for name, value in (body or {}).items()}
            rest = {name: _as_sent(inner) | shown_as.get(name, {}) for name, inner in rest.items()}
        schema["properties"] = rest
        schema["required"] = [name for name in schema.get("required", []) if name in rest]
        reference = {"$ref": _REF.format(model=f"{operation.name}.{model.__name__}")}
        kinds = ["application/json"]
        if source == "form":
            kinds += ["application/x-www-form-urlencoded", "multipart/form-data"]
            # As the event's client sends it comes first: that is what viewers and clients choose.
            kinds.sort(key=lambda kind: kind != event["headers"]["content-type"])
        content = {"schema": reference} if body is None else {"schema": reference, "example": body}
        asked["requestBody"] = {
            "required": source == "body" or bool(schema.get("required")),
            "content": dict.fromkeys(kinds, content),
        }
    return asked


def _shown(name: str, info: FieldInfo) -> str:
    """A field's name in the schema: of several aliases the first."""
    alias = info.validation_alias or info.alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias) if alias is not None else name


def _names(shown: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [shown]


def _as_text(schema: Schema) -> Schema:
    """A parameter's schema in a query, where there is no null: a parameter is there or not."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if not options:
        return schema
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return kept | (options[0] if len(options) == 1 else {"anyOf": options})


def _read(text: str, schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """The value that a parameter's text stands for."""
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
    """Whether a parameter without a value counts as absent."""
    try:
        return model.model_validate({name: ""}) == model.model_validate({})
    except ValidationError:
        return False


def _as_sent(schema: Schema) -> Schema:
    """A form's member in a JSON body, where a number or a boolean is taken as its text."""
    scalars: list[Schema] = [{"type": "number"}, {"type": "boolean"}]
    return {"anyOf": [*schema.get("anyOf", [schema]), *scalars]} | {k: v for k, v in schema.items() if k == "default"}


def _body(event: Mapping[str, Any]) -> Any:
    body = event.get("body")
    if not body:
        return None
    sent = base64.b64decode(body).decode() if event.get("isBase64Encoded") else body
    return json.loads(sent) if sent.lstrip().startswith("{") else {k: v[0] for k, v in parse_qs(sent).items()}


# ── What is answered ──────────────────────────────────────────────────────────────────────────────────────────────────


def _responses(
    operation: Operation[Any, Any], event: Mapping[str, Any], voice: Voice, schemas: dict[str, Schema]
) -> Schema:
    responses: dict[str, Schema] = {}
    status = str(operation.reply.status)
    headers = {"x-request-id": {"schema": {"type": "string"}, "description": "What the log calls the request."}}
    responses[status] = {"description": _summary(operation.reply), "headers": headers}
    if status != "204":
        responses[status]["content"] = {"application/json": {"schema": _success(operation, voice, schemas)}}
    for reason in sorted(operation.refuses, key=_rank(operation)):
        if not can_refuse(operation, reason):
            continue
        refusal = operation.dialect.REFUSALS[reason]
        detail = _detail(refusal, operation)
        answer = operation.dialect.failure(Fault(reason, **detail), Call(event))
        example = json.loads(answer.body)
        example |= {name: value for name, value in voice.moment.items() if name in example}
        response = responses.setdefault(str(answer.status), {"description": "Refused.", "headers": dict(headers)})
        content = response.setdefault("content", {}).setdefault("application/json", {"schema": {}})
        _join(content, _refused(operation, example, schemas))
        content.setdefault("examples", {})[reason.value] = {
            "summary": example.get("msg") or refusal.text.format(**detail) or reason.value,
            "value": example,
        }
        for name in answer.headers:
            response["headers"][name] = {"schema": {"type": "string"}}
    if (content := responses[status].get("content", {}).get("application/json", {})).get("examples"):
        # Where refusals have the status of success, its shape comes before them.
        shape = sample(_success(operation, voice, schemas), schemas)
        content["examples"] = {SUCCESS: {"summary": "Success", "value": shape}, **content["examples"]}
    return dict(sorted(responses.items()))


def _rank(operation: Operation[Any, Any]) -> Any:
    """Refusals in the order of their dialect's table."""
    order = list(operation.dialect.REFUSALS)
    return order.index


def can_refuse(operation: Operation[Any, Any], reason: Reason) -> bool:
    """Whether an operation that takes what this one takes can refuse for a reason of the door's own."""
    source, fields = operation.request.source, operation.request.model_fields
    if reason is Reason.MALFORMED:
        return source in ("body", "form") and bool(fields)
    if reason in (Reason.PARAMETER_MISSING, Reason.INVALID):
        return bool(fields)
    if reason is Reason.CONTENDED:
        return template.function(operation.name).writes
    return True


def _detail(refusal: Refusal, operation: Operation[Any, Any]) -> dict[str, str]:
    names = [
        name for text in (refusal.text, *refusal.headers.values()) for _, name, _, _ in Formatter().parse(text) if name
    ]
    if operation.name.startswith("asseco.") and not refusal.text:
        return {next(iter(operation.request.model_json_schema().get("properties", {"": {}}))): "required"}
    return {name: _DETAILS.get(name, name) for name in names}


def _success(operation: Operation[Any, Any], voice: Voice, schemas: dict[str, Schema]) -> Schema:
    _schema(operation.reply, operation.name, schemas, "serialization")
    reply: Schema = {"$ref": _REF.format(model=f"{operation.name}.{operation.reply.__name__}")}
    if not voice.envelope:
        return reply
    envelope = {name: dict(schema) for name, schema in voice.envelope.items()}
    wrapped = "data" in envelope
    if wrapped:
        envelope["data"] = reply
    members: Schema = {"type": "object", "properties": envelope, "required": list(envelope)}
    return members if wrapped else {"allOf": [members, reply]}


def _refused(operation: Operation[Any, Any], example: Mapping[str, Any], schemas: dict[str, Schema]) -> Schema:
    """The dialect's envelope of a refusal, as the model that its module makes it of."""
    dialect = operation.name.partition(".")[0]
    if (refused := VOICES[dialect].refused) is not None:
        schemas[f"{dialect}.Refused"] = refused
        return {"$ref": _REF.format(model=f"{dialect}.Refused")}
    module = import_module(f"bindery.dialects.{dialect}")
    models = [value for name in ("Refused", "Errors") if (value := getattr(module, name, None)) is not None]
    model: type[BaseModel] = next(model for model in models if set(example) <= _members(model))
    _schema(model, dialect, schemas, "serialization")
    return {"$ref": _REF.format(model=f"{dialect}.{model.__name__}")}


def sample(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """A value of the shape that a schema asks for, its texts empty: of an object the members that it must have."""
    match schema:
        case {"$ref": reference}:
            return sample(schemas[reference.rpartition("/")[2]], schemas)
        case {"enum": [first, *_]} | {"const": first} | {"default": first}:
            return first
        case {"anyOf": [first, *_]}:
            return sample(first, schemas)
        case {"type": "object", "properties": properties}:
            return {name: sample(properties[name], schemas) for name in schema.get("required", [])}
        case {"type": "array", "items": items}:
            return [sample(items, schemas)]
        case {"type": "integer"}:
            return int(schema.get("minimum", 0))
        case {"type": "boolean"}:
            return False
    return ""


def _members(model: type[BaseModel]) -> set[str]:
    return {info.serialization_alias or name for name, info in model.model_fields.items()}


def _join(content: Schema, schema: Schema) -> None:
    """One more schema that an answer of this status may have."""
    known = content["schema"]
    if not known:
        content["schema"] = schema
    elif known != schema and schema not in known.get("anyOf", []):
        content["schema"] = {"anyOf": [*known.get("anyOf", [known]), schema]}


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _schema(model: type[BaseModel], owner: str, schemas: dict[str, Schema], mode: Any) -> Schema:
    """A model's schema, which from now on stands in `schemas` as `owner.Model`, as do the models in it."""
    reference = _REF.format(model=f"{owner}.{{model}}")
    schema = TypeAdapter(model).json_schema(mode=mode, ref_template=reference, by_alias=True)
    made: dict[str, Schema] = {
        f"{owner}.{name}": _tidy(inner) for name, inner in (schema.pop("$defs", {}) | {model.__name__: schema}).items()
    }
    if mode == "serialization":
        for inner in made.values():
            _complete(inner, left_out=owner.startswith("remoteit."))
    schemas |= made
    return made[f"{owner}.{model.__name__}"]


def _complete(schema: Schema, *, left_out: bool) -> None:
    """An answer has all of its members, but those that are null unless they are given.

    Where null is `left_out`, no member that may be null need be there.
    """
    schema["required"] = [
        name
        for name, inner in schema.get("properties", {}).items()
        if inner.get("default", "") is not None and not (left_out and {"type": "null"} in inner.get("anyOf", []))
    ]


def _tidy(schema: Any) -> Any:
    """A schema without the titles that pydantic makes of the names, nor that a set's members differ: it takes any."""
    if isinstance(schema, dict):
        return {
            name: _tidy(value)
            for name, value in schema.items()
            if not (name == "title" and isinstance(value, str)) and name != "uniqueItems"
        }
    return [_tidy(part) for part in schema] if isinstance(schema, list) else schema


# ── The admin resources ───────────────────────────────────────────────────────────────────────────────────────────────


def _admin(function: Function, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """A resource's paths, as its router describes them, with problem details for every refusal."""
    resource = function.load()
    module = import_module(f"functions.{function.name}")
    event = json.loads(function.event.read_text())
    made = resource.app.get_openapi_schema(title="Bindery", version=_version())
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
            schemas[f"{owner}.{name}"] = _tidy(named(schema))
    paths: dict[str, Schema] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            operation = _tidy(named(operation))
            # The router's own id is the name of the Python function, its path and its method.
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
    """Give an operation the values of its resource's event, if that is a request for it."""
    http = event["requestContext"]["http"]
    found = re.fullmatch(_PARAMETER.sub(r"(?P<\1>[^/]+)", path), http["path"])
    if found is None or http["method"].lower() != method:
        return
    given = found.groupdict() | {name: values[0] for name, values in parse_qs(event.get("rawQueryString", "")).items()}
    for parameter in operation.get("parameters", []):
        if parameter["name"] in given:
            parameter["example"] = _read(given[parameter["name"]], parameter["schema"], schemas)
    if (body := _body(event)) is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = body


def _first(description: str) -> str:
    """The first sentence, without its full stop."""
    return re.split(r"[.:](?:\s|$)", description)[0].replace("\n", " ")


def _problems() -> Iterator[tuple[str, Schema]]:
    """One response for each status that a problem may have."""
    by_status: dict[int, list[str]] = {}
    for status, title in PROBLEMS.values():
        if title not in by_status.setdefault(status, []):
            by_status[status].append(title)
    schema = {"$ref": _REF.format(model="admin.Problem")}
    for status, titles in by_status.items():
        yield (
            str(status),
            {"description": "; or: ".join(titles) + ".", "content": {"application/problem+json": {"schema": schema}}},
        )


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(text())
