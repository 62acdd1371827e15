"""Comparison of the lists and counts of devices with the devices and bindings themselves."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from bindery.aws.dynamodb import Table
from bindery.registry import identity
from tests.tables import stored

Item = dict[str, Any]

_OF_DEVICE = {"disabled": "disabled", "inactive": "inactive"}


def check(earlier: Collection[str] = ()) -> None:
    """Check that each device is in exactly the lists in which it belongs, once all changes are recorded.

    Of devices with `earlier` changes, which were not captured, nothing is known but their events.
    """
    history = stored(Table.HISTORY)
    bindings: dict[str, list[Item]] = defaultdict(list)
    for item in stored(Table.BINDINGS):
        bindings[item["pk"]].append(item)
    found = [device for device in stored(Table.DEVICES) if "dialect" in device]
    expected = {device["pk"]: set(_states(device, bindings[device["pk"]])) for device in found}
    listed = {item["pk"].removeprefix("listing#"): item for item in history if item["pk"].startswith("listing#")}
    # A device that was in the tables before the changes were captured has no event yet.
    assert listed.keys() <= {*expected, *earlier}
    for device, listing in listed.items():
        states = {"unbound" if state == "never_seen" else state for state in listing["states"]}
        assert device in earlier or states == expected[device], device
        assert len(listing["states"].keys() & {"bound", "unbound", "never_seen"}) == 1
        assert listing["scope"] == _scope(device)
    assert _entries(history) == {
        (_list(listing, state), since, device)
        for device, listing in listed.items()
        for state, since in [("all", listing["listed_at"]), *listing["states"].items()]
    }
    serials = {item["device"] for item in history if item["pk"].startswith("serial#")}
    assert serials == {device for device, listing in listed.items() if "serial" in listing}
    _check_counts(history, listed)


def check_counts() -> None:
    """Check that the counts are those of the listings, at any moment."""
    history = stored(Table.HISTORY)
    listed = {item["pk"].removeprefix("listing#"): item for item in history if item["pk"].startswith("listing#")}
    _check_counts(history, listed)


def _states(device: Item, bindings: list[Item]) -> Iterator[str]:
    held = any("bound_at" in item and item.get("status") != "unregistered" for item in bindings if _is_binding(item))
    yield "bound" if held else "unbound"
    if any(item["sk"] == "link#presence" and "holder" in item for item in bindings):
        yield "online"
    if "banned_at" in device:
        yield device.get("ban_kind", "banned")
    yield from (state for state, attribute in _OF_DEVICE.items() if attribute in device)


def _is_binding(item: Item) -> bool:
    return item["sk"] == "owner" or (item["sk"].startswith("user#") and item.get("kind") == "binding")


def _scope(device: str) -> str:
    dialect = device.partition("#")[0]
    kind = {"quectel": "product", "rufus": "account"}.get(dialect)
    return f"api#{dialect}" if kind is None else identity.join(kind, identity.parts(device)[_NAMED[kind]])


_NAMED = {"product": "product_key", "account": "account"}


def _list(listing: Item, state: str) -> str:
    return f"devices#{listing['scope']}#{state}"


def _entries(history: list[Item]) -> set[tuple[str, int, str]]:
    found = [item for item in history if item["pk"].startswith("devices#")]
    return {(item["pk"].rpartition("#")[0], int(item["sk"][:13]), item["device"]) for item in found}


def _check_counts(history: list[Item], listed: dict[str, Item]) -> None:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for item in history:
        if item["pk"].startswith("counts#") and item["sk"] == "counts":
            scope = item["pk"].removeprefix("counts#").rpartition("#")[0]
            counted[scope].update({name: item[name] for name in item if name not in ("pk", "sk", "last_change")})
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for listing in listed.values():
        expected[listing["scope"]].update(["all", *listing["states"]])
    assert {scope: +numbers for scope, numbers in counted.items() if +numbers} == expected
    assert not any(number < 0 for numbers in counted.values() for number in numbers.values())
    events = Counter(item["type"] for item in history if item["pk"].startswith("chain#"))
    days = [item for item in history if item["pk"].startswith("counts#") and item["sk"].startswith("day#")]
    for name, kind in (("began", "device.bound"), ("ended", "device.unbound")):
        assert sum(item.get(name, 0) for item in days) == events[kind]
