"""Each request costs what was recorded: calls, request units, items, bytes, and the size of its log line."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bench import ceilings
from bench.cases import CASES
from bindery.directory import accounts
from bindery.http.operation import logger
from bindery.registry import identity
from tests.conftest import clear_caches
from tests.http_api import invoke
from tests.openid import Bank
from tests.performance import costs, recorded, stories
from tests.performance.refusals import NEVER, NOT_COUNTED, refusals
from tools import template

LOG_LIMIT = 600 - (40 - len("bindery"))
"""Maximum size in bytes of a request's log line, which with a stack name of 40 characters is 600."""

costs.install()


@pytest.fixture
def bank(engine: object, bank: Bank, environment: pytest.MonkeyPatch) -> Bank:
    # As in Lambda, where every log line contains the trace id.
    environment.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
    clear_caches()
    return bank


STORIES = (*stories.STORIES, refusals)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_request_costs_match_the_recorded_costs(
    story: Callable[[stories.World], stories.Story], bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    world = stories.World(bank)
    found: dict[str, dict[str, Any]] = {}
    for case, name, event in story(world):
        caplog.clear()
        with costs.counting() as cost:
            world.last = invoke(name, event)
        log = [logger.registered_formatter.format(line) for line in caplog.records if line.name == "bindery"]
        assert case not in found.setdefault(name, {})
        assert case.startswith("refused") == refused(world.last, name), (name, case, world.last)
        found[name][case] = cost.report(log)
        if reason := json.loads(log[-1]).get("reason"):
            found[name][case]["reason"] = reason
        assert found[name][case]["bytes logged"] <= LOG_LIMIT
    recorded.hold(story.__name__, found)


def refused(answer: Any, name: str) -> bool:
    return answer.status >= 400 or (name.startswith("quectel.") and answer.json()["code"] != 200)


@pytest.mark.parametrize("parts", [1, 16])
def test_partition_of_a_list_gets_its_share_of_first_binds(parts: int, bank: Bank) -> None:
    world = stories.World(bank)
    if parts > 1:
        accounts.spread("demo", parts)
    found = ceilings.units("rufus.bind_device", ceilings.rufus_binds(world))
    written = {key: used for (table, key), used in found.write.items() if table == "BindingsTable/by_holder"}
    assert sum(written.values()) == found.requests
    assert written.keys() <= {identity.account_holder("demo", part) for part in range(parts)}
    assert ceilings.share(parts, 10_000) <= 1.1 / parts


def test_every_public_operation_is_in_a_story() -> None:
    told = {name for story in STORIES for name in recorded.read(story.__name__)}
    assert told == {function.name for function in template.http_functions() if not function.name.startswith("admin.")}


@pytest.mark.parametrize("name", CASES)
def test_every_declared_error_of_a_binding_operation_is_counted_or_excluded(name: str) -> None:
    told = [recorded.read(story.__name__).get(name, {}) for story in STORIES]
    counted = {cost.get("reason") for cases in told for cost in cases.values()}
    assert template.function(name).load().refuses - NOT_COUNTED.keys() - NEVER.get(name, {}).keys() <= counted


@pytest.mark.parametrize("name", CASES)
def test_refused_bind_request_costs_no_more_than_an_accepted_one(name: str) -> None:
    told = [recorded.read(story.__name__).get(name, {}) for story in STORIES]
    units = [("reason" in cost, sum(cost["write units"].values())) for cases in told for cost in cases.values()]
    assert max(written for refused, written in units if refused) <= min(
        written for refused, written in units if not refused
    )
