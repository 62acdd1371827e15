"""Operators' requests in parallel with each other and with API requests: every schedule is equivalent to some order.

`make test` runs a sample of the pairs, `make proof` all of them. For three requests, random schedules are run.
"""

import json
import random
from collections.abc import Callable
from itertools import combinations, product
from typing import Any, NamedTuple

import pytest

from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.directory import accounts, api_keys, products, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import user_domains
from bindery.registry import devices, identity
from bindery.registry.bindings import Mode
from tests.concurrency import schedules, test_remoteit
from tests.concurrency.schedules import Request, of_device, operator
from tests.concurrency.test_quectel import accept, bind, both_at_home, end, offer, rename, unbind
from tests.concurrency.test_remoteit import ADDRESS, broken, connect, own_stop
from tests.properties.scale import FULL
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, THIRD
from tests.sample_requests import send

KEY = "ror-ae4fc6c19681a20fad30"


class Act(NamedTuple):
    """An operator's request and its setup."""

    ask: Callable[[], Request]
    given: Callable[[], object] = lambda: None


def of(
    resource: str, method: str, path: str, body: Any = None, *, forbids: tuple[str, ...] = ()
) -> Callable[[], Request]:
    name = " ".join([method, path, *([] if body is None else [json.dumps(body)])])
    return lambda: operator(name, resource, method, path, body, forbids=forbids)


def on_device(does: str, **body: str) -> Callable[[], Request]:
    return lambda: of_device(DEVICE, does, **body)


def manufactured(**facts: str) -> Callable[[], Request]:
    row = {"product_key": PK, "serial": SN, "device_key": DK, **facts}
    return of("devices", "POST", "devices/import", {"rows": [row]})


ADDRESS_PATH = f"devices/{identity.opaque(DEVICE)}/address"
KEY_PATH = f"keys/{api_keys.id_of(KEY)}"
NEW_KEY = {"account": "smart", "kind": "rufus", "grant": "READ", "alias": "new"}

ACTS: dict[str, Act] = {
    "ban": Act(on_device("ban", reason="stolen")),
    "unban": Act(on_device("unban"), lambda: devices.ban(DEVICE, "stolen")),
    "disable": Act(on_device("disable")),
    "enable": Act(on_device("enable"), lambda: devices.set_enabled(DEVICE, False)),
    "deactivate": Act(on_device("deactivate")),
    "activate": Act(on_device("activate"), lambda: devices.deactivate(DEVICE)),
    "end": Act(on_device("unbind", reason="lost")),
    "withdraw": Act(of("devices", "DELETE", ADDRESS_PATH)),
    "assign": Act(
        of("devices", "PUT", ADDRESS_PATH, {"address": ADDRESS}), lambda: service_addresses.withdraw(ADDRESS)
    ),
    "import": Act(manufactured(module_type="BC28")),
    "import-key": Act(manufactured(device_key="8415D0A31B2D")),
    "bar": Act(of("products", "PUT", f"products/{PK}/barred/{OTHER}", forbids=("bind",))),
    "admit": Act(of("products", "DELETE", f"products/{PK}/barred/{OTHER}"), lambda: products.bar(PK, OTHER)),
    "product": Act(of("products", "PATCH", f"products/{PK}", {"domains": ["E.DM.2"]})),
    "domain-off": Act(of("domains", "PATCH", "domains/E.DM.1", {"enabled": False})),
    "domain-on": Act(
        of("domains", "PATCH", "domains/E.DM.1", {"enabled": True}),
        lambda: user_domains.change("E.DM.1", enabled=False),
    ),
    "binders": Act(of("domains", "PATCH", "domains/E.DM.1", {"binders": "administrators"})),
    "role": Act(
        of("users", "PATCH", f"users/{OTHER}", {"role": "administrator"}),
        lambda: user_domains.change("E.DM.1", binders="administrators"),
    ),
    "home-mode": Act(of("users", "PATCH", f"users/{OTHER}", {"home_mode": False})),
    "move": Act(of("users", "PATCH", f"users/{OTHER}", {"domain": "E.DM.2"})),
    "customer": Act(of("users", "PATCH", f"users/{ME}", {"customer": "MIGR00002"})),
    "email": Act(of("users", "PATCH", f"users/{ME}", {"email": "a@example.com"})),
    "create": Act(of("users", "POST", "users", {"uid": "new", "account": "smart", "email": "A@example.com"})),
    "user-off": Act(of("users", "POST", f"users/{ME}/disable")),
    "user-on": Act(of("users", "POST", f"users/{ME}/enable"), lambda: users.set_enabled(ME, False)),
    "revoke-tokens": Act(of("users", "POST", f"users/{ME}/revoke-tokens")),
    "close": Act(of("accounts", "POST", "accounts/smart/disable")),
    "open": Act(of("accounts", "POST", "accounts/smart/enable"), lambda: accounts.set_enabled("smart", False)),
    "members": Act(of("families", "PATCH", "families/F1", {"members": [THIRD]})),
    "rooms": Act(of("families", "PATCH", "families/F1", {"rooms": ["R2"]})),
    "issue": Act(
        of("keys", "POST", "keys", NEW_KEY),
        lambda: api_keys.issue("smart", Kind.RUFUS, Grant.READ, alias="expired", expires_at=clock.now() - 1),
    ),
    "rotate": Act(of("keys", "POST", f"{KEY_PATH}/rotate", {"overlap_seconds": 60})),
    "revoke": Act(of("keys", "POST", f"{KEY_PATH}/revoke")),
    "spread": Act(of("accounts", "POST", "accounts/smart/spread", {"parts": 2})),
}


ASKED: dict[str, Callable[[], Request]] = {
    "bind": lambda: bind(OTHER, fid="F1", frid="R1"),
    "unbind": lambda: unbind(ME),
    "accept": lambda: accept(OTHER, ME),
    "offer": lambda: offer(ME, "2"),
    "rename": lambda: rename(ME, "a"),
    "connect": lambda: connect(ME),
    "stop": own_stop,
    "company bind": lambda: Request(
        "a company binds", lambda: send("rufus.bind_device", {"api_key": KEY}), gains="bind"
    ),
}


def installation(mode: Mode) -> None:
    """Create a user with a device and a connection, and another user in the family."""
    test_remoteit.installation(mode)
    api_keys.issue("smart", Kind.RUFUS, Grant.READ_WRITE, alias="demo", chosen=KEY)
    users.set_home_mode(OTHER, True)
    assert connect(ME).ask().status == 200


def part(found: list[Any], one_in: int) -> list[Any]:
    """Return all cases in `make proof`, otherwise the same sample of one in `one_in`."""
    return found if FULL else sorted(random.Random(0).sample(found, len(found) // one_in))


@pytest.fixture(autouse=True)
def mode(request: pytest.FixtureRequest, prepared: Any) -> None:
    """Set the product's binding mode. By default a new binding replaces the current one."""
    mode = getattr(request, "param", Mode.ROTATING)
    prepared(mode, lambda: installation(mode))


@pytest.mark.parametrize("mode", Mode if FULL else [Mode.ROTATING], indirect=True)
@pytest.mark.parametrize(("act", "asked"), part(list(product(ACTS, ASKED)), 8))
def test_operator_and_user_requests_are_equivalent_to_some_order(act: str, asked: str, mode: None) -> None:
    request = ASKED[asked]()
    ACTS[act].given()
    assert schedules.check([ACTS[act].ask(), request], broken) > 0


SECOND = identity.manufactured_device(PK, "SN2")

OTHERS: dict[str, Act] = {
    "another email": Act(of("users", "PATCH", f"users/{ME}", {"email": "b@example.com"})),
    "its email": Act(of("users", "PATCH", f"users/{OTHER}", {"email": "A@EXAMPLE.com"})),
    "leave": Act(
        of("users", "PATCH", f"users/{ME}", {"domain": "E.DM.2"}), lambda: users.change(ME, email="c@example.com")
    ),
    "assign another": Act(of("devices", "PUT", ADDRESS_PATH, {"address": ADDRESS[:-1] + "2"})),
    "assign elsewhere": Act(
        of("devices", "PUT", f"devices/{identity.opaque(SECOND)}/address", {"address": ADDRESS}),
        lambda: devices.manufacture(PK, "SN2", device_key="8415D0A31B2E"),
    ),
}
"""Requests that are tried only with those that `NAMED` names."""

NAMED = [
    ("rotate", "revoke"),
    ("unban", "assign"),
    ("activate", "withdraw"),
    ("unban", "activate"),
    ("issue", "close"),
    ("issue", "spread"),
    ("rotate", "spread"),
    ("close", "spread"),
    *(("email", text) for text in ("create", "another email", "its email", "leave")),
    ("move", "role"),
    ("ban", "import-key"),
    ("assign", "assign another"),
    ("assign", "assign elsewhere"),
]
"""Operators' requests of which one writes what another reads."""


@pytest.mark.parametrize(
    "acts", NAMED + [pair for pair in part(list(combinations(ACTS, 2)), 30) if pair not in NAMED], ids="-".join
)
def test_operator_requests_are_equivalent_to_some_order(acts: tuple[str, ...]) -> None:
    named = ACTS | OTHERS
    # Last, because it closes the account.
    for act in sorted(acts, key="open".__eq__):
        named[act].given()
    assert schedules.check([named[act].ask() for act in acts], broken) > 0


@pytest.mark.parametrize("mode", [Mode.MULTI], indirect=True)
def test_parallel_ends_in_a_family_are_equivalent_to_some_order(mode: None) -> None:
    unbind(ME).ask()
    both_at_home(Mode.MULTI)
    assert schedules.check([end(Mode.MULTI, ME), end(Mode.MULTI, OTHER)], broken) > 0


READ_ALONE = {"product", "domain-off", "domain-on", "binders", "close", "open", "members", "rooms"}
"""Facts that a bind request checks only when it reads, or after the device. Of two refusals it may report the later
one."""

TRIPLES = random.Random(0).sample(
    [
        (acts, asked)
        for acts, asked in product(combinations([act for act in ACTS if act not in READ_ALONE], 2), ASKED)
        # A connect request checks the token only when it reads: see READ_ALONE.
        if not (asked == "connect" and "revoke-tokens" in acts)
    ],
    100 if FULL else 4,
)


@pytest.mark.parametrize(("acts", "asked"), TRIPLES)
def test_sampled_schedules_of_three_are_equivalent_to_some_order(acts: tuple[str, str], asked: str) -> None:
    request = ASKED[asked]()
    for act in acts:
        ACTS[act].given()
    assert schedules.check([*(ACTS[act].ask() for act in acts), request], broken, drawn=10) == 10


def test_accept_refused_by_a_takeover_and_a_ban_names_the_takeover() -> None:
    """The share had ended before the device was banned."""
    request = ASKED["accept"]()
    assert schedules.check([request, bind(THIRD), ACTS["ban"].ask()], broken) > 1
