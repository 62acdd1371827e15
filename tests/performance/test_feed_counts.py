"""The feed's functions call for each change what was recorded, and the APIs call nothing for it."""

from collections.abc import Callable
from itertools import count

import pytest

from bindery.feed import people
from bindery.http.operation import logger
from tests import calls, device_link
from tests.conftest import clear_caches
from tests.feed import STREAMS, handle
from tests.performance import costs, feed_cases, recorded
from tools import template

costs.install()


@pytest.fixture(autouse=True)
def fresh(engine: object, environment: pytest.MonkeyPatch) -> None:
    clear_caches()
    # The log has the numbers of connections and messages.
    environment.setattr(device_link, "_numbers", count(1))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [logger.registered_formatter.format(line) for line in caplog.records if line.name == "bindery"]


@pytest.mark.parametrize("case", feed_cases.CASES, ids=lambda case: case.__name__)
def test_recording_of_a_change_costs_what_was_recorded(
    case: Callable[[], feed_cases.Act], environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = feed_cases.captured(environment)
    act = case()
    # Devices have a chain, and nothing else was recorded.
    handle([record for record in feed.pending() if "sk" not in record["dynamodb"]["Keys"]])
    act()
    batches = list(feed_cases.batches(feed.pending()))
    people.clear_cache()
    caplog.clear()
    before = len(feed.bus.published)
    found: list[calls.Invocation] = []
    with costs.counting() as cost:
        for batch in batches:
            with calls.recording("feed.record") as invocation:
                assert template.function("feed.record").load()({"Records": batch}, None) == {"batchItemFailures": []}
            found.append(invocation)
    events = len(feed.bus.published) - before
    recorded.hold(f"feed: {case.__name__}", feed_cases.report(found, cost, lines(caplog), events))


def test_delivery_costs_what_was_recorded(environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    feed = feed_cases.captured(environment)
    started = feed_cases.subscribe(environment)
    feed_cases.first_bind()()
    handle(feed.pending())
    (event,) = started
    for name, asked in (("delivery", event), ("nothing_due", {})):
        caplog.clear()
        with costs.counting() as cost:
            invocation = feed_cases.deliver(asked)
        recorded.hold(f"feed: {name}", feed_cases.report([invocation], cost, lines(caplog), 0))


def test_no_request_of_an_api_reads_or_writes_the_history() -> None:
    tables = {table.name.capitalize() + "Table" for table in STREAMS} | {"FramesTable"}
    for dialect in ("rufus", "quectel", "asseco", "remoteit", "vodlix"):
        for name, cases in recorded.read(dialect).items():
            for case, cost in cases.items():
                used = {each.partition("/")[0] for units in ("read units", "write units") for each in cost[units]}
                assert used <= tables, (name, case)
