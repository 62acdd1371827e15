"""rufus: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bindery.directory import api_keys
from bindery.registry import devices, identity
from bindery.rufus import timing
from bindery.security import secrets
from tests import rufus
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_device, operator
from tests.invariants import broken
from tests.rufus import UNBINDER
from tests.sample_requests import send
from tests.tables import without_acts

SECRET = "0" * 32
"""Secret of the session that `opened` opens."""


def bind(alias: str) -> Request:
    body = {"model": "M", "serial_number": "S", "alias": alias}
    return Request(f"bind as {alias}", lambda: rufus.bind(body, UNBINDER), gains="bind")


def unbind() -> Request:
    deviceid = secrets.device_id("acme", "M", "S")
    return Request("unbind", lambda: rufus.unbind(deviceid))


def device() -> str:
    return identity.company_device("acme", "M", "S")


def ban() -> Request:
    return of_device(device(), "ban", reason="stolen")


def unban() -> Request:
    return of_device(device(), "unban")


def end() -> Request:
    return of_device(device(), "unbind", reason="lost")


def revoke() -> Request:
    return operator("revoke", "keys", "POST", f"keys/{api_keys.id_of(UNBINDER)}/revoke")


def session() -> Request:
    body = {"deviceid": secrets.device_id("acme", "M", "S")}
    return Request(
        "open a session", lambda: send("rufus.open_session", {"api_key": UNBINDER}, body=body), gains="connect"
    )


def insert(*numbers: int) -> Request:
    """Return a request to insert passings into the session of `opened`."""
    passings = [{"timestamp": "2026-11-20T09:20:25Z", "num_passing": number, "bib": "7"} for number in numbers]
    body = {"token_session": device().rpartition("#")[2] + SECRET, "passings_list": passings}
    return Request(
        f"insert {numbers}", lambda: send("rufus.insert_passings", {"api_key": UNBINDER}, body=body), gains="connect"
    )


def bound() -> None:
    assert bind("first").ask().status == 201


def opened() -> None:
    """Start with a bound device that has a session."""
    bound()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing.secrets, "token_hex", lambda size: SECRET)
        assert session().ask().status == 201


def inserted() -> None:
    """Start with two passings of the session."""
    opened()
    assert insert(1, 2).ask().json()["inserted_count"] == 2


GIVEN: dict[str, Callable[[], object]] = {
    # The first use of the key on this day is recorded.
    "unused": lambda: None,
    "bound": bound,
    "opened": opened,
    "inserted": inserted,
    "unbound": lambda: (bound(), end().ask()),
    "banned": lambda: (bound(), devices.ban(device(), "stolen")),
}


REQUESTS: dict[str, Callable[[], Request]] = {
    **{f"bind as {alias}": partial(bind, alias) for alias in "abc"},
    "unbind": unbind,
    "ban": ban,
    "unban": unban,
    "end": end,
    "revoke": revoke,
    "session": session,
    **{
        f"insert {'-'.join(map(str, numbers))}": partial(insert, *numbers)
        for numbers in ((1,), (2,), (3,), (1, 2), (2, 3))
    },
}

CASES = schedules.cases("""
    unused: bind as a | bind as b
    unbound: bind as a | bind as b, ban, end, unbind, bind as b + bind as c
    banned: bind as a | unban
    bound: bind as a | bind as b, ban, end, unbind, revoke, unbind + bind as b, end + bind as b, ban + unban
    bound: unbind | unbind, end, ban, bind as a + end, bind as a + ban
    bound: end | end
    bound: session | session, bind as a, ban, revoke
    opened: session | unbind, end, unbind + bind as a
    opened: insert 1 | insert 2, revoke
    opened: insert 1-2 | insert 1-2, insert 2-3
    inserted: insert 1-2 | insert 2-3
    inserted: insert 2-3 | session, bind as a, unbind, end, ban
    inserted: insert 3 | unbind + bind as a
""")


@pytest.mark.parametrize("case", schedules.chosen(CASES))
def test_every_schedule_is_equivalent_to_some_order(case: str, prepared: Any) -> None:
    given, asked = schedules.parts(case)
    prepared("companies", rufus.install)
    GIVEN[given]()
    assert schedules.check([REQUESTS[name]() for name in asked], broken) > 1


INTERRUPTED: dict[str, Callable[[], Request]] = {
    "a session": session,
    "an unbind": unbind,
    "an end": end,
    "a ban": ban,
    "an insert of the same": lambda: insert(2, 1),
}


@pytest.mark.parametrize("case", INTERRUPTED)
def test_long_list_is_inserted_part_by_part(case: str, prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is one transaction. Those before a refusal stay, and are counted."""
    monkeypatch.setattr(timing, "_TOGETHER", 1)
    prepared("companies", rufus.install)
    opened()
    stored: set[int] = set()
    for run in schedules.explore([insert(1, 2), INTERRUPTED[case]()]):
        numbers = [item["num_passing"] for item in run.tables["BINDINGS"] if "num_passing" in item]
        assert numbers == [1, 2][: len(numbers)], run
        assert run.answers[0].succeeded is (len(numbers) == 2), run
        for binding in without_acts(run.tables):
            assert binding.get("passings", 0) == (0 if "num_passing" in binding else len(numbers)), run
        stored.add(len(numbers))
    assert stored == ({2} if case == "an insert of the same" else {0, 1, 2})
