"""Deletion of accounts, products, user domains, families and keys, with and without what depends on them."""

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, api_keys, products, tsl, users
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import deletion
from bindery.quectel import families, user_domains
from bindery.registry import devices, identity, items
from tests import rufus
from tests.command_line import Bindery, connect, run
from tests.concurrency.races import before
from tests.feed import Feed, chains
from tests.http_api import Response, admin
from tests.operators.remains import erase, left
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, THIRD, World, as_user, succeeded
from tests.records import TSL
from tests.tables import everything, item_at, stored
from tools.cli import deletion as commands
from tools.cli.client import Client

SETTLE = deletion.SETTLE * 1000


class Time:
    """A clock that waits when commands sleep."""

    def __init__(self, feed: Feed) -> None:
        self.now, self.feed = clock.now(), feed
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += int(seconds * 1000)
        self.feed.record()


@pytest.fixture(autouse=True)
def time(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time(feed)
    monkeypatch.setattr(clock, "now", lambda: made.now)
    monkeypatch.setattr(commands, "time", SimpleNamespace(sleep=made.sleep))
    return made


@pytest.fixture
def bindery(monkeypatch: pytest.MonkeyPatch) -> Bindery:
    """Run a command line against the functions in this process, one request at a time."""
    connect(monkeypatch)
    monkeypatch.setattr(commands, "THREADS", 1)
    return run


def delete(kind: str, name: str, **query: Any) -> Response:
    return admin(kind, "DELETE", f"{kind}/{name}", query=query)


def refused(kind: str, name: str, detail: str) -> None:
    before_it = everything()
    answer = delete(kind, name)
    assert (answer.status, answer.json().get("detail")) == (409, detail)
    assert everything() == before_it


FOREVER = "on it. Delete them first, or use --cascade."


def company(feed: Feed) -> None:
    """Create companies with keys, users and devices."""
    rufus.install()
    for uid in ("ann", "bob"):
        users.create(uid, "acme", email=f"{uid}@example.com")
    for serial in ("S1", "S2", "S3"):
        rufus.bound(serial)
    rufus.bound("S1", "other")
    dynamodb.write(items.owner(identity.company_device("acme", "Model X1", "S3")).delete())
    feed.record()


def test_account_is_refused_with_the_numbers_of_its_dependents(feed: Feed) -> None:
    company(feed)
    refused("accounts", "acme", f"2 users, 3 keys, 3 devices depend {FOREVER}")
    accounts.create("one", name="One")
    users.create("cy", "one")
    refused("accounts", "one", f"1 user depends {FOREVER}")


def test_more_than_a_hundred_are_not_counted(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    company(feed)
    monkeypatch.setattr(deletion, "COUNTED", 2)
    refused("accounts", "acme", f"2 users, 2+ keys, 2+ devices depend {FOREVER}")


def test_bound_device_counts_before_it_is_listed(feed: Feed) -> None:
    accounts.create("acme", name="Acme")
    accounts.spread("acme", 3)
    rufus.bound()
    refused("accounts", "acme", f"1 device depends {FOREVER}")


@pytest.mark.parametrize("kind", ["account", "domain"])
def test_record_without_dependents_is_closed_and_deleted(kind: str, feed: Feed, time: Time) -> None:
    record = {"account": accounts.create, "domain": user_domains.create}[kind]
    record("acme", **({"name": "Acme"} if kind == "account" else {}))
    closed = delete(f"{kind}s", "acme")
    assert (closed.status, closed.json()) == (200, {"complete": False, "wait_seconds": 30, "dependents": {}})
    time.now += SETTLE - 1
    assert delete(f"{kind}s", "acme").json()["wait_seconds"] == 1
    time.now += 1
    assert delete(f"{kind}s", "acme").json() == {"complete": True, "wait_seconds": 0, "dependents": {}}
    assert delete(f"{kind}s", "acme").status == 404
    assert stored(Table.DIRECTORY) == []
    feed.record()
    assert chains()[f"{kind}#acme"][-1]["type"] == "operator.deleted"


def test_enabling_an_account_ends_its_deletion(time: Time) -> None:
    accounts.create("acme", name="Acme")
    assert delete("accounts", "acme").json()["complete"] is False
    assert admin("accounts", "GET", "accounts/acme").json()["deleting_at"] == time.now
    assert admin("accounts", "POST", "accounts/acme/enable").json().get("deleting_at") is None
    time.now += SETTLE
    assert delete("accounts", "acme").json()["wait_seconds"] == 30


def test_closed_account_takes_no_users_and_keys(time: Time) -> None:
    accounts.create("acme", name="Acme")
    delete("accounts", "acme")
    made = admin("users", "POST", "users", {"uid": "ann", "account": "acme"})
    message = "the account does not exist, or is being deleted"
    assert (made.status, made.json()["errors"][0]["message"]) == (404, message)
    key = {"account": "acme", "kind": "rufus", "grant": "READ", "alias": "a"}
    assert admin("keys", "POST", "keys", key).status == 404


@pytest.mark.parametrize("change", ["user", "key", "enabled"])
def test_account_stays_if_something_depends_on_it_meanwhile(
    time: Time, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    accounts.create("acme", name="Acme")

    def happen() -> None:
        if change == "user":
            users.create("ann", "acme")
        elif change == "key":
            api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="a")
        else:
            accounts.set_enabled("acme", True)

    if change == "enabled":
        delete("accounts", "acme")
        time.now += SETTLE
    before(monkeypatch, "TransactWriteItems", happen)
    assert delete("accounts", "acme").status == (200 if change == "user" else 503)
    time.now += SETTLE
    assert delete("accounts", "acme").status == (200 if change == "enabled" else 409)
    assert item_at(items.account("acme"))


def test_cascade_deletes_an_account_with_everything_in_it(feed: Feed, bindery: Bindery, time: Time) -> None:
    company(feed)
    others = left("other")
    shown = bindery("accounts delete acme --cascade")
    assert (shown.exit_code, left("acme") != []) == (2, True)
    done = bindery("accounts delete acme --cascade --yes --output table")
    assert done.exit_code == 0, done.stderr
    assert "users that depend on acme: 2 (ann, bob)" in done.stderr
    assert done.stdout == "Deleted acme and what depended on it: 2 users, 3 devices, 3 keys.\n"
    assert left("acme") == []
    assert left("other") == others
    accounts.create("acme", name="New")
    assert [admin("users", "GET", "users", query={"account": "acme"}).json()["items"]] == [[]]
    assert admin("keys", "GET", "keys", query={"account": "acme"}).json()["items"] == []
    feed.record()
    assert admin("devices", "GET", "devices", query={"account": "acme"}).json()["items"] == []
    key = api_keys.issue("acme", Kind.RUFUS, Grant.READ_WRITE, alias="all")
    assert rufus.page(key=key).status == 200
    assert "S1" not in rufus.page(key=key).body


@pytest.mark.parametrize("killed", [3, 8, 13])
def test_cascade_killed_at_any_request_is_finished_by_the_same_command(
    feed: Feed, bindery: Bindery, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    company(feed)
    real, changes = Client.ask, iter(range(killed - 1))

    def ask(self: Client, method: str, *path: str, **given: Any) -> Any:
        answer = real(self, method, *path, **given)
        if method != "GET" and next(changes, None) is None:
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Client, "ask", ask)
        bindery("accounts delete acme --cascade --yes")
    feed.record()
    done = bindery("accounts delete acme --cascade --yes")
    assert done.exit_code in (0, 3), done.stderr
    assert left("acme") == []
    feed.record()
    for events in chains().values():
        types = [event["type"] for event in events]
        assert max(types.count(once) for once in ("device.deleted", "device.unbound", "operator.deleted")) < 2


def test_product_with_devices_is_refused(feed: Feed) -> None:
    World()
    devices.manufacture(PK, SN, device_key=DK, module_type="new")
    devices.manufacture(PK, "S2", device_key="8415D0A31B2D")
    feed.record()
    refused("products", PK, f"2 devices depend {FOREVER}")


def test_product_is_deleted_with_its_tsl_and_bars(feed: Feed, time: Time) -> None:
    products.create("p9", name="P", module_type="M")
    tsl.load("p9", TSL)
    accounts.create("acme", name="Acme")
    for uid in ("ann", "bob"):
        users.create(uid, "acme")
        products.bar("p9", uid)
    delete("products", "p9")
    time.now += SETTLE
    assert [delete("products", "p9").json()["complete"] for _ in range(2)] == [False, True]
    assert [item for item in stored(Table.DIRECTORY) if "p9" in json.dumps(item, default=str)] == []
    products.create("p9", name="P", module_type="M")
    shown = admin("products", "GET", "products/p9").json()
    assert (shown["tsl"], shown["barred"]) == (False, [])


def test_closed_product_takes_no_devices_bindings_bars_and_tsl(feed: Feed, time: Time) -> None:
    World()
    assert delete("products", PK, cascade="true").status == 200
    assert as_user(ME).json()["code"] == 5553
    row = {"product_key": PK, "serial": "S9", "device_key": "ABCD1234"}
    report = admin("devices", "POST", "devices/import", {"rows": [row]}).json()
    assert (report["created"], [each["problem"] for each in report["errors"]]) == (0, ["product_unknown"])
    assert admin("products", "PUT", f"products/{PK}/barred/{ME}").status == 404
    assert admin("products", "PUT", f"products/{PK}/tsl", TSL).status == 404
    assert admin("products", "GET", f"products/{PK}").json()["deleting_at"] == time.now
    assert "deleting_at" not in admin("products", "POST", f"products/{PK}/keep").json()
    succeeded(as_user(ME))


def test_bind_that_read_the_open_product_is_found(feed: Feed, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    devices.manufacture(PK, SN, device_key=DK, data_center=None, module_type=None)
    before(monkeypatch, "TransactWriteItems", lambda: delete("products", PK, cascade="true"))
    succeeded(as_user(ME))
    feed.record()
    time.now += SETTLE
    assert delete("products", PK).status == 409


def test_import_that_read_the_open_product_is_found(feed: Feed, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    products.create("p9", name="P", module_type="M")
    before(monkeypatch, "UpdateItem", lambda: products.close("p9"))
    row = {"product_key": "p9", "serial": "S9", "device_key": "ABCD1234"}
    assert admin("devices", "POST", "devices/import", {"rows": [row]}).json()["created"] == 1
    feed.record()
    time.now += SETTLE
    assert delete("products", "p9").status == 409


def test_cascade_deletes_the_devices_of_a_product(feed: Feed, bindery: Bindery) -> None:
    World()
    dynamodb.write(items.device(DEVICE).delete())
    feed.records.clear()
    devices.manufacture(PK, SN, device_key=DK)
    succeeded(as_user(ME))
    feed.record()
    done = bindery(f"products delete {PK} --cascade --yes")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {"id": PK, "deleted": {"devices": 1}, "complete": True}
    assert [item for item in stored(Table.BINDINGS) if item["sk"].startswith("device#")] == []


def test_kept_product_can_be_bound_again(bindery: Bindery) -> None:
    World()
    delete("products", PK, cascade="true")
    assert bindery(f"products keep {PK} --output table").stdout == f"Product {PK} is kept.\n"
    succeeded(as_user(ME))


def test_domain_with_users_and_products_is_refused(feed: Feed) -> None:
    World()
    products.create("p9", name="P", module_type="M", domains=["E.DM.1", "x"])
    refused("domains", "E.DM.1", f"1 product, 3 users depend {FOREVER}")


def test_closed_domain_takes_no_users_and_products(time: Time) -> None:
    accounts.create("acme", name="Acme")
    user_domains.create("app")
    users.create("ann", "acme")
    delete("domains", "app")
    assert admin("users", "POST", "users", {"uid": "bob", "account": "acme", "domain": "app"}).status == 404
    assert admin("users", "PATCH", "users/ann", {"domain": "app"}).status == 404
    new = {"product_key": "p9", "name": "P", "module_type": "M", "domains": ["app"]}
    assert admin("products", "POST", "products", new).status == 404
    shown = admin("domains", "GET", "domains/app").json()
    assert (shown["enabled"], shown["deleting_at"]) == (False, time.now)
    opened = admin("domains", "PATCH", "domains/app", {"enabled": True}).json()
    assert (opened["enabled"], "deleting_at" in opened) == (True, False)
    assert admin("users", "PATCH", "users/ann", {"domain": "app"}).status == 200


def test_cascade_erases_the_users_of_a_domain_and_removes_it_from_products(feed: Feed, bindery: Bindery) -> None:
    World()
    # The admin API does not have uids like this one.
    dynamodb.write(items.user(THIRD).delete())
    products.create("p8", name="P", module_type="M", domains=["E.DM.1"])
    user_domains.create("x")
    products.create("p9", name="P", module_type="M", domains=["x", "E.DM.1"])
    done = bindery("domains delete E.DM.1 --cascade --yes")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["deleted"] == {"products": 2, "users": 2}
    # Not null, which would be all domains.
    assert [products.show(key)["domains"] for key in ("p8", "p9")] == [[], ["x"]]
    assert [item for item in stored(Table.DIRECTORY) if item["pk"].startswith(("user#", "email#", "domain#E"))] == []


def test_domain_in_a_directory_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    user_domains.create("x")
    monkeypatch.setattr(deletion, "_PARTS", 1)
    monkeypatch.setattr(deletion, "_PART", 2)
    refused("domains", "x", "The directory has more than 2 records: too many to look through.")


def test_family_is_deleted_and_its_id_is_not_used_again(feed: Feed, bindery: Bindery) -> None:
    world = World()
    world.at_home()
    world.parameters["common"] = "true"
    world.ask()
    refused("families", "F1", f"1 member depends {FOREVER}")
    done = bindery("families delete F1 --cascade --yes --output table")
    assert (done.exit_code, done.stdout) == (0, "Deleted F1.\n")
    assert "members that depend on F1: 1 (C31490)" in done.stderr
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"rooms": []}), ("PATCH", {"members": []})):
        assert admin("families", method, "families/F1", body).status == 404
    assert admin("families", "POST", "families", {"fid": "F1", "owner": ME}).status == 409
    assert admin("families", "GET", "families", query={"owner": ME}).json()["items"] == []
    assert admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "x"}).status in (200, 404)
    assert item_at(items.family("F1"))["members"] == []
    assert erase(OTHER)["users"] == 1


def test_member_who_joins_meanwhile_is_not_removed_without_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    families.create("F9", ME)
    before(monkeypatch, "TransactWriteItems", lambda: families.change("F9", members=[THIRD]))
    assert delete("families", "F9").status == 503
    assert item_at(items.family("F9"))["members"] == [THIRD]


def test_valid_key_is_refused_and_a_revoked_one_deleted_after_a_while(bindery: Bindery, time: Time) -> None:
    rufus.install()
    key = api_keys.id_of(rufus.KEY)
    refused("keys", key, "The key is valid. Revoke it first: bindery keys revoke KEY")
    api_keys.revoke(key)
    assert delete("keys", key).json() == {"complete": False, "wait_seconds": 30, "dependents": {}}
    done = bindery(f"keys delete {key} --yes --output table")
    assert (done.exit_code, done.stdout, time.slept) == (0, f"Deleted {key}.\n", [30])
    assert delete("keys", key).status == 404
    assert rufus.bind().status == 403


def test_expired_key_is_no_longer_listed_as_live(time: Time) -> None:
    accounts.create("acme", name="Acme")
    key = api_keys.id_of(api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="a", expires_at=time.now + 10))
    time.now += SETTLE + 10
    assert delete("keys", key).json()["complete"] is True
    assert item_at(items.account("acme"))["live_keys"]["rufus"] == {}


def test_key_of_a_missing_account_is_deleted_without_creating_it(time: Time) -> None:
    accounts.create("acme", name="Acme")
    key = api_keys.id_of(api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="a"))
    api_keys.revoke(key)
    dynamodb.write(items.account("acme").delete())
    time.now += SETTLE
    assert delete("keys", key).json()["complete"] is True
    assert stored(Table.DIRECTORY) == []


def test_device_is_deleted_by_its_serial_number(bindery: Bindery) -> None:
    World()
    done = bindery(f"devices delete --serial {SN} --yes --output table")
    assert (done.exit_code, done.stdout) == (0, f"Deleted device {identity.opaque(DEVICE)}. Its history stays.\n")


def test_record_that_does_not_exist_is_not_confirmed(bindery: Bindery) -> None:
    shown = bindery("accounts delete nobody --cascade --yes")
    assert (shown.exit_code, shown.stderr) == (3, "bindery: account 'nobody' not found\n")


def test_dependents_that_are_not_listed_are_reported(
    feed: Feed, bindery: Bindery, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.create("acme", name="Acme")
    rufus.bound()
    monkeypatch.setattr(feed, "record", list)
    stopped = bindery("accounts delete acme --cascade --yes")
    said = "bindery: 1 devices are left that are not listed yet. Run the same command again later"
    assert (stopped.exit_code, stopped.stderr.splitlines()[-1]) == (4, said)
