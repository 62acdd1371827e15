from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory import accounts, users
from bindery.http import fields
from bindery.quectel import user_domains
from bindery.registry.bindings import Mode
from tests.http_api import OPERATOR, admin
from tests.quectel import ME, PK, World, as_user, refused, succeeded
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry", "named")

LOCK: dict[str, Any] = {"product_key": "p1", "name": "Smart lock", "module_type": "BC26"}
LISTED = ["a", "b", "x"]


@pytest.fixture
def named(registry: None) -> None:
    """Create the user domains and users that these tests use."""
    for name in LISTED:
        user_domains.create(name)
    accounts.create("acme", name="Acme")
    users.create("ada", "acme")


DEFAULTS = {"mode": 2, "domains": None, "data_center": None}


def test_product_is_created_once_and_shown() -> None:
    made = admin("products", "POST", "products", LOCK)
    assert made.status == 200
    assert made.json() == {**LOCK, **DEFAULTS, "created_at": made.json()["created_at"]}
    assert admin("products", "GET", "products/p1").json() == made.json() | {"barred": []}
    (record,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "product"]
    assert record["changed_by"] == OPERATOR
    before = everything()
    assert admin("products", "POST", "products", LOCK | {"mode": 3}).status == 409
    assert everything() == before


@pytest.mark.parametrize("mode", Mode)
def test_product_is_created_with_the_specified_fields(mode: Mode) -> None:
    given = LOCK | {"mode": mode, "domains": ["a"], "data_center": "eu"}
    assert admin("products", "POST", "products", given).json().items() >= given.items()


def test_product_list_is_paginated_without_blocked_users() -> None:
    for name in ("a", "b", "c"):
        admin("products", "POST", "products", LOCK | {"product_key": name})
        admin("products", "PUT", f"products/{name}/barred/ada")
    first = admin("products", "GET", "products", query={"limit": 2}).json()
    assert [product["product_key"] for product in first["items"]] == ["a", "b"]
    rest = admin("products", "GET", "products", query={"limit": 2, "cursor": first["next"]}).json()
    assert ([product["product_key"] for product in rest["items"]], rest["next"]) == (["c"], None)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "n" * 254},
        {"module_type": "EC200"},
        {"domains": []},
        {"domains": None},
        {"data_center": None},
        {"data_center": "us"},
        {"name": "Other", "domains": ["a", "b"]},
        {},
    ],
)
def test_change_sets_only_the_specified_fields(change: dict[str, Any]) -> None:
    made = admin("products", "POST", "products", LOCK | {"domains": ["x"], "data_center": "eu"}).json()
    changed = admin("products", "PATCH", "products/p1", change)
    assert (changed.status, changed.json()) == (200, made | change)
    assert admin("products", "GET", "products/p1").json() == changed.json() | {"barred": []}


def test_change_of_product_domains_takes_effect_immediately() -> None:
    World()
    user_domains.create("E.DM.2")
    admin("products", "PATCH", f"products/{PK}", {"domains": ["E.DM.2"]})
    refused(as_user(ME), 5229)
    admin("products", "PATCH", f"products/{PK}", {"domains": None})
    succeeded(as_user(ME))


@pytest.mark.parametrize(
    ("change", "at", "problem"),
    [
        ({"mode": 1}, "body", "extra_forbidden"),
        ({"product_key": "p2"}, "body", "extra_forbidden"),
        ({"name": "n" * 255}, "body.name", "string_too_long"),
        ({"name": None}, "body.name", "string_type"),
        ({"module_type": " "}, "body.module_type", "string_too_short"),
        ({"domains": ["a b"]}, "body.domains.0", "string_pattern_mismatch"),
        ({"data_center": 1}, "body.data_center", "string_type"),
        ({"data_center": "d" * 33}, "body.data_center", "string_too_long"),
        ({"data_center": "eu.1"}, "body.data_center", "string_pattern_mismatch"),
    ],
)
def test_invalid_change_names_the_field(change: dict[str, Any], at: str, problem: str) -> None:
    admin("products", "POST", "products", LOCK)
    before = everything()
    answer = admin("products", "PATCH", "products/p1", change)
    assert answer.status == 422
    ((found),) = answer.json()["errors"]
    assert (found["at"], found["problem"]) == (at, problem)
    assert everything() == before


@pytest.mark.parametrize("mode", [0, 4, "unique", None, True, 1.5])
def test_unknown_binding_mode_is_rejected(mode: object) -> None:
    before = everything()
    assert admin("products", "POST", "products", LOCK | {"mode": mode}).status == 422
    assert everything() == before


def test_product_has_at_most_99_domains() -> None:
    names = [f"d{number}" for number in range(100)]
    for name in names:
        user_domains.create(name)
    assert admin("products", "POST", "products", LOCK | {"domains": names}).json()["reason"] == "limit_reached"
    assert admin("products", "POST", "products", LOCK | {"domains": names[1:]}).status == 200
    before = everything()
    assert admin("products", "PATCH", "products/p1", {"domains": names}).json()["reason"] == "limit_reached"
    assert everything() == before


@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("POST", "products", LOCK | {"domains": ["a", "nosuch"]}, "domains.1"),
        ("PATCH", "products/p0", {"domains": ["nosuch"]}, "domains.0"),
        ("PUT", "products/p0/barred/nobody", None, "uid"),
    ],
)
def test_unknown_reference_is_refused_by_name(method: str, path: str, body: Any, at: str) -> None:
    admin("products", "POST", "products", LOCK | {"product_key": "p0"})
    before = everything()
    answer = admin("products", method, path, body)
    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    (error,) = answer.json()["errors"]
    assert (error["at"], error["message"].endswith("does not exist")) == (at, True)
    assert everything() == before


def test_product_shows_blocked_users() -> None:
    made = admin("products", "POST", "products", LOCK).json()
    assert admin("products", "GET", "products/p1").json() == made | {"barred": []}
    admin("products", "PUT", "products/p1/barred/ada")
    assert admin("products", "GET", "products/p1").json() == made | {"barred": ["ada"]}


def test_blocked_user_cannot_bind_until_unblocked() -> None:
    World()
    for _ in range(2):
        answer = admin("products", "PUT", f"products/{PK}/barred/{ME}")
        assert (answer.status, answer.json()) == (200, {"product_key": PK, "uid": ME, "barred": True})
    (record,) = [item for item in stored(Table.DIRECTORY) if item["pk"] == f"bars#{ME}"]
    assert record["changed_by"] == OPERATOR
    refused(as_user(ME), 5327)
    for _ in range(2):
        answer = admin("products", "DELETE", f"products/{PK}/barred/{ME}")
        assert (answer.status, answer.json()) == (200, {"product_key": PK, "uid": ME, "barred": False})
    succeeded(as_user(ME))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "products/x", None),
        ("PATCH", "products/x", {"name": "X"}),
        ("PATCH", "products/x", {}),
        ("PUT", "products/x/barred/ada", None),
    ],
)
def test_unknown_product_is_404(method: str, path: str, body: object) -> None:
    before = everything()
    assert admin("products", method, path, body).json()["reason"] == "not_found"
    assert everything() == before


def test_created_ids_are_short_enough_for_client_requests() -> None:
    for length, status in ((64, 200), (65, 422)):
        name = "n" * length
        assert admin("products", "POST", "products", LOCK | {"product_key": name}).status == status
        assert admin("families", "POST", "families", {"fid": name, "owner": "ada"}).status == status
        assert admin("families", "PATCH", f"families/{'n' * 64}", {"rooms": [name]}).status == status
    row = {"product_key": "n" * 64, "serial": "S", "device_key": "ABCD"}
    found = admin("devices", "POST", "devices/import", {"rows": [row, row | {"data_center": "d" * 33}]}).json()
    assert (found["created"], [error["row"] for error in found["errors"]]) == (1, [1])


def test_data_center_matches_the_stack_parameter() -> None:
    parameter = template.document()["Parameters"]["DataCenter"]
    assert (fields.DATA_CENTER["pattern"], fields.DATA_CENTER["max_length"]) == (
        parameter["AllowedPattern"],
        parameter["MaxLength"],
    )
