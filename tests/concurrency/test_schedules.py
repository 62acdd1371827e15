"""Tests of the explorer: it runs every schedule once, finds faulty rules, and accepts correct ones."""

from collections.abc import Callable

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put, Table
from bindery.aws.expressions import equals
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings
from tests.concurrency import schedules
from tests.concurrency.schedules import Request
from tests.http_api import Response

pytestmark = pytest.mark.usefixtures("registry")

COUNTER = Key(Table.DIRECTORY, "counter", "counter")


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


def add() -> Response:
    count = read() + 1
    try:
        # The put has its own id: DynamoDB treats a put of an identical item as a client's retry.
        item = {"count": count, "by": bindings.new_id()}
        dynamodb.write(Put(COUNTER, item, equals("count", count - 1).raises(Reason.CONFLICT)))
    except Refused:
        return Response(503, {"Retry-After": "1"}, "try again")
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


@pytest.mark.parametrize(("calls", "count"), [((1, 3), 4), ((0, 2), 1), ((2, 2, 2), 90), ((5,), 1)])
def test_every_schedule_is_run_once(calls: tuple[int, ...], count: int) -> None:
    runs = [tuple(maker for maker, _ in run.calls) for run in schedules.explore(of(*map(look, calls)))]
    assert len(runs) == len(set(runs)) == count
    assert all(sorted(run) == [n for n, times in enumerate(calls) for _ in range(times)] for run in runs)


@pytest.mark.parametrize(
    "rules", [(lose, add), (lose, lose), (add, add, lose), (lose, look(3)), (look(2), add, at_once)]
)
def test_equivalent_schedules_have_the_same_end_state(rules: tuple[Rule, ...]) -> None:
    def ends(alike: bool) -> list[object]:
        return [(run.answers, str(run.tables)) for run in schedules.explore(of(*rules), alike=alike)]

    every, some = ends(alike=True), ends(alike=False)
    assert set(every) == set(some)
    assert len(every) > len(some)


def test_lost_update_is_found_and_shown() -> None:
    with pytest.raises(AssertionError) as shown:
        schedules.check(of(lose, lose))
    text = str(shown.value)
    assert (
        "  a: GetItem counter counter\n  b: GetItem counter counter\n  a: PutItem counter counter\n  b: PutItem" in text
    )
    assert "a, then b:\n    b would be answered Answer(status=200, body='2', again=False)" in text
    assert "DIRECTORY ('counter', 'counter'):\n      count: 1, not 2" in text
