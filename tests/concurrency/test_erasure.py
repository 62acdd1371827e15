"""Erasure of a user in parallel with requests of other users and of the user.

An erasure is not a transaction, so it is run here call by call. Requests of other users are equivalent to some order
with the whole erasure, pass by pass. The last pass finds nothing else and deletes the user's record. A request of the
user that read the record before the user was disabled may outlive the erasure. The tests below check what it can leave
behind, and docs/operating.md tells operators to disable the user a minute before. The bank authenticates its customers
regardless of the user's state.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bindery.connectivity import leases
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, users
from bindery.operators import privacy
from bindery.quectel import transfers
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests import quectel
from tests.concurrency import schedules, test_asseco
from tests.concurrency.schedules import Request, Tables, of_device
from tests.concurrency.test_quectel import accept, bind, bound, rename, unbind
from tests.concurrency.test_remoteit import broken, connect, installation, own_stop
from tests.http_api import Response
from tests.openid import CUSTOMER, Bank
from tests.properties.scale import FULL, rounds
from tests.quectel import DEVICE, ME, OTHER


def some(cases: dict[str, Any]) -> list[str]:
    """Return every second case in `make test`: an erasure makes many calls, so there are many orders."""
    return list(cases)[:: 1 if FULL else 2]


def erase(*, whole: bool = True) -> Request:
    """Return a request for the whole erasure, pass by pass, or for one pass. A pass is retried after a conflict."""

    def asked() -> Response:
        for _ in range(5):
            try:
                if privacy.erase(ME)[1] or not whole:
                    return Response(200, {}, "")
            except Refused as fault:
                if whole and fault.reason is Reason.NOT_FOUND:
                    return Response(404, {}, "")
                if fault.reason is not Reason.CONFLICT:
                    raise
        raise AssertionError("it never ends")

    return Request("erase", asked)


def offered() -> None:
    """Let another user bind the device."""
    assert unbind(ME).ask().json()["code"] == 200
    bound(OTHER)


GIVEN: dict[str, Callable[[], object]] = {
    "held": lambda: None,
    "given": lambda: quectel.share(ME, OTHER, clock.seconds() + 1000),
    "nothing": lambda: unbind(ME).ask(),
    "offered": offered,
    "received": lambda: (offered(), quectel.share(OTHER, ME, clock.seconds() + 1000)),
    "connected": lambda: connect(ME).ask(),
    "transferred": lambda: transfers.offer(DEVICE, OTHER),
    "receiving": lambda: (offered(), transfers.offer(DEVICE, ME)),
}
"""State of the user before the erasure: device bound, share given or received, nothing, connected, or device offered to
another user or to the user."""

CASES: dict[str, tuple[Mode, str, Callable[[], list[Request]]]] = {
    # `make test` uses the mode with the most writes.
    "another accepts a share": (Mode.MULTI, "held", lambda: [accept(OTHER, ME), erase()]),
    "another binds the device": (Mode.ROTATING, "held", lambda: [bind(OTHER), erase()]),
    "another connects by a share": (Mode.UNIQUE, "given", lambda: [connect(OTHER), erase()]),
    "another gives a share back": (Mode.MULTI, "given", lambda: [unbind(OTHER), erase()]),
    "the owner ends what was shared": (Mode.UNIQUE, "received", lambda: [unbind(OTHER), erase()]),
    "an operator bans the device": (Mode.UNIQUE, "held", lambda: [of_device(DEVICE, "ban", reason="stolen"), erase()]),
    "another becomes the owner": (
        Mode.ROTATING,
        "transferred",
        lambda: [of_device(DEVICE, "accept", uid=OTHER), erase()],
    ),
}


def modes(case: str) -> Sequence[Mode]:
    mode, given, _ = CASES[case]
    if given == "transferred":
        return [Mode.UNIQUE, Mode.ROTATING] if FULL else [mode]
    return list(Mode) if FULL else [mode]


@pytest.mark.parametrize(("case", "mode"), [(case, mode) for case in some(CASES) for mode in modes(case)])
def test_erasure_is_serializable_with_requests_of_others(case: str, mode: Mode, prepared: Any) -> None:
    _, given, asked = CASES[case]
    prepared(mode, lambda: installation(mode))
    GIVEN[given]()
    # An operator's request makes many calls too.
    drawn = rounds(10, 300) if given == "transferred" else None
    assert schedules.check(asked(), broken, drawn=drawn) > 1


@pytest.mark.parametrize(
    ("given", "asked"), [("receiving", {"does": "accept", "uid": ME}), ("offered", {"does": "offer", "to": ME})]
)
def test_device_is_not_transferred_to_an_erased_user(given: str, asked: dict[str, str], prepared: Any) -> None:
    prepared(Mode.UNIQUE, lambda: installation(Mode.UNIQUE))
    GIVEN[given]()
    for run in schedules.sample([of_device(DEVICE, **asked), erase()], rounds(10, 300)):
        assert broken(run.tables) == [], run
        assert shut_out(run.tables), run
        assert left_of(run.tables) == [], run
        assert all(item.get("offer", {}).get("to") != ME for item in run.tables["BINDINGS"]), run


OWN: dict[str, tuple[str, Callable[[], Request]]] = {
    "they bind": ("nothing", lambda: bind(ME)),
    "they unbind": ("held", lambda: unbind(ME)),
    "they accept a share": ("offered", lambda: accept(ME, OTHER)),
    "they rename": ("held", lambda: rename(ME, "name")),
    "they connect": ("held", lambda: connect(ME)),
    "they connect again": ("connected", lambda: connect(ME)),
    "they end their connection": ("connected", lambda: own_stop()),
}


def shut_out(tables: Tables) -> bool:
    """True if no user record allows anyone to authenticate."""
    return not any(item["enabled"] for item in tables["DIRECTORY"] if item["pk"] == items.user(ME).pk)


def left_of(tables: Tables) -> list[dict[str, Any]]:
    """Return the remaining data about the user."""
    holder = identity.user_holder(ME)
    return [
        item
        for item in tables["BINDINGS"]
        if holder in (item["pk"], item["sk"], item.get("holder")) or ME in (item.get("caller"), *item.get("shares", ()))
    ]


@pytest.mark.parametrize("case", some(OWN))
def test_erasure_leaves_only_data_of_requests_in_progress(case: str, prepared: Any) -> None:
    """The remaining data was written by a request that had read the user's record before the user was disabled."""
    mode = Mode.UNIQUE
    given, own = OWN[case]
    prepared(mode, lambda: installation(mode))
    GIVEN[given]()
    outcomes = set()
    for run in schedules.explore([own(), erase(whole=False)]):
        assert broken(run.tables) == [], run
        assert shut_out(run.tables), run
        left = left_of(run.tables)
        # The request made its first call before the erasure disabled the user.
        first = next(maker for maker, call in run.calls if maker == 0 or call.startswith("Update"))
        assert not left or first == 0, run
        for lease in left:
            if "label" in lease:
                with pytest.raises(Refused):
                    leases.admit(lease["label"], "203.0.113.9")
        outcomes.add(bool(left))
    assert False in outcomes


def customer_of_a_bank() -> None:
    accounts.create("smart", name="Smart")
    users.create(ME, "smart", customer=CUSTOMER)


BANK: dict[str, tuple[str, test_asseco.Asked]] = {
    "registers": ("nothing", test_asseco.register()),
    "unregisters": ("registered", test_asseco.unregister()),
    "registers another": ("registered", test_asseco.register(test_asseco.SECOND, "Other")),
    "renames": ("registered", test_asseco.rename("Other")),
    "blocks": ("registered", test_asseco.BLOCK),
}


@pytest.mark.parametrize("case", some(BANK))
def test_nicknames_stay_unique_when_the_customer_acts_too(case: str, bank: Bank, prepared: Any) -> None:
    """The bank's tokens stay valid, so a registration after the erasure remains, and is complete."""
    given, own = BANK[case]
    prepared(case, lambda: (customer_of_a_bank(), test_asseco.prepare(given, bank)))
    for run in schedules.explore([own(bank), erase(whole=False)]):
        assert broken(run.tables) == [], run
        assert shut_out(run.tables), run
        left = [item for item in run.tables["BINDINGS"] if CUSTOMER in (item["pk"] + item.get("holder", ""))]
        assert not left or case.startswith("registers"), run


@pytest.mark.parametrize("given", ["held", "given", "received", "connected"])
def test_of_two_parallel_erasures_one_finds_nothing(given: str, prepared: Any) -> None:
    prepared(Mode.MULTI, lambda: installation(Mode.MULTI))
    GIVEN[given]()
    for run in schedules.sample([erase(), erase()], rounds(5, 300)):
        assert broken(run.tables) == [], run
        assert all(item["pk"] != items.user(ME).pk for item in run.tables["DIRECTORY"]), run
        assert left_of(run.tables) == [], run
        assert sorted(answer.status for answer in run.answers) == [200, 404], run
