"""Every answer that a test gets is one that the OpenAPI document has."""

import json
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tools import openapi

_made = cache(openapi.document)
_making = Lock()


def _document() -> dict[str, Any]:
    # Many callers at once would each make it.
    with _making:
        return _made()


@cache
def _responses(name: str) -> list[dict[str, Any]]:
    """What is said of an operation's answers, at each of its routes."""
    return [
        described["responses"]
        for path in _document()["paths"].values()
        for described in path.values()
        if described["operationId"].split(".")[:2] == name.split(".")[:2]
    ]


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """What holds a value to a schema of the document."""
    registry = Registry().with_resource("urn:bindery", Resource(_document(), DRAFT202012))
    absolute = json.loads(json.dumps(schema).replace('"#/components', '"urn:bindery#/components'))
    return Draft202012Validator(absolute, registry=registry)


@cache
def _validator(name: str, status: str, kind: str) -> Draft202012Validator:
    return validator(_responses(name)[0][status]["content"][kind]["schema"])


def check(name: str, request: Mapping[str, Any], status: int, headers: Mapping[str, str], body: str) -> None:
    """Hold an operation's answer to what the document says of it: status, type and members."""
    if name.startswith("default."):
        return
    responses = _responses(name)
    assert all(str(status) in response for response in responses) or name.startswith("admin."), (name, status)
    if name.startswith("admin."):
        return
    content = responses[0][str(status)].get("content")
    if content is None:
        assert body == "", (name, body)
        return
    kind = headers["Content-Type"]
    assert kind in content, (name, kind)
    _validator(name, str(status), kind).validate(json.loads(body))
