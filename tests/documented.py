"""Check every response that a test gets against the OpenAPI document, and record which examples were returned."""

import json
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

from jsonschema import Draft202012Validator

from tests import calls
from tools.generate import openapi
from tools.generate.openapi.answered import SUCCESS
from tools.voices import VOICES

_CODES = ("code", "msg", "problem", "error_code")
"""Members of an error response that identify the error and do not depend on the request."""

_made = cache(openapi.document)
_making = Lock()


def _document() -> dict[str, Any]:
    # Without the lock, parallel callers would each build the document.
    with _making:
        return _made()


@cache
def _responses(name: str) -> list[dict[str, Any]]:
    """Return the documented responses of an operation, for each of its routes."""
    return [
        described["responses"]
        for path in _document()["paths"].values()
        for described in path.values()
        if described["operationId"].split(".")[:2] == name.split(".")[:2]
    ]


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Return a validator for a schema of the document that refuses members the schema does not name."""
    return Draft202012Validator(_closed(schema))


def _closed(schema: Mapping[str, Any], *, part: bool = False) -> dict[str, Any]:
    """Return a schema with its references resolved and without additional properties.

    A `part` of an `allOf` stays open: no part names all members. The document itself leaves its schemas open, because
    clients must expect new members.
    """
    if "$ref" in schema:
        named = _document()["components"]["schemas"][schema["$ref"].removeprefix("#/components/schemas/")]
        return _closed({**named, **{word: value for word, value in schema.items() if word != "$ref"}}, part=part)
    closed = dict(schema)
    for word in {"anyOf", "oneOf", "allOf"} & schema.keys():
        closed[word] = [_closed(option, part=word == "allOf") for option in schema[word]]
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            closed[word] = _closed(schema[word])
    closed["properties"] = {name: _closed(member) for name, member in schema.get("properties", {}).items()}
    if not part and (schema.get("type") == "object" or "allOf" in schema):
        closed.setdefault("unevaluatedProperties", False)
    return closed


@cache
def _validator(name: str, status: str, kind: str) -> Draft202012Validator:
    return validator(_responses(name)[0][status]["content"][kind]["schema"])


def refusals(name: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return an operation's documented error examples: status and body by reason."""
    return {
        reason: (int(status), example["value"])
        for status, response in _responses(name)[0].items()
        for content in response.get("content", {}).values()
        for reason, example in content.get("examples", {}).items()
        if reason != SUCCESS
    }


def shown(name: str, status: int, body: str) -> set[str]:
    """Return the reasons whose documented example equals this response, ignoring members that contain the time."""
    moment = dict.fromkeys(VOICES[name.partition(".")[0]].moment)
    told = json.loads(body) if body else {}
    return {
        reason
        for reason, (refused, example) in refusals(name).items()
        if (refused, example | moment) == (status, told | moment)
    }


def check(name: str, request: Mapping[str, Any], status: int, headers: Mapping[str, str], body: str) -> None:
    """Check a response against the document: status, headers, content type, members and error codes."""
    if name.startswith("default."):
        return
    responses = _responses(name)
    assert all(str(status) in response for response in responses) or name.startswith("admin."), (name, status)
    if name.startswith("admin."):
        return
    response = responses[0][str(status)]
    content, named = response.get("content"), response["headers"]
    always = {header for header, told in named.items() if told.get("required")}
    assert always <= headers.keys() <= {"Content-Type", *named}, (name, headers)
    if content is None:
        assert body == "", (name, body)
        return
    kind = headers["Content-Type"]
    assert kind in content, (name, kind)
    told = json.loads(body)
    _validator(name, str(status), kind).validate(told)
    if status < 300 and told.get("code", 200) == 200:
        return
    codes = [{code: example.get(code) for code in _CODES} for _, example in refusals(name).values()]
    assert {code: told.get(code) for code in _CODES} in codes, (name, told)
    calls.answered.update((name, reason) for reason in shown(name, status, body))
