"""Limits on the requests per second of API keys and accounts."""

from collections.abc import Iterator
from typing import Any

import pytest

from bindery.aws.dynamodb import Key
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import api_keys, rates
from bindery.registry import items
from tests import aws_calls, calls, documented
from tests.http_api import Response, admin, invoke
from tests.records import Caller
from tests.sample_requests import Event, sample
from tests.tables import everything, item_at
from tools import template

LIST = "rufus.list_devices"


def operations() -> Iterator[tuple[str, str]]:
    """Yield each operation, with the header of its API key, or `account` for its user's account."""
    for function in template.http_functions():
        api = function.name.partition(".")[0]
        if api in ("rufus", "remoteit"):
            yield function.name, {"rufus": "api_key", "remoteit": "developerkey"}[api]
        if api in ("quectel", "remoteit") and "login" not in function.name:
            yield function.name, "account"


class Time:
    def __init__(self) -> None:
        self.now = clock.now()

    def pass_ms(self, milliseconds: int) -> None:
        self.now += milliseconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "now", lambda: time.now)
    return time


def ask(name: str, caller: Caller) -> Response:
    event = request(name, caller)
    event["requestContext"]["requestId"] = "request-1"
    return invoke(name, event)


def request(name: str, caller: Caller) -> Event:
    headers = caller.headers[name.partition(".")[0]]
    return sample(name, headers, path={"token": headers["token"]} if name == "remoteit.check_token" else None)


def refused(name: str, answer: Response) -> bool:
    """True if a response is the documented one to a request above a limit."""
    return Reason.RATE_EXCEEDED in documented.shown(name, answer.status, answer.body)


def called(name: str, caller: Caller) -> calls.Invocation:
    """Ask, and return the calls of the request."""
    with calls.recording(name) as invocation:
        template.function(name).load()(request(name, caller), None)
    return invocation


def key_of(caller: Caller, header: str = "api_key", api: str = "rufus") -> Key[Any]:
    if header == "account":
        return items.account(caller.account)
    return api_keys.presented(caller.headers[api][header])


def accepted(caller: Caller, requests: int) -> int:
    return sum(ask(LIST, caller).status == 200 for _ in range(requests))


@pytest.mark.parametrize(("name", "limited"), list(operations()))
def test_request_above_the_limit_gets_the_apis_refusal_and_changes_nothing(
    name: str, limited: str, ada: Caller, time: Time
) -> None:
    key = key_of(ada, limited, name.partition(".")[0])
    rates.limit(key, 1, 2)
    for _ in range(2):
        assert not refused(name, ask(name, ada))
    before = everything()
    assert item_at(key)["full_at"] == (time.now + 2000) * 1000
    answer = ask(name, ada)
    assert refused(name, answer)
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1", "Retry-After": "1"}
    assert everything() == before
    # A list reads its products together with the account, so its devices come first.
    reads = ["Query", "BatchGetItem"] if name == "quectel.user_device_list" else ["BatchGetItem"]
    assert called(name, ada).dynamodb in (reads, ["GetItem"])
    time.pass_ms(1000)
    assert not refused(name, ask(name, ada))


def test_retry_after_is_the_time_to_the_next_token_rounded_up(ada: Caller, time: Time) -> None:
    rates.limit(key_of(ada), 1, 1)
    assert accepted(ada, 1) == 1
    for passed, expected in ((0, "1"), (999, "1"), (1, None)):
        time.pass_ms(passed)
        assert ask(LIST, ada).headers.get("Retry-After") == expected


def test_only_each_batch_costs_a_write(ada: Caller, time: Time) -> None:
    rates.limit(key_of(ada), 50, None)
    written = []
    for _ in range(12):
        invocation = called(LIST, ada)
        assert invocation.dynamodb == ["GetItem", "Query"]
        written.append(len(invocation.rates))
        time.pass_ms(1)
    assert written == [0, 0, 0, 0, 1] * 2 + [0, 0]
    # The bucket was full when the first request came, and ten have been added since.
    assert item_at(key_of(ada))["full_at"] == (time.now - 12) * 1000 + 10 * 20_000


@pytest.mark.parametrize("rate", [1, 3, 7, 1000])
def test_caller_at_the_exact_rate_is_never_refused(rate: int, ada: Caller, time: Time) -> None:
    rates.limit(key_of(ada), rate, 1)
    for _ in range(rates.batch(rate) + 1):
        assert accepted(ada, 1) == 1
        time.pass_ms(-(-1000 // rate))


def test_environments_share_a_bucket_with_a_bounded_overshoot(
    ada: Caller, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates.limit(key_of(ada), 100, 50)
    caches: list[Any] = [{} for _ in range(3)]
    overshoot = len(caches) * (rates.batch(100) - 1)

    def burst() -> int:
        """Ask in each environment in turn until all refuse. Return how many requests were accepted."""
        total = 0
        while True:
            found = 0
            for cache in caches:
                monkeypatch.setattr(rates, "_spent", cache)
                found += accepted(ada, 1)
            if not found:
                return total
            total += found

    first = burst()
    assert 50 <= first <= 50 + overshoot
    later = 0
    for _ in range(5):
        time.pass_ms(500)
        later += burst()
    # What one environment did not know at first, it learns later: the overshoot does not add up.
    assert 50 + 250 <= first + later <= 50 + 250 + overshoot


def test_concurrent_environments_lose_no_request(ada: Caller, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of(ada)
    rates.limit(key, 100, None)
    stale = item_at(key)
    caches: list[Any] = [{}, {}]
    for cache in caches:
        monkeypatch.setattr(rates, "_spent", cache)
        for _ in range(10):
            # Both environments read the item before either writes.
            rates.spend(stale)
    full_at = time.now * 1000 + 10 * 10_000
    assert item_at(key)["full_at"] == full_at, "only one of them adds the time for which the bucket was full"
    assert accepted(ada, 1) == 1
    assert item_at(key)["full_at"] == full_at + 11 * 10_000, "the next request adds those of the other"


def test_request_succeeds_if_its_batch_cannot_be_written(
    ada: Caller, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates.limit(key_of(ada), 10, None)

    def throttled(**_: Any) -> None:
        raise aws_calls.error("ThrottlingException")

    with monkeypatch.context() as patch:
        aws_calls.replace(patch, "UpdateItem", throttled)
        assert accepted(ada, 3) == 3
    assert accepted(ada, 8) == 7
    assert item_at(key_of(ada))["full_at"] == (time.now + 1000) * 1000


@pytest.mark.parametrize(("resource", "header"), [("keys", "api_key"), ("accounts", "account")])
def test_operator_sets_and_lifts_a_limit(resource: str, header: str, ada: Caller) -> None:
    key = key_of(ada, header)
    path = f"{resource}/{key.pk.partition('#')[2]}"
    before = item_at(key)
    for body, shown in (({"per_second": 5}, (5, 5)), ({"per_second": 5, "burst": 100}, (5, 100))):
        answer = admin(resource, "PUT", f"{path}/limit", body)
        assert (answer.json()["per_second"], answer.json()["burst"]) == shown
        assert admin(resource, "GET", path).json() == answer.json()
    lifted = admin(resource, "DELETE", f"{path}/limit").json()
    assert (lifted["per_second"], lifted["burst"]) == (None, None)
    assert before.items() <= item_at(key).items()
    assert item_at(key).keys() - before.keys() <= {"changed_by", "changed_at"}
    for wrong in ({}, {"per_second": 0}, {"per_second": 3001}, {"per_second": 1, "burst": 0}):
        assert admin(resource, "PUT", f"{path}/limit", wrong).status == 422
    for method, body in (("PUT", {"per_second": 1}), ("DELETE", None)):
        assert admin(resource, method, f"{resource}/unknown/limit", body).status == 404


def test_changed_limit_starts_with_a_full_bucket(ada: Caller, time: Time) -> None:
    rates.limit(key_of(ada), 1, 20)
    assert accepted(ada, 21) == 20
    rates.limit(key_of(ada), 10, 5)
    assert accepted(ada, 6) == 5
    rates.lift(key_of(ada))
    assert accepted(ada, 10) == 10


def test_rotated_key_passes_its_limit_on(ada: Caller) -> None:
    key = key_of(ada)
    rates.limit(key, 7, 9)
    successor = api_keys.rotate(key.pk.removeprefix("key#"), 60)
    item = item_at(api_keys.presented(successor))
    assert (item["per_second"], item["burst"], "full_at" in item) == (7, 9, False)
