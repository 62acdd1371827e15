"""Retries: what is repeated, with which pauses, and the quota that ends them."""

import uuid

import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from bindery.aws import connections, direct, errors
from bindery.aws.errors import ConnectionFailed, ServiceError
from tests.layer.aws.conftest import CLIENTS, Start, dial, name_of
from tests.layer.aws.servers import Server, correct, end, error, reset, silent

every_client = pytest.mark.parametrize("kind", CLIENTS)

INTERNAL = error("500 Internal Server Error", "InternalServerError")
THROTTLED = error("400 Bad Request", "ThrottlingException")


def test_errors_that_are_repeated_are_those_of_botocore() -> None:
    assert set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES) == errors.THROTTLED
    assert set(TransientRetryableChecker._TRANSIENT_ERROR_CODES) == errors.TRANSIENT
    assert set(TransientRetryableChecker._TRANSIENT_STATUS_CODES) == direct._TRANSIENT_STATUSES


@every_client
@pytest.mark.parametrize("fault", [reset, INTERNAL, THROTTLED])
@pytest.mark.parametrize("given", [{}, {"ClientRequestToken": "of the caller"}])
def test_repeated_transaction_has_the_same_token(kind: str, fault: object, given: dict[str, str], start: Start) -> None:
    server = start(fault, fault)
    client = dial(kind)
    request = {"TransactItems": [{"Delete": {"TableName": "t", "Key": {"pk": {"S": "it"}}}}]}
    client.call("TransactWriteItems", **request, **given)
    client.call("TransactWriteItems", **request, **given)
    first, second, third, other = (request.members()["ClientRequestToken"] for request in server.requests)
    assert first == second == third
    if given:
        assert first == other == "of the caller"
    else:
        assert first != other
        assert str(uuid.UUID(first)) == first


def attempts(client: object, server: Server) -> int:
    before = len(server.requests)
    with pytest.raises((ServiceError, ConnectionFailed)):
        name_of(client, "one")
    return len(server.requests) - before


@every_client
@pytest.mark.parametrize(("fault", "retries"), [(INTERNAL, 35), (THROTTLED, 100), (end, 35)])
def test_exhausted_quota_ends_retries(kind: str, fault: object, retries: int, start: Start) -> None:
    server = start(reply=fault)
    client = dial(kind)
    made = [attempts(client, server) for _ in range(retries // 2 + 4)]
    assert sum(made) - len(made) == retries
    assert made[-2:] == [1, 1]


@every_client
def test_successes_refill_the_quota(kind: str, start: Start) -> None:
    successes = 14 + 10
    server = start(*[INTERNAL] * (17 * 3 + 2 + 1), *[correct] * successes, reply=INTERNAL)
    client = dial(kind)
    assert [attempts(client, server) for _ in range(19)] == [3] * 17 + [2, 1]
    # What is left of 500 after 35 retries at 14 is 10: four more successes allow a retry, fourteen more another.
    for _ in range(successes):
        name_of(client, "one")
    assert [attempts(client, server) for _ in range(2)] == [3, 1]


@every_client
def test_successful_retry_returns_its_cost(kind: str, start: Start) -> None:
    server = start(*[INTERNAL, correct] * 50, reply=INTERNAL)
    client = dial(kind)
    for _ in range(50):
        name_of(client, "one")
    assert attempts(client, server) == 3


def test_quota_never_exceeds_its_limit(start: Start) -> None:
    server = start(*[correct] * 20, reply=INTERNAL)
    client = dial()
    for _ in range(20):
        name_of(client, "one")
    made = [attempts(client, server) for _ in range(20)]
    assert sum(made) - len(made) == 35


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_pauses_are_random_and_grow(
    monkeypatch: pytest.MonkeyPatch, chance: float, start: Start, pauses: list[float]
) -> None:
    monkeypatch.setattr(
        direct.random.SystemRandom, "uniform", lambda self, least, most: least + chance * (most - least)
    )
    start(reply=INTERNAL)
    client = dial()
    with pytest.raises(ServiceError):
        name_of(client, "one")
    assert pauses == [0.1 * chance, 0.2 * chance]


def test_time_out_of_idle_connection_causes_a_pause(
    monkeypatch: pytest.MonkeyPatch, start: Start, pauses: list[float]
) -> None:
    server = start(correct, silent)
    monkeypatch.setattr(connections, "RESPONSE_TIMEOUT", 0.5)
    client = dial()
    assert name_of(client, "one") == "one"
    assert name_of(client, "two") == "two"
    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert len(pauses) == 1
