"""When the agent connects again."""

from collections.abc import Callable

import pytest

from agent.bindery_agent import LIFETIME, Bye, Schedule, parse_bye, parse_lifetime
from tests.agent.link_server import CONNECTED, DATE


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


MINUTE = 60
REPLACED = Bye("replaced", 600)


def test_first_attempt_is_immediate(clock: Clock) -> None:
    assert Schedule(clock, max).wait() == 0


def test_backoff_doubles_from_half_a_second_to_five_minutes(clock: Clock) -> None:
    schedule = Schedule(clock, max)
    waits = []
    for _ in range(1100):
        schedule.failed()
        waits.append(schedule.wait())
    assert waits[:12] == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert set(waits[12:]) == {300}


def test_backoff_has_full_jitter(clock: Clock) -> None:
    schedule = Schedule(clock, min)
    schedule.failed(500)
    schedule.failed(429)
    assert schedule.wait() == 0


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        (lambda schedule: schedule.failed(401), 9 * MINUTE, 11 * MINUTE),
        (lambda schedule: schedule.failed(403), 9 * MINUTE, 11 * MINUTE),
        (lambda schedule: schedule.failed(bye=REPLACED), 600, 660),
        (lambda schedule: schedule.ended(bye=REPLACED), 600, 660),
        (lambda schedule: schedule.online(LIFETIME), 99 * MINUTE, 0.917 * LIFETIME),
    ],
    ids=["401", "403", "bye of an attempt", "bye", "replacement"],
)
def test_wait_is_random_within_limits(
    clock: Clock, change: Callable[[Schedule], None], least: float, most: float
) -> None:
    for chosen, wait in ((min, least), (max, most)):
        schedule = Schedule(clock, chosen)
        change(schedule)
        assert schedule.wait() == pytest.approx(wait)


def test_bye_without_a_pause_still_backs_off(clock: Clock) -> None:
    schedule = Schedule(clock, max)
    for wait in (0.5, 1, 2):
        schedule.online(LIFETIME)
        schedule.ended(Bye("invalid", 0))
        assert schedule.wait() == wait


def test_connection_of_a_minute_ends_a_series_of_failures(clock: Clock) -> None:
    schedule = Schedule(clock, max)
    for lasted, wait in ((0, 0.5), (59, 1), (60, 0.5), (0, 1)):
        schedule.online(LIFETIME)
        clock.now += lasted
        schedule.ended()
        assert schedule.wait() == wait


def test_replaced_connection_ends_a_series_of_failures(clock: Clock) -> None:
    schedule = Schedule(clock, max)
    schedule.failed()
    schedule.failed()
    schedule.online(LIFETIME)
    clock.now += 110 * MINUTE
    schedule.online(LIFETIME)
    schedule.ended()
    assert schedule.wait() == 0.5


def test_lost_connection_does_not_shorten_the_wait_after_a_failed_replacement(clock: Clock) -> None:
    schedule = Schedule(clock, max)
    schedule.online(LIFETIME)
    schedule.failed(403)
    clock.now += MINUTE
    schedule.ended()
    assert schedule.wait() == pytest.approx(10 * MINUTE)
    schedule.ended(Bye("banned", 3600))
    assert schedule.wait() == pytest.approx(66 * MINUTE)


@pytest.mark.parametrize(
    ("until", "date", "lifetime"),
    [
        ((CONNECTED + 7200) * 1000, DATE, 7200),
        ((CONNECTED + 600) * 1000, DATE, 600),
        (CONNECTED * 1000 + 1500, DATE, 1.5),
        ((CONNECTED + 7201) * 1000, DATE, 7200),
        (CONNECTED * 1000, DATE, 7200),
        ((CONNECTED + 600) * 1000, "", 7200),
        ((CONNECTED + 600) * 1000, "yesterday", 7200),
        (None, DATE, 7200),
        ("1795183200000", DATE, 7200),
        (True, DATE, 7200),
        (float("nan"), DATE, 7200),
        (10**400, DATE, 7200),
    ],
)
def test_lifetime_is_measured_by_the_servers_clock(until: object, date: str, lifetime: float) -> None:
    assert parse_lifetime(until, date) == lifetime


@pytest.mark.parametrize(
    ("after", "pause"),
    [(0, 0), (12.5, 12.5), (600, 600), (10**9, 86400), (-1, 600), (None, 600), ("60", 600), (True, 600)],
)
def test_invalid_pause_of_a_bye_is_ten_minutes(after: object, pause: float) -> None:
    assert parse_bye({"type": "bye", "why": "replaced", "after": after}) == Bye("replaced", pause)
