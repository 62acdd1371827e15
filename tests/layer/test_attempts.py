"""How failed logins slow the next one: whom, how long, and that guesses made at once are no more guesses."""

import pytest

from bindery import clock, dynamo, passwords
from bindery.dynamo import Key, Table
from bindery.faults import Fault, Reason
from bindery.logins import attempts
from tests.races import before
from tests.tables import items

NOW = 1795176000_000
DAY = 86_400_000
HOME = "203.0.113.9"
RIGHT, WRONG = "right password", "wrong password"


class Clock:
    """A clock that stands still until it is moved."""

    now = NOW


@pytest.fixture(autouse=True)
def time(registry: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock_ = Clock()
    monkeypatch.setattr(clock, "now", lambda: clock_.now)
    monkeypatch.setattr(passwords, "_LN", 4)
    monkeypatch.setattr(passwords, "_NOTHING", passwords._NOTHING.replace("ln=17", "ln=4"))
    return clock_


@pytest.fixture
def user(time: Clock) -> dict[str, str]:
    return {"uid": "ada", "password": passwords.protect(RIGHT)}


def place(name: str = "ada@x.de", source_ip: str = HOME, scope: str = "app") -> Key:
    return attempts.key("quectel", scope, name, source_ip)


def attempt(user: dict[str, str] | None, password: str, at: Key | None = None) -> Fault | None:
    """Try a password as a login does; what it was refused for."""
    key = at or place()
    try:
        attempts.Attempts.admit(key, dynamo.get(key)).judge(password, user)
    except Fault as fault:
        return fault
    return None


def fail(count: int, user: dict[str, str] | None, time: Clock, at: Key | None = None) -> None:
    """Fail as often, each time after having waited long enough."""
    for _ in range(count):
        refused(attempt(user, WRONG, at), Reason.PASSWORD_WRONG)
        time.now += 900_000


def refused(fault: Fault | None, reason: Reason, **detail: str) -> None:
    assert fault is not None
    assert (fault.reason, fault.detail) == (reason, detail)


WAITS = [
    *((count, 0) for count in range(5)),
    *((5 + count, 2**count) for count in range(10)),
    *((count, 900) for count in (15, 16, 40)),
]
"""How many failures make the next attempt wait how many seconds."""


@pytest.mark.parametrize(("count", "seconds"), WAITS)
def test_each_failure_after_the_fourth_doubles_the_delay(
    count: int, seconds: int, user: dict[str, str], time: Clock
) -> None:
    # At one end of the day, so that all of it is one day.
    time.now = NOW - NOW % DAY
    key = place()
    for _ in range(count):
        attempts.Attempts(key).fail()
    if seconds:
        refused(attempt(user, RIGHT), Reason.LOGIN_SLOWED, seconds=str(seconds))
        time.now += seconds * 1000 - 1
        refused(attempt(user, RIGHT), Reason.LOGIN_SLOWED, seconds="1")
        time.now += 1
    assert attempt(user, RIGHT) is None


def test_what_comes_too_early_is_neither_looked_at_nor_counted(
    user: dict[str, str], time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(5, user, time)
    time.now -= 900_000
    stands = items(Table.BINDINGS)
    monkeypatch.setattr(passwords, "verify", None)
    for _ in range(3):
        refused(attempt(user, WRONG), Reason.LOGIN_SLOWED, seconds="1")
    assert items(Table.BINDINGS) == stands


def test_a_success_forgets_the_failures(user: dict[str, str], time: Clock) -> None:
    fail(9, user, time)
    assert attempt(user, RIGHT) is None
    assert items(Table.BINDINGS) == []


def test_a_new_day_begins_with_none(user: dict[str, str], time: Clock) -> None:
    fail(6, user, time)
    time.now += DAY
    fail(4, user, time)
    assert attempt(user, RIGHT) is None


def test_the_count_is_removed_after_a_day(user: dict[str, str], time: Clock) -> None:
    refused(attempt(user, WRONG), Reason.PASSWORD_WRONG)
    (kept,) = items(Table.BINDINGS)
    assert kept == {
        "pk": kept["pk"],
        "sk": "attempts",
        "failures": 1,
        "last_at": time.now,
        "expires_at": time.now // 1000 + 86400,
    }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (place, lambda: place("ADA@x.de "), True),
        (place, lambda: place("eve@x.de"), False),
        (place, lambda: place(scope="other"), False),
        (place, lambda: attempts.key("remoteit", "app", "ada@x.de", HOME), False),
        (place, lambda: place(source_ip="203.0.113.10"), False),
        (place, lambda: place(source_ip=f"::ffff:{HOME}"), True),
        (lambda: place(source_ip="2001:db8::1"), lambda: place(source_ip="2001:db8::ffff:1"), True),
        (lambda: place(source_ip="2001:db8::1"), lambda: place(source_ip="2001:db8:0:1::1"), False),
    ],
)
def test_failures_slow_one_name_from_one_network(one, other, same: bool, user: dict[str, str], time: Clock) -> None:
    fail(5, user, time, one())
    time.now -= 900_000
    fault = attempt(user, RIGHT, other())
    assert (fault is not None) is same


def test_a_name_that_nobody_has_is_slowed_like_any_other(time: Clock) -> None:
    fail(5, None, time)
    time.now -= 900_000
    refused(attempt(None, WRONG), Reason.LOGIN_SLOWED, seconds="1")


@pytest.mark.parametrize(("read", "meanwhile", "good"), [(0, 4, True), (0, 5, False), (4, 1, False), (9, 0, True)])
def test_guesses_made_at_once_are_no_more_guesses(
    read: int, meanwhile: int, good: bool, user: dict[str, str], time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(read, user, time)

    def others() -> None:
        for _ in range(meanwhile):
            attempts.Attempts(place()).fail()

    before(monkeypatch, "transact_write_items", others)
    fault = attempt(user, RIGHT)
    if good:
        assert fault is None
        assert items(Table.BINDINGS) == []
    else:
        refused(fault, Reason.LOGIN_SLOWED, seconds="1")
        assert [item["failures"] for item in items(Table.BINDINGS)] == [read + meanwhile]


def test_failures_made_at_once_are_all_counted(user: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    before(monkeypatch, "update_item", attempts.Attempts(place()).fail)
    refused(attempt(user, WRONG), Reason.PASSWORD_WRONG)
    assert [item["failures"] for item in items(Table.BINDINGS)] == [2]
