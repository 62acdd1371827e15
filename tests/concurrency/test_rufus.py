"""rufus: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable
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


CASES: dict[str, tuple[str, Callable[[], list[Request]]]] = {
    "two bind, the key's first uses": ("unused", lambda: [bind("a"), bind("b")]),
    "two bind an unbound device": ("unbound", lambda: [bind("a"), bind("b")]),
    "two bind again": ("bound", lambda: [bind("a"), bind("b")]),
    "a bind and a ban": ("unbound", lambda: [bind("a"), ban()]),
    "a bind again and a ban": ("bound", lambda: [bind("a"), ban()]),
    "a bind and an unban": ("banned", lambda: [bind("a"), unban()]),
    "a bind and an end": ("bound", lambda: [bind("a"), end()]),
    "a bind and the end of nothing": ("unbound", lambda: [bind("a"), end()]),
    "a bind and an unbind": ("bound", lambda: [bind("a"), unbind()]),
    "a bind and the unbind of nothing": ("unbound", lambda: [bind("a"), unbind()]),
    "two unbinds": ("bound", lambda: [unbind(), unbind()]),
    "an unbind and an end": ("bound", lambda: [unbind(), end()]),
    "an unbind and a ban": ("bound", lambda: [unbind(), ban()]),
    "a bind and the key's revocation": ("bound", lambda: [bind("a"), revoke()]),
    "a bind, an unbind and a bind": ("bound", lambda: [bind("a"), unbind(), bind("b")]),
    "an unbind, a bind and an end": ("bound", lambda: [unbind(), bind("a"), end()]),
    "an unbind, a bind and a ban": ("bound", lambda: [unbind(), bind("a"), ban()]),
    "two ends": ("bound", lambda: [end(), end()]),
    "three bind an unbound device": ("unbound", lambda: [bind("a"), bind("b"), bind("c")]),
    "a bind, an end and a bind": ("bound", lambda: [bind("a"), end(), bind("b")]),
    "a bind, a ban and an unban": ("bound", lambda: [bind("a"), ban(), unban()]),
    "two sessions": ("bound", lambda: [session(), session()]),
    "a session and a bind again": ("bound", lambda: [session(), bind("a")]),
    "a session and an unbind": ("opened", lambda: [session(), unbind()]),
    "a session and an end": ("opened", lambda: [session(), end()]),
    "a session and a ban": ("bound", lambda: [session(), ban()]),
    "a session and the key's revocation": ("bound", lambda: [session(), revoke()]),
    "a session, an unbind and a bind": ("opened", lambda: [session(), unbind(), bind("a")]),
    "two inserts of different passings": ("opened", lambda: [insert(1), insert(2)]),
    "two inserts of the same passings": ("opened", lambda: [insert(1, 2), insert(1, 2)]),
    "two inserts with a common passing": ("opened", lambda: [insert(1, 2), insert(2, 3)]),
    "a repeated insert and one with a common passing": ("inserted", lambda: [insert(1, 2), insert(2, 3)]),
    "an insert and a session": ("inserted", lambda: [insert(2, 3), session()]),
    "an insert and a bind again": ("inserted", lambda: [insert(2, 3), bind("a")]),
    "an insert and an unbind": ("inserted", lambda: [insert(2, 3), unbind()]),
    "an insert and an end": ("inserted", lambda: [insert(2, 3), end()]),
    "an insert and a ban": ("inserted", lambda: [insert(2, 3), ban()]),
    "an insert and the key's revocation": ("opened", lambda: [insert(1), revoke()]),
    "an insert, an unbind and a bind": ("inserted", lambda: [insert(3), unbind(), bind("a")]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_schedule_is_equivalent_to_some_order(case: str, prepared: Any) -> None:
    given, asked = CASES[case]
    prepared("companies", rufus.install)
    GIVEN[given]()
    assert schedules.check(asked(), broken) > 1


INTERRUPTED: dict[str, Callable[[], Request]] = {
    "a session": session,
    "an unbind": unbind,
    "an end": end,
    "a ban": ban,
    "an insert of the same": lambda: insert(3, 2, 1),
}


@pytest.mark.parametrize("case", INTERRUPTED)
def test_long_list_is_inserted_part_by_part(case: str, prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is one transaction. Those before a refusal stay, and are counted."""
    monkeypatch.setattr(timing, "_TOGETHER", 1)
    prepared("companies", rufus.install)
    opened()
    stored: set[int] = set()
    for run in schedules.explore([insert(1, 2, 3), INTERRUPTED[case]()]):
        numbers = [item["num_passing"] for item in run.tables["BINDINGS"] if "num_passing" in item]
        assert numbers == [1, 2, 3][: len(numbers)], run
        assert run.answers[0].succeeded is (len(numbers) == 3), run
        for binding in without_acts(run.tables):
            assert binding.get("passings", 0) == (0 if "num_passing" in binding else len(numbers)), run
        stored.add(len(numbers))
    assert stored == ({3} if case == "an insert of the same" else {0, 1, 2, 3})
