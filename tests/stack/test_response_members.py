"""Every response is compared with its vendor's description, and every difference has a reason."""

from typing import Any

import pytest

from tools.generate import response_members
from tools.generate.response_members import shapes
from tools.generate.response_members.shapes import NAME, Kind, schema_of, shape
from tools.voices import VOICES

APIS = response_members.apis()


def test_page_is_up_to_date() -> None:
    assert response_members.PAGE.read_text() == response_members.text(), "run: make generate"


def test_each_vendors_api_is_compared() -> None:
    assert {"rufus", "quectel", "asseco", "remoteit", "vodlix"} == set(APIS) <= set(VOICES)


@pytest.mark.parametrize("api", APIS)
def test_every_operation_has_a_vendors_description_or_none(api: str) -> None:
    operations = response_members.facts(api)["operations"]
    assert set(operations) == {*response_members.documented(api), response_members.ERRORS}
    for name, fact in operations.items():
        assert fact.get("own") or "members" in fact or "data" in fact, name
        assert fact.get("own") or "page" in fact or fact.get("published") is False, name


@pytest.mark.parametrize("api", APIS)
def test_every_difference_has_a_reason_and_every_reason_a_difference(api: str) -> None:
    found = {(each.of, each.member) for operation in response_members.compared(api) for each in operation.differences}
    reasons = response_members.reasons(api)
    assert (found - reasons.keys(), reasons.keys() - found) == (set(), set())
    assert all(reasons.values())


@pytest.mark.parametrize("api", APIS)
def test_no_member_has_two_reasons(api: str) -> None:
    named = [(each["of"], member) for each in response_members.facts(api)["differs"] for member in each["members"]]
    assert len(named) == len(set(named))


@pytest.mark.parametrize("api", APIS)
def test_every_type_of_a_vendor_is_used(api: str) -> None:
    known = response_members.facts(api)
    used = str([known["operations"], known["types"]])
    assert [name for name in known["types"] if f"{name}'" not in used.replace("[]", "").replace("{}", "")] == []


def differing(vendor: Any, own: Any, **types: Any) -> list[tuple[str, str, str | None, str | None]]:
    """Compare two responses in the notation of the facts."""
    named = {name: {**schema_of(members), NAME: name} for name, members in types.items()}
    found = response_members.compare("show", shape(schema_of(vendor), named), shape(schema_of(own), named))
    return [(of, member, *(kind and str(kind) for kind in kinds)) for of, member, *kinds in found]


@pytest.mark.parametrize(
    ("vendor", "own"),
    [
        ({"a": "string"}, {"a": "string"}),
        ({"a": "number"}, {"a": "integer"}),
        ({"a": "string | null"}, {"a": "string"}),
        ({"a?": "string"}, {"a": "string"}),
        ({"a": "string[]"}, {"a": "array"}),
        ({"a": "array"}, {"a": "integer[]"}),
        ({"a": "object"}, {"a": {"b": "string"}}),
    ],
)
def test_value_that_the_vendor_may_return_is_alike(vendor: Any, own: Any) -> None:
    assert differing(vendor, own) == []


@pytest.mark.parametrize(
    ("vendor", "own", "difference"),
    [
        ({"a": "string"}, {"a": "integer"}, ("a", "string", "integer")),
        ({"a": "integer"}, {"a": "number"}, ("a", "integer", "number")),
        ({"a": "string"}, {"a": "string | null"}, ("a", "string", "string or null")),
        ({"a": "string"}, {"a?": "string"}, ("a", "string", "string, or absent")),
        ({"a": "string[]"}, {"a": "string"}, ("a", "string[]", "string")),
        ({"a": "object{}"}, {"a": {}}, ("a", "object{}", "object")),
        ({"a": {"b": "string"}}, {"a": {}}, ("a.b", "string", None)),
        ({"a": {}}, {"a": {"b": "string"}}, ("a.b", None, "string")),
    ],
)
def test_other_value_is_a_difference(vendor: Any, own: Any, difference: tuple[str, str | None, str | None]) -> None:
    assert differing(vendor, own) == [("show", *difference)]


def test_members_of_an_absent_object_are_not_compared() -> None:
    inner = {"b": "string", "c": "string"}
    assert differing({"a": inner}, {}) == [("show", "a", "object", None)]
    assert differing({"a": inner}, {"a": "null"}) == [("show", "a", "object", "null")]
    assert differing({}, {"a": inner}) == [("show", "a", None, "object")]


def test_difference_belongs_to_the_innermost_type_of_the_vendor() -> None:
    types = {"Page": {"list": "Item[]"}, "Item": {"sn": "string"}}
    own = {"data": {"list": "Shown[]", "more": "boolean"}}
    found = differing({"data": "Page"}, own, Shown={"sn": "integer"}, **types)
    assert found == [("Item", "sn", "string", "integer"), ("Page", "more", None, "boolean")]


def test_member_is_optional_unless_all_alternatives_have_it() -> None:
    schema = {"anyOf": [schema_of({"a": "string", "b": "string"}), schema_of({"a": "integer"})]}
    assert shapes.shape(schema, {}).members == {
        "a": Kind(frozenset({"string", "integer"}), optional=False),
        "b": Kind(frozenset({"string"}), optional=True),
    }
