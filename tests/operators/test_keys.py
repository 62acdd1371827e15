import re
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.directory import accounts, api_keys, sessions, users
from bindery.registry import items
from tests.http_api import OPERATOR, Response, admin
from tests.operators.conftest import At
from tests.records import ADDRESS, company_device
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

NEW = {"account": "acme", "kind": "rufus", "grant": "WRITE", "alias": "Line 1"}
NO_GRANTS = "remoteit's API has no grants: each of its keys is READ_WRITE, without unbind. Issue such a key."
DAY = 86400_000


@pytest.fixture(autouse=True)
def account(registry: None) -> None:
    accounts.create("acme", name="Acme")


def ask(method: str, path: str = "", body: Any = None, **given: Any) -> Response:
    return admin("keys", method, f"keys{path}", body, **given)


def issue(**changes: Any) -> dict[str, Any]:
    answer = ask("POST", "", NEW | changes)
    assert answer.status == 200, answer.body
    made: dict[str, Any] = answer.json()
    return made


def bind(key: str) -> int:
    return send("rufus.bind_device", {"api_key": key}).status


def test_issued_key_is_shown_only_once() -> None:
    made = issue(unbind=True, expires_at=4_000_000_000_000)
    assert re.fullmatch(r"ror-[0-9a-f]{40}", made["key"])
    unset = dict.fromkeys(("revoked_at", "last_used", "per_second", "burst"))
    given = NEW | {"unbind": True, "expires_at": 4_000_000_000_000, "created_at": made["created_at"]}
    assert made == given | unset | {"id": api_keys.id_of(made["key"]), "key": made["key"]}
    credential = made.pop("key")
    shown = ask("GET", f"/{made['id']}")
    assert shown.json() == made
    assert ask("GET", query={"account": "acme"}).json() == {"items": [made], "next": None}
    assert bind(credential) == 201
    assert {record["changed_by"] for record in stored(Table.DIRECTORY)} == {OPERATOR}


def test_key_of_released_apps_can_be_entered() -> None:
    chosen = "Vendor+Key/2019_of-ACME=="
    assert issue(key=chosen)["id"] == api_keys.id_of(chosen)
    assert bind(chosen) == 201


def test_key_list_is_paginated_and_includes_revoked_keys() -> None:
    accounts.create("other", name="Other")
    issue(account="other")
    ids = sorted(issue(kind=kind, grant="READ_WRITE")["id"] for kind in ("rufus", "rufus", "remoteit"))
    ask("POST", f"/{ids[0]}/revoke")
    first = ask("GET", query={"account": "acme", "limit": 2}).json()
    rest = ask("GET", query={"account": "acme", "limit": 2, "cursor": first["next"]}).json()
    assert [key["id"] for key in (*first["items"], *rest["items"])] == ids
    assert rest["next"] is None
    assert ask("GET", query={"account": "nobody"}).json() == {"items": [], "next": None}


@pytest.mark.parametrize("rights", [("READ", False), ("WRITE", False), ("READ_WRITE", True)])
def test_legacy_developer_key_works_but_cannot_be_rotated(rights: tuple[str, bool]) -> None:
    made = issue(kind="remoteit", grant="READ_WRITE")
    dynamodb.write(items.api_key(made["id"]).update(set={"grant": rights[0], "unbind": rights[1]}))
    users.create("ada", "acme")
    headers = {"developerkey": made["key"], "token": sessions.issue("ada", "remoteit", 60)[0]}
    assert send("remoteit.list_all", headers).status == 200
    assert "[0405]" in send("remoteit.connect_device", headers, body={"deviceaddress": ADDRESS}).body
    stands = everything()
    answer = ask("POST", f"/{made['id']}/rotate", {})
    assert (answer.status, answer.json()["detail"]) == (422, NO_GRANTS)
    assert everything() == stands
    assert ask("POST", f"/{made['id']}/revoke").status == 200


def test_revoked_key_is_refused_immediately_and_permanently() -> None:
    made = issue()
    assert bind(made["key"]) == 201
    revoked = ask("POST", f"/{made['id']}/revoke").json()
    assert revoked["revoked_at"] >= made["created_at"]
    assert bind(made["key"]) == 403
    assert ask("POST", f"/{made['id']}/revoke").json() == revoked


def test_rotated_key_is_valid_until_the_overlap_ends(at: At) -> None:
    made = issue(unbind=True)
    now = made["created_at"] + DAY
    at(now)
    successor = ask("POST", f"/{made['id']}/rotate", {"overlap_seconds": 3600}).json()
    assert successor == made | {"id": api_keys.id_of(successor["key"]), "key": successor["key"], "created_at": now}
    assert successor["key"] != made["key"]
    assert ask("GET", f"/{made['id']}").json()["expires_at"] == now + 3600_000
    at(now + 3600_000 - 1)
    assert (bind(made["key"]), bind(successor["key"])) == (201, 201)
    at(now + 3600_000)
    assert (bind(made["key"]), bind(successor["key"])) == (403, 201)


def test_overlap_defaults_to_a_day_and_ends_with_the_key(at: At) -> None:
    now = clock.now()
    at(now)
    made = issue()
    ask("POST", f"/{made['id']}/rotate", {})
    assert ask("GET", f"/{made['id']}").json()["expires_at"] == now + DAY
    short = issue(expires_at=now + 1000)
    successor = ask("POST", f"/{short['id']}/rotate", {}).json()
    assert successor["expires_at"] == ask("GET", f"/{short['id']}").json()["expires_at"] == now + 1000
    ended = issue()
    ask("POST", f"/{ended['id']}/rotate", {"overlap_seconds": 0})
    assert bind(ended["key"]) == 403


def test_rotation_does_not_change_the_number_of_live_keys() -> None:
    made = [issue() for _ in range(10)]
    for key in made:
        assert ask("POST", f"/{key['id']}/rotate", {}).status == 200
    assert ask("POST", "", NEW).status == 409
    assert [bind(key["key"]) for key in made] == [201] * 10


def test_at_most_twenty_rotated_keys_overlap(at: At) -> None:
    key = issue()
    for _ in range(20):
        key = ask("POST", f"/{key['id']}/rotate", {"overlap_seconds": 60}).json()
    stands = everything()
    answer = ask("POST", f"/{key['id']}/rotate", {})
    assert (answer.status, answer.json()["reason"]) == (409, "limit_reached")
    assert everything() == stands
    at(clock.now() + 61_000)
    assert ask("POST", f"/{key['id']}/rotate", {}).status == 200


@pytest.mark.parametrize("end", ["revoke", "expire", "rotate", "close"])
def test_unusable_key_cannot_be_rotated(end: str, at: At) -> None:
    made = issue(expires_at=clock.now() + DAY)
    if end == "expire":
        at(made["expires_at"])
    elif end == "close":
        accounts.set_enabled("acme", False)
    else:
        ask("POST", f"/{made['id']}/{end}", {} if end == "rotate" else None)
    stands = [item for item in stored(Table.DIRECTORY) if item["sk"] == "key"]
    answer = ask("POST", f"/{made['id']}/rotate", {})
    assert (answer.status, answer.json()["reason"]) == (409, "status_not_valid")
    assert [item for item in stored(Table.DIRECTORY) if item["sk"] == "key"] == stands


def test_all_keys_of_a_disabled_account_are_refused() -> None:
    made = issue()
    successor = ask("POST", f"/{made['id']}/rotate", {}).json()
    for enabled, status in ((False, 403), (True, 201)):
        changed = admin("accounts", "POST", f"accounts/acme/{'enable' if enabled else 'disable'}")
        assert changed.json()["enabled"] is enabled
        assert [bind(made["key"]), bind(successor["key"])] == [status, status]


def test_rotated_key_can_be_revoked_before_it_expires() -> None:
    made = issue()
    successor = ask("POST", f"/{made['id']}/rotate", {}).json()
    ask("POST", f"/{made['id']}/revoke")
    assert [bind(made["key"]), bind(successor["key"])] == [403, 201]
    assert accounts.show("acme")["live_keys"] == {"rufus": {successor["id"]: 0}, "remoteit": {}, "rotated": {}}


def test_key_shows_the_day_of_its_last_accepted_use(at: At) -> None:
    made = issue()
    noon = 1795176000_000
    for moment, day in ((noon, "2026-11-20"), (noon + 12 * 3600_000 - 1, "2026-11-20"), (noon + DAY, "2026-11-21")):
        at(moment)
        assert bind(made["key"]) == 201
        assert ask("GET", f"/{made['id']}").json()["last_used"] == day
    reader = issue(grant="READ")
    assert bind(reader["key"]) == 403
    assert ask("GET", f"/{reader['id']}").json()["last_used"] is None


def test_developer_key_shows_its_last_use_by_another_accounts_user() -> None:
    accounts.create("other", name="Other")
    users.create("ada", "other")
    service_addresses.assign(ADDRESS, company_device("other"))
    made = issue(kind="remoteit", grant="READ_WRITE")
    headers = {"developerkey": made["key"], "token": sessions.issue("ada", "remoteit", 60)[0]}
    for address, last_used in (("F2", None), ("F1", clock.today().isoformat())):
        send("remoteit.connect_device", headers, body={"deviceaddress": f"80:00:00:00:00:00:00:{address}"})
        assert ask("GET", f"/{made['id']}").json()["last_used"] == last_used
