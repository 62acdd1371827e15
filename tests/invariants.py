"""Invariants of the tables that must hold after any requests, concurrent or not. Checks `tests.tables.everything()`."""

from collections.abc import Callable, Iterator
from typing import Any

from bindery.asseco.owned_devices import Status
from bindery.core import clock
from bindery.directory.accounts import ROTATED
from bindery.registry import identity, items
from bindery.registry.bindings import Mode

Item = dict[str, Any]
Tables = dict[str, list[Item]]


def broken(tables: Tables) -> list[str]:
    """Return every violated invariant with its rule's name, or an empty list."""
    return [f"{rule.__name__}: {wrong}" for rule in RULES for wrong in rule(tables)]


def a_device_is_held_as_its_product_says(tables: Tables) -> Iterator[str]:
    """A device has either at most one owner or one binding per user, as its product's mode says, and exists."""
    devices = {item["pk"]: item for item in tables["DEVICES"]}
    modes = {item["product_key"]: item["mode"] for item in tables["DIRECTORY"] if item["sk"] == "product"}
    for item in _holding(tables):
        device = devices.get(item["pk"])
        if device is None:
            yield f"{item['pk']} is held but does not exist"
        elif (item["sk"] == "owner") is (modes.get(device.get("product_key")) == Mode.MULTI):
            yield f"{item['pk']} is held by {item['sk']}"


def a_binding_says_whose_it_is(tables: Tables) -> Iterator[str]:
    """The index by holder shows the same holder, dialect and time of binding as the rest of the item.

    A company's device is held by the account in its key, in one of the parts of its list.
    """
    parts = {item["account"]: item.get("parts", 1) for item in tables["DIRECTORY"] if item["sk"] == "account"}
    for item in _holding(tables):
        place = f"{item['pk']} {item['sk']}"
        account = identity.parts(item["pk"]).get("account")
        if account in parts and item["holder"] not in _account_holders(account, parts[account]):
            yield f"{place} is held by {item['holder']}"
        if item["sk"] not in ("owner", item["holder"]):
            yield f"{place} is held by {item['holder']}"
        if not item["holder_sort"].startswith(f"{identity.parts(item['pk'])['dialect']}#"):
            yield f"{place} has holder_sort {item['holder_sort']}"
        if "bound_at" in item and int(item["holder_sort"].rpartition("#")[2]) != item["bound_at"]:
            yield f"{place} has holder_sort {item['holder_sort']} but was bound at {item['bound_at']}"


def nicknames_are_held_for_registrations_that_last(tables: Tables) -> Iterator[str]:
    """Each active or blocked registration has exactly one lock on its nickname, and there are no other locks."""
    guards = {
        (item["pk"], item["sk"]): (item["device"], item["binding"])
        for item in tables["BINDINGS"]
        if item["sk"].startswith("nickname#")
    }
    registered: dict[tuple[str, str | None], tuple[str, str]] = {}
    for item in _holding(tables):
        if "status" in item and item["status"] != Status.UNREGISTERED:
            guard = items.nickname_lock(identity.holder_parts(item["holder"])[1], item["nickname"])
            registered[guard.pk, guard.sk] = (item["pk"], item["binding"])
    for place in sorted(guards.keys() | registered.keys(), key=str):
        if guards.get(place) != registered.get(place):
            yield f"{place} is a lock for {guards.get(place)}, but the nickname of {registered.get(place)}"


def common_lists_name_what_is_bound_there(tables: Tables) -> Iterator[str]:
    """A family's common list has exactly the devices bound into the family as common devices."""
    bound: dict[str, set[str]] = {}
    for item in _holding(tables):
        if item.get("common"):
            own = item["sk"] != "owner"
            listed = identity.join(*item["sk"].split("#", 1), item["pk"]) if own else item["pk"]
            bound.setdefault(item["fid"], set()).add(listed)
    for item in tables["DIRECTORY"]:
        if item["sk"] == "family" and item.get("common", set()) != bound.get(item["fid"], set()):
            yield f"{item['fid']} lists {item.get('common')}, but the bound devices are {bound.get(item['fid'])}"


def what_is_held_has_its_place_with_its_holder(tables: Tables) -> Iterator[str]:
    """quectel: each binding and each accepted share is stored under the device and the user, with the same id."""
    now = clock.seconds()
    under: dict[tuple[str, str], tuple[str, str]] = {}
    shares: dict[tuple[str, str], Item] = {}
    for item in _holding(tables):
        if item["holder_sort"].startswith("quectel#") and item.get("expires_at", now + 1) > now:
            uid = identity.holder_parts(item["holder"])[1]
            under[uid, item["pk"]] = (item.get("kind", "binding"), item["binding"])
            shares[item["pk"], item["binding"]] = item.get("shares", {})
            for sharer, until in item.get("shares", {}).items():
                if until > now:
                    under[sharer, item["pk"]] = ("share", item["binding"])
    beside: dict[tuple[str, str], tuple[str, str]] = {}
    for item in tables["BINDINGS"]:
        if item["sk"].startswith("device#") and item.get("expires_at", now + 1) > now:
            uid = identity.holder_parts(item["pk"])[1]
            beside[uid, item["device"]] = (item["kind"], item["binding"])
            given = shares.get((item["device"], item["binding"]))
            if item["kind"] == "binding" and item["mode"] != Mode.MULTI and item["shares"] != given:
                yield f"{uid} has shares {item['shares']}, but the binding has {given}"
    for place in sorted(under.keys() | beside.keys()):
        if under.get(place) != beside.get(place):
            yield f"{place} is {under.get(place)} under the device, but {beside.get(place)} under the user"


def addresses_and_devices_name_each_other(tables: Tables) -> Iterator[str]:
    """A device has a service at an address if and only if the address has the device, with the same assignment."""
    assigned = {
        (item["device"], item["pk"].removeprefix("address#"), item["assignment"])
        for item in tables["DIRECTORY"]
        if item["sk"] == "address"
    }
    named = {
        (item["pk"], address, service["assignment"])
        for item in tables["DEVICES"]
        for address, service in item.get("services", {}).items()
    }
    yield from map(str, assigned ^ named)


def accounts_list_the_keys_that_count(tables: Tables) -> Iterator[str]:
    """An account lists, by group, each of its keys that is neither revoked nor expired, and no revoked key.

    Each of these keys has the account's state and number of parts.
    """
    now = clock.now()
    for account in (item for item in tables["DIRECTORY"] if item["sk"] == "account"):
        counting: dict[str, tuple[str, int]] = {}
        for key in tables["DIRECTORY"]:
            if key["sk"] == "key" and key["account"] == account["account"] and "revoked_at" not in key:
                group = ROTATED if "successor" in key else key["kind"]
                counting[key["pk"].removeprefix("key#")] = (group, key.get("expires_at", 0))
                repeated = (key["account_enabled"], key.get("parts")), (account["enabled"], account.get("parts"))
                if repeated[0] != repeated[1] and not 0 < key.get("expires_at", 0) <= now:
                    yield f"{key['pk']} has the state {repeated[0]}, but its account {repeated[1]}"
        listed = {
            hashed: (group, expires_at)
            for group, found in account["live_keys"].items()
            for hashed, expires_at in found.items()
        }
        for hashed in sorted(listed.keys() | counting.keys()):
            expired = hashed not in listed and 0 < counting[hashed][1] <= now
            if listed.get(hashed) != counting.get(hashed) and not expired:
                yield f"key {hashed} is {counting.get(hashed)}, but listed as {listed.get(hashed)}"


def bindings_name_the_leases_that_stand(tables: Tables) -> Iterator[str]:
    """Each active lease named by a binding exists with the same id and expiry."""
    leases = {
        (item["pk"], item["pseudonym"]): {"id": item["connection"], "until": item["expires_at"]}
        for item in tables["BINDINGS"]
        if item["sk"].startswith("connection#")
    }
    for item in _holding(tables):
        for caller, named in item.get("leases", {}).items():
            if named["until"] > clock.seconds() and leases.get((item["pk"], caller)) != named:
                yield f"{item['pk']} {item['sk']} names {named}, but the lease is {leases.get((item['pk'], caller))}"


RULES: tuple[Callable[[Tables], Iterator[str]], ...] = (
    a_device_is_held_as_its_product_says,
    a_binding_says_whose_it_is,
    nicknames_are_held_for_registrations_that_last,
    common_lists_name_what_is_bound_there,
    what_is_held_has_its_place_with_its_holder,
    addresses_and_devices_name_each_other,
    accounts_list_the_keys_that_count,
    bindings_name_the_leases_that_stand,
)


def _account_holders(account: str, parts: int) -> list[str]:
    return [identity.account_holder(account, part) for part in range(parts)]


def _holding(tables: Tables) -> Iterator[Item]:
    """Yield the bindings, and the shares of devices of multi-mode products."""
    for item in tables["BINDINGS"]:
        if item["sk"] == "owner" or item["sk"].startswith("user#"):
            yield item


def reaches(tables: Tables, uid: str, device: str) -> bool:
    """True if the user, their account or their customer holds a device, or if it is shared with the user."""
    (user,) = (item for item in tables["DIRECTORY"] if item["sk"] == "user" and item["uid"] == uid)
    holders = {identity.user_holder(uid), *_account_holders(user["account"], identity.PARTS)}
    if user["customer"] is not None:
        holders.add(identity.customer_holder(user["customer"]))
    now = clock.seconds()
    return any(
        item["pk"] == device
        and (
            (
                item["holder"] in holders
                and item.get("status", "active") == "active"
                and item.get("expires_at", now + 1) > now
            )
            or item.get("shares", {}).get(uid, 0) > now
        )
        for item in _holding(tables)
    )
