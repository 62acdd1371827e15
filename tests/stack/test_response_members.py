"""Every response is compared with its vendor's description, and every difference has a reason."""

import pytest

from tools.generate import response_members
from tools.voices import VOICES

APIS = response_members.apis()


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
