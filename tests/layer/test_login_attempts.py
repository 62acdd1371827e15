"""Failed logins throttle the next ones; parallel logins reveal no more than sequential ones."""

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import login_attempts
from bindery.security import passwords
from tests.tables import stored

NOW = 1795176000_000
DAY = 86_400_000
HOME = "203.0.113.9"
RIGHT, WRONG = "right password", "wrong password"


class Clock:
    """Clock that changes only when a test sets it."""

    now = NOW


@pytest.fixture(autouse=True)
def time(registry: None, cheap_hashes: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock_ = Clock()
    monkeypatch.setattr(clock, "now", lambda: clock_.now)
    return clock_


@pytest.fixture
def user(time: Clock) -> dict[str, str]:
    return {"uid": "ada", "password": passwords.protect(RIGHT)}


NAME, NETWORK = range(2)


def failed(which: int, count: int, time: Clock) -> None:
    """Write what earlier failures of the name or from the network leave."""
    key = login_attempts.Attempt("quectel", "app", "ada@x.de", HOME).reads[which].key
    left = {"failures": count, "last_at": time.now, "expires_at": time.now // 1000 + 86400}
    dynamodb.write(dynamodb.Put(key, left))


def attempt(
    user: dict[str, str] | None,
    password: str,
    *,
    name: str = "ada@x.de",
    source_ip: str = HOME,
    scope: str = "app",
    api: str = "quectel",
) -> Refused | None:
    """Try a password as a login does, and return the reason for refusal."""
    tried = login_attempts.Attempt(api, scope, name, source_ip)
    try:
        tried.reserve(dynamodb.get_many(tried.reads)).judge(password, user)
    except Refused as fault:
        return fault
    return None


def fail(count: int, user: dict[str, str] | None, time: Clock, **of: str) -> None:
    """Fail `count` times, waiting long enough after each."""
    for _ in range(count):
        refused(attempt(user, WRONG, **of), Reason.PASSWORD_WRONG)
        time.now += 900_000


def counted(kind: str = "attempts") -> list[int]:
    return [item["failures"] for item in stored(Table.BINDINGS) if item["sk"] == kind]


def refused(fault: Refused | None, reason: Reason, **detail: str) -> None:
    assert fault is not None
    assert (fault.reason, fault.detail) == (reason, detail)


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (9, 16), (14, 512), (15, 900), (40, 900)]
)
def test_each_failure_after_the_fourth_doubles_the_delay(
    count: int, seconds: int, user: dict[str, str], time: Clock
) -> None:
    # Start of a day, so that all attempts are on the same day.
    time.now = NOW - NOW % DAY
    failed(NAME, count, time)
    if seconds:
        refused(attempt(user, RIGHT), Reason.LOGIN_THROTTLED, seconds=str(seconds))
        time.now += seconds * 1000 - 1
        refused(attempt(user, RIGHT), Reason.LOGIN_THROTTLED, seconds="1")
        time.now += 1
    assert attempt(user, RIGHT) is None


def test_new_day_starts_without_failures(user: dict[str, str], time: Clock) -> None:
    fail(6, user, time)
    time.now += DAY
    fail(4, user, time)
    assert attempt(user, RIGHT) is None


def test_failure_count_is_removed_after_a_day(user: dict[str, str], time: Clock) -> None:
    refused(attempt(user, WRONG), Reason.PASSWORD_WRONG)
    kept = stored(Table.BINDINGS)
    assert sorted(item["sk"] for item in kept) == ["attempts", "network"]
    for item in kept:
        assert {name: value for name, value in item.items() if name not in ("pk", "sk")} == {
            "failures": 1,
            "last_at": time.now,
            "expires_at": time.now // 1000 + 86400,
        }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"name": "ADA@x.de "}, True),
        ({}, {"name": "eve@x.de"}, False),
        ({}, {"scope": "other"}, False),
        ({}, {"api": "remoteit"}, False),
        ({}, {"source_ip": "203.0.113.10"}, False),
        ({}, {"source_ip": f"::ffff:{HOME}"}, True),
        ({"source_ip": "2001:db8::1"}, {"source_ip": "2001:db8::ffff:1"}, True),
        ({"source_ip": "2001:db8::1"}, {"source_ip": "2001:db8:0:1::1"}, False),
    ],
)
def test_failures_throttle_one_name_from_one_network(
    one: dict[str, str], other: dict[str, str], same: bool, user: dict[str, str], time: Clock
) -> None:
    fail(5, user, time, **one)
    time.now -= 900_000
    fault = attempt(user, RIGHT, **other)
    assert (fault is not None) is same


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the passwords that are compared from now on."""
    seen: list[str] = []
    verify = passwords.verify

    def noted(password: str, stored: str | None) -> bool:
        seen.append(password)
        return verify(password, stored)

    monkeypatch.setattr(passwords, "verify", noted)
    return seen


@pytest.mark.parametrize(("failures", "right"), [(0, 0), (0, 4), (0, 5), (3, 1), (3, 2), (7, 0), (7, 1)])
def test_parallel_logins_do_not_reveal_the_right_password(
    failures: int, right: int, user: dict[str, str], time: Clock, hashed: list[str]
) -> None:
    """24 logins read the same counts, then continue one after the other; number `right` has the right password."""
    fail(failures, user, time)
    hashed.clear()
    tried = [login_attempts.Attempt("quectel", "app", "ada@x.de", HOME) for _ in range(24)]
    read = dynamodb.get_many(tried[0].reads)
    free = max(5 - failures, 1)
    for number, each in enumerate(tried):
        before = stored(Table.BINDINGS)
        fault = None
        try:
            each.reserve(read).judge(RIGHT if number == right else WRONG, user)
        except Refused as refusal:
            fault = refusal
        if right == number < free:
            assert fault is None
            assert counted() == []
            return
        if number < free:
            refused(fault, Reason.PASSWORD_WRONG)
        else:
            refused(fault, Reason.LOGIN_THROTTLED, seconds="1")
            assert stored(Table.BINDINGS) == before, "a refused attempt was counted"
    assert hashed == [WRONG] * free, "a refused password was compared"
    assert counted() == [failures + free]


def test_network_that_tries_many_names_is_throttled(user: dict[str, str], time: Clock, hashed: list[str]) -> None:
    time.now = NOW - NOW % DAY
    failed(NETWORK, 101, time)
    stands = stored(Table.BINDINGS)
    refused(attempt(None, WRONG, name="nobody"), Reason.LOGIN_THROTTLED, seconds="1")
    refused(attempt(user, RIGHT), Reason.LOGIN_THROTTLED, seconds="1")
    assert (hashed, stored(Table.BINDINGS)) == ([], stands)
    for of in ({"source_ip": "203.0.113.10"}, {"scope": "other"}, {"api": "remoteit"}):
        assert attempt(user, RIGHT, **of) is None
    time.now += 1000
    assert attempt(user, RIGHT) is None
    failed(NETWORK, 140, time)
    refused(attempt(user, RIGHT), Reason.LOGIN_THROTTLED, seconds="60")


def test_successful_logins_do_not_count_against_their_network(user: dict[str, str], time: Clock) -> None:
    failed(NETWORK, 101, time)
    time.now += 1000
    for number in range(3):
        assert attempt(user, RIGHT, name=f"good-{number}") is None
    assert counted("network") == [101]


def test_parallel_logins_of_many_names_get_only_free_attempts(
    user: dict[str, str], time: Clock, hashed: list[str]
) -> None:
    failed(NETWORK, 97, time)
    tried = [login_attempts.Attempt("quectel", "app", f"name-{number}", HOME) for number in range(8)]
    found = [dynamodb.get_many(each.reads) for each in tried]
    for each, read in zip(tried, found, strict=True):
        with pytest.raises(Refused):
            each.reserve(read).judge(WRONG, None)
    assert (len(hashed), counted("network")) == (4, [101])
