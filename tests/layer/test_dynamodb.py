"""DynamoDB adapter: the reasons raised for its errors, retries, and the types of values."""

import json
import time
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete, Key, Partition, Put, Read, Table
from bindery.aws.errors import ConnectionFailed, ServiceError
from bindery.aws.expressions import absent, exists
from bindery.aws.responses import Response
from bindery.core.errors import HotKey, Reason, Refused
from bindery.registry.items import BY_LIST
from tests import aws_calls, aws_responses
from tests.aws_calls import error
from tests.layer.refusals import refused
from tests.tables import NOTHING, everything, stored

pytestmark = pytest.mark.usefixtures("registry")

HERE: Key[Any] = Key(Table.DEVICES, "here")
THERE: Key[Any] = Key(Table.BINDINGS, "there", "owner")
ABSENT = absent().raises(Reason.ALREADY_BOUND)
PRESENT = exists().raises(Reason.DEVICE_UNKNOWN)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "_pause", lambda attempt: None)


def failing(monkeypatch: pytest.MonkeyPatch, method: str, *outcomes: BaseException) -> list[dict[str, Any]]:
    """Make a client's method raise these errors, one per call, and return its requests from now on."""
    real = aws_calls.real(method)
    left = iter(outcomes)
    asked: list[dict[str, Any]] = []

    def call(**request: Any) -> Any:
        asked.append(request)
        outcome = next(left, None)
        if outcome is None:
            return real(**request)
        raise outcome

    aws_calls.replace(monkeypatch, method, call)
    return asked


def test_every_type_of_value_is_read_as_it_was_written() -> None:
    item = {
        "text": "é",
        "empty": "",
        "number": 2**63,
        "negative": -1,
        "yes": True,
        "no": False,
        "nothing": None,
        "set": {"a", "b"},
        "list": [1, "a", None, [True]],
        "map": {"a": {"b": 1}},
    }
    dynamodb.write(Put(HERE, item))
    assert dynamodb.get(HERE) == {"pk": "here"} | item


def test_value_of_another_type_is_refused_before_the_write() -> None:
    with pytest.raises(TypeError, match="float"):
        dynamodb.write(Put(HERE, {"ratio": 0.5}))
    assert stored(Table.DEVICES) == []


def test_failed_condition_raises_its_reason_or_the_items_reason() -> None:
    dynamodb.write(Put(HERE, {"holder": "me"}))
    before = everything()
    told = absent().raises(lambda item: Reason.ALREADY_BOUND if item["holder"] == "me" else Reason.BOUND_BY_ANOTHER)
    for condition in (ABSENT, told):
        assert refused(lambda: dynamodb.write(Put(HERE, {"n": 1}, condition))) is Reason.ALREADY_BOUND  # noqa: B023
        assert refused(lambda: dynamodb.transact([Put(HERE, {"n": 1}, condition)])) is Reason.ALREADY_BOUND  # noqa: B023
    assert everything() == before


def test_first_failed_condition_decides_and_nothing_is_written() -> None:
    operations = [Put(THERE, {"n": 1}), Check(HERE, PRESENT), Delete(Key(Table.DEVICES, "x"), PRESENT)]
    assert refused(lambda: dynamodb.transact(operations)) is Reason.DEVICE_UNKNOWN
    assert everything() == NOTHING


def test_put_that_finds_its_own_item_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    # The AWS client gets this error when it retries a put whose response was lost.
    dynamodb.write(Put(HERE, {"binding": "mine", "n": 1}))
    dynamodb.write(Put(HERE, {"binding": "mine", "n": 1}, ABSENT))
    assert refused(lambda: dynamodb.write(Put(HERE, {"binding": "theirs", "n": 1}, ABSENT))) is Reason.ALREADY_BOUND


def test_retries_of_a_transaction_use_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    conflict = error("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}])
    asked = failing(monkeypatch, "TransactWriteItems", conflict, conflict)
    dynamodb.transact([Put(HERE, {"n": 1}, ABSENT)])
    dynamodb.transact([Put(Key(Table.DEVICES, "x"), {"n": 1}, ABSENT)])
    one, again, at_last, another = (request["ClientRequestToken"] for request in asked)
    assert one == again == at_last != another
    assert len(stored(Table.DEVICES)) == 2


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (("None", "TransactionConflict"), Reason.CONFLICT),
        (("None", "ProvisionedThroughputExceeded"), Reason.UNAVAILABLE),
        (("ThrottlingError", "ProvisionedThroughputExceeded"), Reason.UNAVAILABLE),
        # On-demand tables do not distinguish a hot key range from a throttled table.
        (("None", "ThrottlingError"), Reason.CONFLICT),
        (("TransactionConflict", "ThrottlingError"), Reason.CONFLICT),
    ],
)
def test_failed_transaction_is_a_conflict_or_unavailable(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[str, str], reason: Reason
) -> None:
    reasons = [{"Code": code} for code in codes]
    failing(
        monkeypatch,
        "TransactWriteItems",
        *[error("TransactionCanceledException", CancellationReasons=reasons)] * dynamodb.ATTEMPTS,
    )
    with pytest.raises(Refused) as caught:
        dynamodb.transact([Put(HERE, {}), Put(THERE, {})])
    assert caught.value.reason is reason
    hot = "ThrottlingError" in codes and reason is Reason.CONFLICT
    assert isinstance(caught.value, HotKey) is hot
    assert everything() == NOTHING


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ConditionalCheckFailed"])
def test_best_effort_write_is_dropped_if_it_fails(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        aws_calls, "before", [*aws_calls.before, lambda service, operation, request: sent.append(request)]
    )
    dynamodb.transact([Put(HERE, {"n": 1})], aside=THERE.update(set={"n": 1}))
    assert dynamodb.get(THERE) == THERE.attributes() | {"n": 1}
    both = error("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}, {"Code": code}])
    alone = error("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": code}])
    for number, outcome in enumerate((both, alone), 2):
        asked = failing(monkeypatch, "TransactWriteItems", outcome)
        dynamodb.transact([Put(HERE, {"n": number})], aside=THERE.update(set={"n": number}))
        # The request without the best-effort write is a different request, so it needs a new token.
        assert len({request["ClientRequestToken"] for request in asked}) == len(asked) == 2
        assert dynamodb.get(HERE) == {"pk": "here", "n": number}
        assert dynamodb.get(THERE) == THERE.attributes() | {"n": 1}
    assert [len(request["TransactItems"]) for request in sent if "TransactItems" in request] == [2, 1, 1]


def test_best_effort_write_neither_causes_nor_hides_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    dynamodb.write(Put(THERE, {"n": 1}))
    stands = everything()
    aside = THERE.update(set={"n": 2})
    assert refused(lambda: dynamodb.transact([Check(HERE, PRESENT)], aside=aside)) is Reason.DEVICE_UNKNOWN
    assert everything() == stands
    never = Put(THERE, {"n": 2}, ABSENT)
    dynamodb.transact([Put(HERE, {"n": 2})], aside=never)
    assert dynamodb.get(HERE) == {"pk": "here", "n": 2}
    assert dynamodb.get(THERE) == THERE.attributes() | {"n": 1}


def test_single_write_conflicting_with_a_transaction_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "UpdateItem", error("TransactionConflictException"))
    dynamodb.write(HERE.update(set={"n": 1}))
    assert dynamodb.get(HERE) == {"pk": "here", "n": 1}
    failing(monkeypatch, "PutItem", *[error("TransactionConflictException")] * dynamodb.ATTEMPTS)
    assert refused(lambda: dynamodb.write(Put(HERE, {"n": 2}))) is Reason.CONFLICT


UNREACHABLE = [
    error("ProvisionedThroughputExceededException"),
    error("ThrottlingException"),
    error("RequestLimitExceeded"),
    error("InternalServerError"),
    error("TransactionInProgressException"),
    error("503", 503),
    ConnectionFailed("EndpointConnectionError"),
    ConnectionFailed("TimeoutError", timed_out=True),
]


@pytest.mark.parametrize("outage", UNREACHABLE, ids=lambda outage: type(outage).__name__)
def test_unreachable_table_is_unavailable_or_the_reads_reason(
    monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    refused_calls(monkeypatch, outage, Reason.UNAVAILABLE, hot=False)


def refused_calls(monkeypatch: pytest.MonkeyPatch, outage: Exception, usual: Reason, *, hot: bool) -> None:
    """Check that every kind of call raises `usual` after this error, unless a read has a reason of its own."""
    for method in ("GetItem", "BatchGetItem", "PutItem", "TransactWriteItems", "Query"):
        failing(monkeypatch, method, *[outage] * 3)
    for call, reason in (
        (lambda: dynamodb.get(HERE), usual),
        (lambda: dynamodb.get(HERE, unavailable=Reason.LOOKUP_FAILED), Reason.LOOKUP_FAILED),
        (lambda: dynamodb.get_many([Read(HERE, Reason.LOOKUP_FAILED)]), Reason.LOOKUP_FAILED),
        (lambda: dynamodb.write(Put(HERE, {})), usual),
        (lambda: dynamodb.transact([Put(HERE, {})]), usual),
        (lambda: list(dynamodb.query(Partition(Table.BINDINGS, "x"))), usual),
    ):
        with pytest.raises(Refused) as caught:
            call()
        assert (caught.value.reason, isinstance(caught.value, HotKey)) == (reason, hot)


@pytest.mark.parametrize(
    ("reasons", "hot"),
    [
        (["TableWriteKeyRangeThroughputExceeded"], True),
        (["TableReadKeyRangeThroughputExceeded", "IndexReadKeyRangeThroughputExceeded"], True),
        (["TableWriteAccountLimitExceeded"], False),
        (["IndexReadMaxOnDemandThroughputExceeded"], False),
        (["TableWriteProvisionedThroughputExceeded"], False),
        (["TableReadKeyRangeThroughputExceeded", "TableReadAccountLimitExceeded"], False),
        ([], False),
    ],
    ids=str,
)
def test_throttled_key_is_conflict_and_throttled_table_outage(
    monkeypatch: pytest.MonkeyPatch, reasons: list[str], hot: bool
) -> None:
    found = [{"reason": reason, "resource": "arn:aws:dynamodb:eu-central-1:1:table/t"} for reason in reasons]
    throttled = error("ThrottlingException", ThrottlingReasons=found)
    refused_calls(monkeypatch, throttled, Reason.CONFLICT if hot else Reason.UNAVAILABLE, hot=hot)


@pytest.mark.parametrize(
    ("code", "member"),
    [
        ("ThrottlingException", "throttlingReasons"),
        ("ProvisionedThroughputExceededException", "ThrottlingReasons"),
        ("RequestLimitExceeded", "ThrottlingReasons"),
    ],
)
def test_throttling_reasons_are_read_from_the_dynamodb_response(
    monkeypatch: pytest.MonkeyPatch, code: str, member: str
) -> None:
    reason = "TableReadKeyRangeThroughputExceeded"
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", member: [{"reason": reason}]})
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with (
        aws_responses.answered(dynamodb.client(), lambda *_: Response(400, {}, body.encode())),
        pytest.raises(HotKey) as caught,
    ):
        dynamodb.get(HERE)
    assert caught.value.throttled == reason


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"])
def test_any_other_error_is_raised_unchanged(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    for method in ("GetItem", "PutItem", "TransactWriteItems"):
        failing(monkeypatch, method, error(code))
    for call in (
        lambda: dynamodb.get(HERE),
        lambda: dynamodb.write(Put(HERE, {})),
        lambda: dynamodb.transact([Put(HERE, {})]),
    ):
        with pytest.raises(ServiceError, match=code):
            call()


def leaving(monkeypatch: pytest.MonkeyPatch, rounds: int) -> list[dict[str, Any]]:
    """Make the first `rounds` batches leave the keys of devices unprocessed, and return the batches from now on."""
    real = aws_calls.real("BatchGetItem")
    asked: list[dict[str, Any]] = []

    def call(RequestItems: dict[str, Any]) -> Any:
        asked.append(RequestItems)
        left = {name: keys for name, keys in RequestItems.items() if name == "DevicesTable" and len(asked) <= rounds}
        rest = {name: keys for name, keys in RequestItems.items() if name not in left}
        return (real(RequestItems=rest) if rest else {"Responses": {}}) | {"UnprocessedKeys": left}

    aws_calls.replace(monkeypatch, "BatchGetItem", call)
    return asked


def test_unprocessed_keys_are_requested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dynamodb.write(Put(HERE, {"n": 1}))
    dynamodb.write(Put(THERE, {"n": 2}))
    batches = leaving(monkeypatch, 2)
    found = dynamodb.get_many([Read(HERE), Read(THERE)])
    assert [item and item["n"] for item in (found[HERE], found[THERE])] == [1, 2]
    assert len(batches) == 3


def test_key_left_unprocessed_raises_its_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    leaving(monkeypatch, 100)
    reads = [Read(THERE, Reason.LOOKUP_FAILED), Read(HERE, Reason.SERIAL_LOOKUP_FAILED)]
    with pytest.raises(HotKey) as caught:
        dynamodb.get_many(reads)
    assert caught.value.reason is Reason.SERIAL_LOOKUP_FAILED


def test_count_equals_the_number_of_items_on_a_page() -> None:
    for number in range(7):
        dynamodb.write(Put(Key(Table.DIRECTORY, "many", f"{number}"), {"collection": "counted"}))
    for partition in (Partition(Table.DIRECTORY, "many"), Partition(Table.DIRECTORY, "counted", BY_LIST)):
        first, cursor = dynamodb.count(partition, 3, None)
        page = dynamodb.page(partition, 3)
        assert (first, cursor) == (len(page.items), page.cursor)
        assert dynamodb.count(partition, 9, cursor) == (4, None)


def test_query_follows_its_pages_within_its_round_trips() -> None:
    for number in range(25):
        dynamodb.write(Put(Key(Table.DIRECTORY, "many", f"{number:02}"), {"pad": "x" * 100_000}))
    found = [
        [
            item["sk"]
            for item in dynamodb.query(Partition(Table.DIRECTORY, "many"), consistent=True, round_trips=round_trips)
        ]
        for round_trips in (1, 2, 3)
    ]
    assert found[2] == [f"{number:02}" for number in range(25)]
    assert 0 < len(found[0]) < len(found[1]) < len(found[2])
    assert found[1] == found[2][: len(found[1])]
