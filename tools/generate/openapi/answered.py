"""Responses in the OpenAPI document."""

import json
from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc
from typing import Any

from pydantic import BaseModel

from bindery.http.messages import Call, Reply
from bindery.http.operation import Operation
from tools.generate.openapi.refused import refusals
from tools.generate.openapi.schemas import REF, sample, schema_of
from tools.voices import VOICES, Schema, Voice

SUCCESS = "success"
"""Name of the example of a successful response."""

_ALWAYS: dict[str, Schema] = {
    "x-request-id": {"schema": {"type": "string"}, "description": "Request id, as in the log."}
}
_OF_REFUSALS: Mapping[str, Schema] = {
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "Seconds to wait before a retry.",
    },
    "WWW-Authenticate": {"schema": {"type": "string"}, "description": "Required credential (RFC 6750)."},
}


def responses(
    operation: Operation[Any, Any], event: Mapping[str, Any], voice: Voice, schemas: dict[str, Schema]
) -> Schema:
    """Return the responses by status."""
    found: dict[str, Schema] = {}
    status = str(operation.replies[0].status)
    found[status] = {
        "description": " ".join(_summary(reply) for reply in operation.replies),
        "headers": _ALWAYS | {name: header for reply in operation.replies for name, header in _headers(reply).items()},
    }
    if status != "204":
        found[status]["content"] = {"application/json": {"schema": _success(operation, voice, schemas)}}
    for fault in refusals(operation, event):
        refusal = operation.dialect.REFUSALS[fault.reason]
        answer = operation.dialect.failure(fault, Call(event))
        example = json.loads(answer.body)
        example |= {name: value for name, value in voice.moment.items() if name in example}
        response = found.setdefault(str(answer.status), {"description": "Error.", "headers": dict(_ALWAYS)})
        content = response.setdefault("content", {}).setdefault("application/json", {"schema": {}})
        _join(content, _refused(operation, example, schemas))
        content.setdefault("examples", {})[fault.reason.value] = {
            "summary": example.get("msg") or refusal.text.format(**fault.detail) or fault.reason.value,
            "value": example,
        }
        response["headers"] |= {name: _OF_REFUSALS[name] for name in answer.headers}
    if (content := found[status].get("content", {}).get("application/json", {})).get("examples"):
        # If errors have the same status as success, the example of success comes first.
        shape = sample(_success(operation, voice, schemas), schemas)
        content["examples"] = {SUCCESS: {"summary": "Success", "value": shape}, **content["examples"]}
    return dict(sorted(found.items()))


def _headers(reply: type[Reply]) -> dict[str, Schema]:
    told = {"required": True, "schema": {"type": "string"}, "description": getdoc(reply.headers)}
    anything: dict[str, Any] = dict.fromkeys(reply.model_fields, "")
    return dict.fromkeys(reply.model_construct(**anything).headers(), told)


def _success(operation: Operation[Any, Any], voice: Voice, schemas: dict[str, Schema]) -> Schema:
    for model in operation.replies:
        schema_of(model, operation.name, schemas, "serialization")
    references = [{"$ref": REF.format(model=f"{operation.name}.{model.__name__}")} for model in operation.replies]
    reply: Schema = references[0] if len(references) == 1 else {"anyOf": references}
    if not voice.envelope:
        return reply
    envelope = {name: dict(schema) for name, schema in voice.envelope.items()}
    wrapped = "data" in envelope
    if wrapped:
        envelope["data"] = reply
    members: Schema = {"type": "object", "properties": envelope, "required": list(envelope)}
    return members if wrapped else {"allOf": [members, reply]}


def _refused(operation: Operation[Any, Any], example: Mapping[str, Any], schemas: dict[str, Schema]) -> Schema:
    """Return the schema of an error, from the dialect's model."""
    dialect = operation.name.partition(".")[0]
    if (refused := VOICES[dialect].refused) is not None:
        schemas[f"{dialect}.ErrorBody"] = refused
        return {"$ref": REF.format(model=f"{dialect}.ErrorBody")}
    module = import_module(f"bindery.{dialect}.dialect")
    models = [value for name in ("ErrorBody", "Errors") if (value := getattr(module, name, None)) is not None]
    model: type[BaseModel] = next(model for model in models if set(example) <= _members(model))
    schema_of(model, dialect, schemas, "serialization")
    return {"$ref": REF.format(model=f"{dialect}.{model.__name__}")}


def _members(model: type[BaseModel]) -> set[str]:
    return {info.serialization_alias or name for name, info in model.model_fields.items()}


def _join(content: Schema, schema: Schema) -> None:
    """Add a schema to those of a status."""
    known = content["schema"]
    if not known:
        content["schema"] = schema
    elif known != schema and schema not in known.get("anyOf", []):
        content["schema"] = {"anyOf": [*known.get("anyOf", [known]), schema]}


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())
