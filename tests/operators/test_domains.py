import re

import pytest

from bindery.aws.dynamodb import Table
from bindery.quectel import domain_secrets, user_domains
from tests.http_api import OPERATOR, admin
from tests.quectel import ME, World, as_user, refused, succeeded
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


def test_domain_is_created_with_the_specified_fields() -> None:
    given = {"domain": "d", "enabled": False, "binders": "administrators", "secret": "q7Zr/fZ+9bc="}
    assert admin("domains", "POST", "domains", given).json().items() >= given.items()
    assert kept_secret() == given["secret"]


def test_change_sets_only_the_specified_fields_and_takes_effect() -> None:
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
    (record,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "domain"]
    assert record["changed_by"] == OPERATOR


def test_empty_change_writes_nothing() -> None:
    admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    assert admin("domains", "PATCH", "domains/d", {}).body == admin("domains", "GET", "domains/d").body
    assert everything() == before


def kept_secret() -> str | None:
    return domain_secrets.of(user_domains.show("d"))


def test_replacing_a_domain_secret_changes_nothing_else() -> None:
    made = admin("domains", "POST", "domains", {"domain": "d", "binders": "administrators"}).json()
    random = admin("domains", "POST", "domains/d/secret", {}).json()
    assert random == made | {"secret": random["secret"]}
    assert re.fullmatch("[0-9a-f]{64}", made["secret"])
    assert kept_secret() == random["secret"] != made["secret"]
    given = admin("domains", "POST", "domains/d/secret", {"secret": "12345678"}).json()
    assert given == made | {"secret": "12345678"}
    assert kept_secret() == "12345678"


def test_domain_from_an_earlier_version_can_get_a_secret() -> None:
    user_domains.create("d")
    assert kept_secret() is None
    assert kept_secret() != admin("domains", "POST", "domains/d/secret", {}).json()["secret"] == kept_secret()
