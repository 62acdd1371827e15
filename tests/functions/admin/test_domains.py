import pytest

from bindery.dynamo import Table
from tests.http_api import OPERATOR, admin
from tests.quectel import ME, World, as_user, refused, succeeded
from tests.tables import everything, items

pytestmark = pytest.mark.usefixtures("registry")


def test_a_domain_is_entered_once_and_shown() -> None:
    made = admin("domains", "POST", "domains", {"domain": "E.DM.1"})
    assert made.status == 200
    assert made.json() == {
        "domain": "E.DM.1",
        "enabled": True,
        "binders": "everyone",
        "created_at": made.json()["created_at"],
    }
    assert admin("domains", "GET", "domains/E.DM.1").body == made.body
    (record,) = items(Table.DIRECTORY)
    assert record["changed_by"] == OPERATOR
    before = everything()
    assert admin("domains", "POST", "domains", {"domain": "E.DM.1", "enabled": False}).status == 409
    assert everything() == before


def test_a_domain_is_entered_as_the_operator_says() -> None:
    given = {"domain": "d", "enabled": False, "binders": "administrators"}
    assert admin("domains", "POST", "domains", given).json().items() >= given.items()


def test_domains_are_listed_page_by_page() -> None:
    for name in ("a", "b", "c"):
        admin("domains", "POST", "domains", {"domain": name})
    first = admin("domains", "GET", "domains", query={"limit": 2}).json()
    assert [domain["domain"] for domain in first["items"]] == ["a", "b"]
    rest = admin("domains", "GET", "domains", query={"limit": 2, "cursor": first["next"]}).json()
    assert ([domain["domain"] for domain in rest["items"]], rest["next"]) == (["c"], None)


def test_a_change_changes_what_it_names_alone_and_holds_at_once() -> None:
    World()
    who = "arn:aws:iam::123456789012:user/other"
    changed = admin("domains", "PATCH", "domains/E.DM.1", {"binders": "administrators"}, who=who)
    assert (changed.json()["enabled"], changed.json()["binders"]) == (True, "administrators")
    refused(as_user(ME), 5669)
    changed = admin("domains", "PATCH", "domains/E.DM.1", {"enabled": False, "binders": "everyone"}, who=who)
    assert (changed.json()["enabled"], changed.json()["binders"]) == (False, "everyone")
    refused(as_user(ME), 5093)
    assert admin("domains", "PATCH", "domains/E.DM.1", {"enabled": True}).json()["enabled"] is True
    succeeded(as_user(ME))
    (record,) = [item for item in items(Table.DIRECTORY) if item["sk"] == "domain"]
    assert record["changed_by"] == OPERATOR


def test_a_change_of_nothing_writes_nothing() -> None:
    made = admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    assert admin("domains", "PATCH", "domains/d", {}).body == made.body
    assert everything() == before


@pytest.mark.parametrize(
    "body", [{"enabled": None}, {"enabled": "no"}, {"binders": "nobody"}, {"binders": None}, {"domain": "e"}, [], None]
)
def test_a_change_that_cannot_be_is_422(body: object) -> None:
    admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    assert admin("domains", "PATCH", "domains/d", body).status == 422
    assert everything() == before


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"enabled": True}), ("PATCH", {})])
def test_an_unknown_domain_is_404(method: str, body: object) -> None:
    assert admin("domains", method, "domains/x", body).json()["reason"] == "not_found"
    assert items(Table.DIRECTORY) == []
