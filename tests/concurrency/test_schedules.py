"""The explorer itself: it runs every schedule once, finds what is wrong with a rule, and nothing where all is right."""

from collections.abc import Callable

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put, Table
from bindery.aws.expressions import equals
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings
from tests import moto_registry
from tests.concurrency import schedules
from tests.concurrency.schedules import Request
from tests.http_api import Response

pytestmark = pytest.mark.usefixtures("registry")

COUNTER = Key(Table.DIRECTORY, "counter", "counter")
OTHER = Key(Table.DIRECTORY, "other", "other")


@pytest.fixture(autouse=True)
def counter(registry: None) -> None:
    dynamodb.write(Put(COUNTER, {"count": 0}))


Rule = Callable[[], Response]


def read() -> int:
    item = dynamodb.get(COUNTER)
    assert item is not None
    return int(item["count"])


def told(count: int) -> Response:
    return Response(200, {}, str(count))


def lose() -> Response:
    count = read() + 1
    dynamodb.write(Put(COUNTER, {"count": count}))
    return told(count)


def add(key: Key = COUNTER, *, told_again: bool = True, early: bool = False) -> Response:
    count = read() + 1
    condition = equals("count", count - 1).raises(Reason.CONFLICT)
    if early:
        dynamodb.write(Put(OTHER, {"count": count}))
    try:
        # With an id of its own: a put that meets its very item takes itself for a repetition of the SDK's.
        dynamodb.write(Put(key, {"count": count, "by": bindings.new_id()}, condition))
    except Refused:
        return Response(503, {"Retry-After": "1"} if told_again else {}, "try again")
    return told(count)


def at_once() -> Response:
    dynamodb.write(COUNTER.update(add={"count": 1}))
    return Response(200, {}, "")


def look(times: int) -> Rule:
    def ask() -> Response:
        for _ in range(times):
            read()
        return Response(200, {}, "")

    return ask


def of(*asked: Rule) -> list[Request]:
    return [Request("abc"[number], ask) for number, ask in enumerate(asked)]


@pytest.mark.parametrize(
    ("calls", "count"),
    [((2, 2), 6), ((1, 3), 4), ((3, 3), 20), ((0, 2), 1), ((1, 1, 1), 6), ((2, 2, 2), 90), ((1, 2, 3), 60), ((5,), 1)],
)
def test_every_schedule_is_run_once(calls: tuple[int, ...], count: int) -> None:
    runs = [tuple(maker for maker, _ in run.calls) for run in schedules.explore(of(*map(look, calls)))]
    assert len(runs) == len(set(runs)) == count
    assert all(sorted(run) == [n for n, times in enumerate(calls) for _ in range(times)] for run in runs)


def test_what_a_request_does_may_depend_on_what_came_before() -> None:
    def stop_if_counted() -> Response:
        return told(read()) if read() else lose()

    runs = ["".join("ab"[maker] for maker, _ in run.calls) for run in schedules.explore(of(stop_if_counted, at_once))]
    # Once b has counted, a's first call finds it, and its second is its last.
    assert runs == ["aaab", "aaba", "abaa", "baa"]


@pytest.mark.parametrize(
    "rules", [(lose, add), (lose, lose), (add, add, lose), (lose, look(3)), (look(2), add, at_once)]
)
def test_schedules_that_are_alike_all_end_as_the_one_that_is_run(rules: tuple[Rule, ...]) -> None:
    def ends(alike: bool) -> list[object]:
        return [(run.answers, str(run.tables)) for run in schedules.explore(of(*rules), alike=alike)]

    every, some = ends(alike=True), ends(alike=False)
    assert set(every) == set(some)
    assert len(every) > len(some)


def test_a_lost_update_is_found_and_shown() -> None:
    with pytest.raises(AssertionError) as shown:
        schedules.check(of(lose, lose))
    text = str(shown.value)
    assert (
        "  a: GetItem counter counter\n  b: GetItem counter counter\n  a: PutItem counter counter\n  b: PutItem" in text
    )
    assert "a, then b:\n    b would be answered Answer(status=200, body='2', again=False)" in text
    assert "DIRECTORY ('counter', 'counter'):\n      count: 1, not 2" in text


@pytest.mark.parametrize("rule", [at_once, add])
def test_a_rule_that_loses_nothing_is_right(rule: Rule) -> None:
    assert schedules.check(of(rule, rule)) == (2 if rule is at_once else 4)
    assert read() == 0


def test_three_requests_are_held_to_the_orders_of_three() -> None:
    assert schedules.check(of(add, add, add)) == 36
    with pytest.raises(AssertionError, match="a, then c, then b:"):
        schedules.check(of(at_once, lose, at_once))


def test_who_is_told_to_try_again_has_changed_nothing() -> None:
    with pytest.raises(AssertionError, match="other"):
        schedules.check(of(at_once, lambda: add(early=True)))


def test_who_was_refused_for_another_reason_must_have_met_it_in_some_order() -> None:
    with pytest.raises(AssertionError, match="b would be answered"):
        schedules.check(of(at_once, lambda: add(told_again=False)))


def test_a_request_that_nobody_disturbs_is_not_told_to_try_again() -> None:
    with pytest.raises(AssertionError, match="alone"):
        schedules.check(of(lambda: Response(503, {"Retry-After": "1"}, "") if read() else at_once(), at_once))


def test_what_was_answered_before_another_request_began_came_before_it() -> None:
    def from_a_cache() -> Response:
        (item,) = moto_registry.tables()["DIRECTORY"]
        look(1)()
        return told(item["count"])

    # Answered from before a's write, which is no wrong order of the two, but for b's only call, which came after it.
    with pytest.raises(AssertionError) as shown:
        schedules.check(of(at_once, from_a_cache))
    assert "a, then b:" in str(shown.value)
    assert "b, then a:" not in str(shown.value)


def test_what_no_state_may_be_is_found_in_any_end_state() -> None:
    with pytest.raises(AssertionError, match="it is 2"):
        schedules.check(
            of(at_once, at_once),
            lambda tables: ["it is 2"] if tables["DIRECTORY"][0]["count"] == 2 else [],
        )


def test_each_schedule_starts_from_the_same_state_and_leaves_it_in_the_end() -> None:
    before = moto_registry.tables()
    ends = [run.tables["DIRECTORY"][0]["count"] for run in schedules.explore(of(at_once, at_once))]
    assert ends == [2, 2]
    assert moto_registry.tables() == before
