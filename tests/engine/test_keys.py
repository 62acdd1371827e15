"""Parallel requests for keys, on an engine that supports them: an account's limits hold."""

from collections import Counter

import pytest

from bindery.aws.dynamodb import Table
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, api_keys
from bindery.directory.api_keys import Grant, Kind
from tests.concurrency.races import at_once
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("engine")


def test_parallel_key_creation_never_exceeds_the_limit() -> None:
    accounts.create("acme", name="Acme")

    def issue(number: int) -> Reason | None:
        try:
            api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(number))
        except Refused as fault:
            return fault.reason
        return None

    assert Counter(at_once(issue, 20)) == {None: api_keys.LIVE_LIMIT, Reason.LIMIT_REACHED: 20 - api_keys.LIVE_LIMIT}
    assert sum(item["sk"] == "key" for item in stored(Table.DIRECTORY)) == api_keys.LIVE_LIMIT


def test_parallel_rotations_create_one_successor_per_key() -> None:
    accounts.create("acme", name="Acme")
    ids = [api_keys.id_of(api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(number))) for number in range(10)]

    def act(number: int) -> Reason | None:
        try:
            if number < 20:
                api_keys.rotate(ids[number % 10], 3600)
            else:
                api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="new")
        except Refused as fault:
            return fault.reason
        return None

    outcomes = at_once(act, 25)

    (account,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "account"]
    live = account["live_keys"]
    assert len(live["rufus"]) == 10
    rotated = outcomes[:20].count(None)
    assert len(live["rotated"]) == rotated == len(set(ids) - live["rufus"].keys())
    # The other requests were too late, or had so many conflicts that they may be retried.
    assert set(outcomes[:20]) <= {None, Reason.STATUS_NOT_VALID, Reason.CONFLICT}
    assert set(outcomes[20:]) <= {Reason.LIMIT_REACHED, Reason.CONFLICT}
    assert sum(item["sk"] == "key" for item in stored(Table.DIRECTORY)) == 10 + rotated
