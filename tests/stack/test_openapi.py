"""The committed OpenAPI document is valid, up to date, and describes every deployed route."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic import AliasChoices

from tests import documented
from tests.stack.test_functions import matches
from tools import template
from tools.generate import openapi
from tools.voices import VOICES


@pytest.fixture(scope="module")
def document():
    return openapi.document()


@pytest.fixture(scope="module")
def operations(document):
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_document_is_valid(document):
    validate(document)


def test_document_describes_exactly_the_deployed_routes(document):
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    routes = [route for function in template.http_functions() for route in function.routes if route.path != "$default"]
    undocumented = [
        route
        for route in routes
        if not any(matches(route, method, re.sub(r"[{}]", "", path)) for method, path in described)
    ]
    undeployed = [
        (method, path)
        for method, path in described
        if not any(matches(route, method, re.sub(r"[{}]", "", path)) for route in routes)
    ]
    assert (undocumented, undeployed) == ([], [])


def test_operation_has_a_unique_id_and_a_description(operations):
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"] and operation["description"] for operation in operations)
    routers_own = [operation["summary"] for operation in operations if re.match(r"[A-Z]+ /", operation["summary"])]
    assert routers_own == []


def test_every_example_matches_its_schema(operations):
    shown = [
        (holder["schema"], holder["example"])
        for operation in operations
        for holder in (*operation.get("parameters", ()), *operation.get("requestBody", {}).get("content", {}).values())
        if "example" in holder
    ]
    answered = [
        (content["schema"], example["value"])
        for operation in operations
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for example in content.get("examples", {}).values()
    ]
    assert shown
    assert answered
    for schema, example in (*shown, *answered):
        documented.validator(schema).validate(example)


def test_every_accepted_parameter_name_is_documented(document, operations):
    for function in template.http_functions():
        if function.name.partition(".")[0] not in VOICES:
            continue
        described = [
            operation
            for operation in operations
            if re.fullmatch(rf"{re.escape(function.name)}(\.\d+)?", operation["operationId"])
        ]
        model = function.load().request
        body = document["components"]["schemas"].get(f"{function.name}.{model.__name__}", {}).get("properties", {})
        parameters = {each["name"] for operation in described for each in operation.get("parameters", ())}
        told = {*parameters, *body} | {
            name for member in body.values() for name in re.findall("`(.+?)`", member.get("description", ""))
        }
        for name, field in model.model_fields.items():
            alias = field.validation_alias or name
            assert set(alias.choices if isinstance(alias, AliasChoices) else [alias]) <= told, function.name


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a part of the document and every object in it."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts(part)


def test_patterns_are_short_and_portable(document):
    patterns = {part["pattern"] for part in parts(document) if isinstance(part.get("pattern"), str)}
    assert [pattern for pattern in patterns if len(pattern) > 80 or re.search(r"\\[swdbpSWDBP]", pattern)] == []


LOOKED_UP = {"address", "claimCode", "connectionid", "deviceaddress", "deviceid", "dk", "schema-id", "shareCode"}
"""Parameters without a format or length. An impossible value is refused like an unknown one."""


def test_every_request_string_has_a_maximum_length(document, operations):
    """Client generators check lengths, but do not derive them from a pattern."""
    named, asked = document["components"]["schemas"], []
    for operation in operations:
        asked += [(parameter["name"], parameter["schema"]) for parameter in operation.get("parameters", ())]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            body = named[content["schema"]["$ref"].rpartition("/")[2]]
            asked += body.get("properties", {}).items()
    texts = [
        (name, part)
        for name, schema in asked
        for part in parts(schema)
        if part.get("type") == "string" and not part.keys() & {"enum", "const", "format", "pattern"}
    ]
    assert len(texts) > 100
    assert {name for name, part in texts if "maxLength" not in part} == LOOKED_UP
