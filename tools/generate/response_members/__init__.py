"""Compare the members of responses with the vendors' pages, and write docs/response-members.md (`make generate`).

The vendors' facts, and the reasons for differences, are in a file per API beside this module. Bindery's members are
those of the OpenAPI document, against which the tests check every response.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from tools.generate import openapi
from tools.generate.response_members.shapes import NAME, Kind, Schema, Shape, holder, schema_of, shape
from tools.template import ROOT

PAGE = ROOT / "docs/response-members.md"
FACTS = Path(__file__).parent

ERRORS = "errors"
"""Name for the error responses of an API's operations."""

_INTRODUCTION = """\
# Members of responses

This page compares each response with the vendor's description of it, member by member, and gives the reason for each
difference. It is generated from [the vendors' facts](../tools/generate/response_members) and the OpenAPI document
[bindery.json](openapi/bindery.json), which has the complete responses. A test fails if a difference has no reason.

A member is alike if every value that Bindery returns is one that the vendor may return. Types are those of JSON:
`string[]` is an array of strings, `object{}` an object with any keys. Where a vendor publishes no schema, the members
are those that existing clients read.
"""
_NONE = "-"


class Difference(NamedTuple):
    """A member that differs, in a vendor's type or in the response of one operation."""

    of: str
    """The type or the operation."""
    member: str
    vendor: Kind | None
    own: Kind | None


class Operation(NamedTuple):
    """An operation, or the errors of all, with what is known about its members."""

    name: str
    route: str
    fact: Mapping[str, Any]
    differences: list[Difference]
    alike: int


_document = cache(openapi.document)


def apis() -> list[str]:
    """Return the APIs in the order of the OpenAPI document."""
    known = {path.stem for path in FACTS.glob("*.toml")}
    return [tag["name"] for tag in _document()["tags"] if tag["name"] in known]


def facts(api: str) -> dict[str, Any]:
    """Return an API's facts."""
    return tomllib.loads((FACTS / f"{api}.toml").read_text())


def documented(api: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the first route and the responses of an API's operations, by name."""
    return {
        name: (f"{method.upper()} {path}", described["responses"])
        for path, methods in _document()["paths"].items()
        for method, described in methods.items()
        for tag, _, name in [described["operationId"].partition(".")]
        if tag == api and "." not in name
    }


def compared(api: str) -> list[Operation]:
    """Compare an API's operations that are in its facts."""
    known = facts(api)
    named = {name: {**schema_of(notation), NAME: name} for name, notation in known.get("types", {}).items()}
    found = []
    routes = documented(api)
    for name, fact in known["operations"].items():
        responses = [responses for _, responses in routes.values()] if name == ERRORS else [routes[name][1]]
        own = shape({"anyOf": list(_schemas(responses, errors=name == ERRORS))}, _document()["components"]["schemas"])
        theirs = own if fact.get("own") else shape(_described(fact, known), named)
        differences = list(compare(name, theirs, own))
        differing = sum(None not in (each.vendor, each.own) for each in differences)
        alike = len(theirs.members.keys() & own.members.keys()) - differing
        found.append(Operation(name, "all errors" if name == ERRORS else routes[name][0], fact, differences, alike))
    return found


def compare(operation: str, theirs: Shape, own: Shape) -> Iterator[Difference]:
    """Yield the differing members of a response. Members of an object that one side lacks are left out."""
    for path in dict.fromkeys([*theirs.members, *own.members]):
        vendor, ours = theirs.members.get(path), own.members.get(path)
        if vendor is not None and ours is not None:
            if vendor.accepts(ours):
                continue
        elif (at := holder(path)) and at not in (theirs if vendor is None else own).objects:
            continue
        of, member = theirs.owner(path)
        yield Difference(of or operation, member, vendor, ours)


def reasons(api: str) -> dict[tuple[str, str], str]:
    """Return the reason for each difference, by type or operation and member."""
    return {
        (each["of"], member): each["because"] for each in facts(api).get("differs", ()) for member in each["members"]
    }


def text() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *(_section(api) for api in apis())])


def _schemas(responses: list[Mapping[str, Any]], *, errors: bool) -> Iterator[Schema]:
    """Yield the schemas of successes or of errors."""
    for each in responses:
        for response in each.values():
            for content in response.get("content", {}).values():
                schema = content["schema"]
                for option in schema.get("anyOf", [schema]):
                    if option.get("$ref", "").endswith((".ErrorBody", ".Errors")) is errors:
                        yield option


def _described(fact: Mapping[str, Any], known: Mapping[str, Any]) -> Schema:
    if "data" in fact:
        return schema_of(known["envelope"] | {"data": fact["data"]})
    return schema_of(fact["members"])


def _section(api: str) -> str:
    operations, known = compared(api), facts(api)
    lines = [f"## {api}", "", *known["note"].strip().splitlines(), ""]
    lines += ["| operation | source | alike | different |", "|---|---|--:|--:|"]
    lines += [
        f"| {_route(each)} | {_source(each.fact, known)} | {each.alike or _NONE} | {len(each.differences) or _NONE} |"
        for each in operations
    ]
    return "\n".join([*lines, "", *_differences(api, operations)])


def _route(operation: Operation) -> str:
    return operation.route if operation.name == ERRORS else f"`{operation.route}`"


def _source(fact: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if fact.get("own"):
        return "Bindery's own"
    link = f"[{fact['title']}]({urljoin(known['root'], fact['page'])})" if "page" in fact else ""
    if fact.get("published", True):
        return link
    return f"not published; read by {link}" if link else "not published"


def _differences(api: str, operations: list[Operation]) -> Iterator[str]:
    """Yield a table for each group of operations that differ in the same types, with a row for each reason."""
    places: dict[str, dict[str, None]] = {}
    for operation in operations:
        for each in operation.differences:
            places.setdefault(each.of, {})[_route(operation)] = None
    for place in dict.fromkeys(", ".join(routes) for routes in places.values()):
        yield from (f"In {place}:", "", "| differs | vendor | Bindery | because |", "|---|---|---|---|")
        yield from _rows(api, operations, {of for of, routes in places.items() if ", ".join(routes) == place})
        yield ""


def _rows(api: str, operations: list[Operation], types: set[str]) -> Iterator[str]:
    """Yield a row for each reason and pair of types."""
    because = reasons(api)
    rows: dict[tuple[str, str, str], dict[str, None]] = {}
    for each in (each for operation in operations for each in operation.differences if each.of in types):
        row = (_kind(each.vendor), _kind(each.own), because.get((each.of, each.member), ""))
        rows.setdefault(row, {})[f"`{each.member}`"] = None
    for row, members in rows.items():
        yield f"| {', '.join(members)} | {' | '.join(row)} |"


def _kind(kind: Kind | None) -> str:
    return _NONE if kind is None else str(kind)
