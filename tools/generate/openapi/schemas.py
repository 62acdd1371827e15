"""Schemas of models in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DataclassField, ModelField, TypedDictField

from tools.voices import VOICES, Schema

REF = "#/components/schemas/{model}"

_NULL = {"type": "null"}


def schema_of(
    model: type[BaseModel], owner: str, schemas: dict[str, Schema], mode: Literal["validation", "serialization"]
) -> Schema:
    """Return a model's schema, and add it to `schemas` as `owner.Model`."""
    generator = _Asked if mode == "validation" else _Answered if _has_nulls(owner) else _AnsweredWithoutNulls
    schema = TypeAdapter(model).json_schema(
        mode=mode, ref_template=REF.format(model=f"{owner}.{{model}}"), by_alias=True, schema_generator=generator
    )
    made: dict[str, Schema] = {
        f"{owner}.{name}": tidy(inner) for name, inner in (schema.pop("$defs", {}) | {model.__name__: schema}).items()
    }
    schemas |= made
    return made[f"{owner}.{model.__name__}"]


def tidy(schema: Any) -> Any:
    """Remove pydantic's titles, and `uniqueItems`, which is not enforced."""
    if isinstance(schema, dict):
        return {
            name: tidy(value)
            for name, value in schema.items()
            if not (name == "title" and isinstance(value, str)) and name != "uniqueItems"
        }
    return [tidy(part) for part in schema] if isinstance(schema, list) else schema


def sample(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """Return a minimal value for a schema."""
    match schema:
        case {"$ref": reference}:
            return sample(schemas[reference.rpartition("/")[2]], schemas)
        case {"enum": [first, *_]} | {"const": first} | {"default": first}:
            return first
        case {"anyOf": [first, *_]}:
            return sample(first, schemas)
        case {"type": "object"}:
            return {name: sample(schema["properties"][name], schemas) for name in schema.get("required", [])}
        case {"type": "array", "items": items}:
            return [sample(items, schemas)]
        case {"type": "integer"}:
            return int(schema.get("minimum", 0))
        case {"type": "boolean"}:
            return False
    return ""


def _has_nulls(owner: str) -> bool:
    return VOICES[owner.partition(".")[0]].has_nulls


class _Asked(GenerateJsonSchema):
    """Schemas of requests."""


class _Answered(GenerateJsonSchema):
    """Schemas of responses, whose members are required unless omitted when null."""

    def field_is_required(self, field: ModelField | DataclassField | TypedDictField, total: bool) -> bool:
        return not self._is_left_out(field)

    def model_field_schema(self, schema: ModelField) -> JsonSchemaValue:
        made = super().model_field_schema(schema)
        if not self._is_left_out(schema):
            return made
        options = [option for option in made.pop("anyOf") if option != _NULL]
        made.pop("default", None)
        return made | (options[0] if len(options) == 1 else {"anyOf": options})

    def _is_left_out(self, field: Any) -> bool:
        unless = field.get("serialization_exclude_if")
        return unless is not None and unless(None)


class _AnsweredWithoutNulls(_Answered):
    """Schemas of responses without any null members."""

    def _is_left_out(self, field: Any) -> bool:
        return _NULL in self.generate_inner(field["schema"]).get("anyOf", [])
