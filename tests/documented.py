"""Every answer that a test gets is one that the OpenAPI document has, and what of it was answered is noted."""

import json
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

from jsonschema import Draft202012Validator

from tests import calls
from tools import openapi
from tools.openapi.answered import SUCCESS
from tools.voices import VOICES

_CODES = ("code", "msg", "problem", "error_code")
"""The members of a refusal that name it and nothing of the request."""

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
    """What holds a value to a schema of the document: a member that the schema does not name is one too many."""
    return Draft202012Validator(_closed(schema))


def _closed(schema: Mapping[str, Any], *, part: bool = False) -> dict[str, Any]:
    """A schema with those that it refers to, each of which takes the members that it names and no other.

    Of `part`s (`allOf`) no one has to name all of them. The document itself leaves its schemas open: clients are to
    expect that members are added.
    """
    if "$ref" in schema:
        named = _document()["components"]["schemas"][schema["$ref"].removeprefix("#/components/schemas/")]
        return _closed({**named, **{word: value for word, value in schema.items() if word != "$ref"}}, part=part)
    closed = dict(schema)
    for word in {"anyOf", "oneOf", "allOf"} & schema.keys():
        closed[word] = [_closed(option, part=word == "allOf") for option in schema[word]]
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    closed["properties"] = {name: _closed(member) for name, member in schema.get("properties", {}).items()}
    if not part and (schema.get("type") == "object" or "allOf" in schema):
        closed.setdefault("unevaluatedProperties", False)
    return closed


@cache
def _validator(name: str, status: str, kind: str) -> Draft202012Validator:
    return validator(_responses(name)[0][status]["content"][kind]["schema"])


def refusals(name: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """An operation's examples of refusals: status and body by reason."""
    return {
        reason: (int(status), example["value"])
        for status, response in _responses(name)[0].items()
        for content in response.get("content", {}).values()
        for reason, example in content.get("examples", {}).items()
        if reason != SUCCESS
    }


def shown(name: str, status: int, body: str) -> set[str]:
    """The examples of refusals that are this very answer, but for what differs from one moment to the next."""
    moment = dict.fromkeys(VOICES[name.partition(".")[0]].moment)
    told = json.loads(body) if body else {}
    return {
        reason
        for reason, (refused, example) in refusals(name).items()
        if (refused, example | moment) == (status, told | moment)
    }


def check(name: str, request: Mapping[str, Any], status: int, headers: Mapping[str, str], body: str) -> None:
    """Hold an operation's answer to what the document says of it: status, headers, type, members, and what refuses."""
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
