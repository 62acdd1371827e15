"""DynamoDB access: the only module that knows the tables, the client, its errors and its request format.

Callers work on plain items (str, int, bool, None, lists, dicts, sets of str) and give each condition the `Reason` to
raise when it fails. Expressions are DynamoDB's own, with every attribute written `#name`.

Raises `Refused` with `UNAVAILABLE` (or the reason given with a read) when a table cannot be reached or is throttled,
`HotKey` when only one of its key ranges is throttled, and `CONFLICT` when every attempt of a write met a concurrent
write. Any other error of the service is a bug and is not caught.
"""

import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from botocore.exceptions import ClientError

from bindery.aws import clients
from bindery.aws.attribute_values import cursor_of, decode, encode, key_of
from bindery.core import clock, env
from bindery.core.errors import HotKey, Reason, Refused

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

ATTEMPTS = 6
"""How often a transaction in conflict, or the keys a batch left over, are tried; some 0.8 s in all at the most."""

_AGAIN: Mapping[str, Callable[[], Refused]] = MappingProxyType(
    {
        "ProvisionedThroughputExceeded": lambda: Refused(Reason.UNAVAILABLE),
        # A cancelled transaction does not say which limit an on-demand table applied: as a rule that of a key range. A
        # table's own limit also shows in DynamoDB's metrics and in the error that reads get.
        "ThrottlingError": lambda: HotKey(Reason.UNAVAILABLE, "ThrottlingError"),
        "TransactionConflict": lambda: Refused(Reason.CONFLICT),
    }
)
"""Why a cancelled transaction is tried again, and its refusal after the last attempt. The first that applies counts."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_actor: ContextVar[str | None] = ContextVar("_actor", default=None)
_NAME = re.compile(r"#(\w+)")


class Table(StrEnum):
    """The three tables, each by the setting that holds its name."""

    DEVICES = "DEVICES_TABLE"
    BINDINGS = "BINDINGS_TABLE"
    DIRECTORY = "DIRECTORY_TABLE"


class Key(NamedTuple):
    """Where an item stands. `devices` items have a partition key alone; the other tables a sort key too."""

    table: Table
    pk: str
    sk: str | None = None

    def attributes(self) -> Item:
        """The key's own attributes."""
        return {"pk": self.pk} if self.sk is None else {"pk": self.pk, "sk": self.sk}


class Read(NamedTuple):
    """One item of a batch; `unavailable` is what it means if exactly this one cannot be read."""

    key: Key
    unavailable: Reason = Reason.UNAVAILABLE


Verdict = Reason | Callable[[Item], Reason]
"""What a failed condition stands for: a reason, or how to tell it from the item that stood there ({} for none)."""


class Condition(NamedTuple):
    """What must hold for a write, and what it means if it does not.

    `names` says which attribute a `#name` stands for where it is not that of the name; `detail` goes with the refusal.
    """

    expression: str
    otherwise: Verdict
    values: Mapping[str, Any] = _NOTHING
    names: Mapping[str, str] = _NOTHING
    detail: Mapping[str, str] = _NOTHING

    def verdict(self, item: Item) -> Refused:
        """The refusal that the failed condition stands for, given the item that stood there."""
        return Refused(self.otherwise(item) if callable(self.otherwise) else self.otherwise, **self.detail)


class Put(NamedTuple):
    """Write a whole item (its key included by `key`)."""

    key: Key
    item: Item
    condition: Condition | None = None


class Update(NamedTuple):
    """Change some attributes of an item by an update expression, making the item where there is none."""

    key: Key
    expression: str
    values: Mapping[str, Any] = _NOTHING
    condition: Condition | None = None


class Delete(NamedTuple):
    """Remove an item."""

    key: Key
    condition: Condition | None = None


class Check(NamedTuple):
    """Hold a transaction to the state of an item that it does not write."""

    key: Key
    condition: Condition


Write = Put | Update | Delete

_METHODS: dict[type[Write], str] = {Put: "put_item", Update: "update_item", Delete: "delete_item"}
_MEMBERS: dict[type[Write | Check], str] = {Put: "Put", Update: "Update", Delete: "Delete", Check: "ConditionCheck"}


@cache
def client() -> "DynamoDBClient":
    """The client, made once. Its own retries cover throttling and lost answers, within a request's time."""
    return clients.client("dynamodb")


def get(key: Key, *, unavailable: Reason = Reason.UNAVAILABLE) -> Item | None:
    """The item at `key` as the last acknowledged write left it, or None."""
    answer = clients.call(
        unavailable, client().get_item, TableName=_name(key.table), Key=encode(key.attributes()), ConsistentRead=True
    )
    return decode(answer["Item"]) if "Item" in answer else None


def server_seconds() -> int:
    """The second at which DynamoDB answers, by its own clock."""
    nothing = Key(Table.DIRECTORY, "clock", "clock")
    answer = clients.call(
        Reason.UNAVAILABLE, client().get_item, TableName=_name(nothing.table), Key=encode(nothing.attributes())
    )
    return int(parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp())


def get_many(reads: Sequence[Read]) -> list[Item | None]:
    """The items of up to 100 reads in one round trip, in their order, None where there is none.

    Consistent item by item, not among each other: what a write depends on belongs into its conditions. The same key may
    be asked for twice. Raises the `unavailable` reason of the first read that could not be served.
    """
    found: dict[Key, Item] = {}
    left = list(dict.fromkeys(read.key for read in reads))
    by_name = {_name(table): table for table in Table}
    for attempt in range(ATTEMPTS):
        request: dict[str, Any] = {}
        for key in left:
            keys = request.setdefault(_name(key.table), {"Keys": [], "ConsistentRead": True})["Keys"]
            keys.append(encode(key.attributes()))
        first = next(read.unavailable for read in reads if read.key in left)
        answer = clients.call(first, client().batch_get_item, RequestItems=request)
        for name, items in answer["Responses"].items():
            for item in map(decode, items):
                found[Key(by_name[name], item["pk"], item.get("sk"))] = item
        left = [
            Key(by_name[name], key["pk"], key.get("sk"))
            for name, rest in answer.get("UnprocessedKeys", {}).items()
            for key in map(decode, rest["Keys"])
        ]
        if not left:
            return [found.get(read.key) for read in reads]
        _pause(attempt)
    # Other keys of these batches were read: a batch of which DynamoDB serves nothing is an error.
    raise HotKey(next(read.unavailable for read in reads if read.key in left), "UnprocessedKeys")


def query(
    table: Table,
    condition: str,
    values: Mapping[str, Any],
    *,
    index: str | None = None,
    consistent: bool = False,
    round_trips: int = 2,
    unavailable: Reason = Reason.UNAVAILABLE,
) -> Iterator[Item]:
    """The items of one partition that meet a key condition, in key order, read on as far as the caller iterates.

    A round trip brings a megabyte: some two thousand items of ordinary size. What lies beyond `round_trips` of them is
    left out. An index cannot be read consistently: it follows its table within milliseconds as a rule.
    """
    request = _asking(table, condition, values, index) | {"ConsistentRead": consistent}
    for _ in range(round_trips):
        answer = clients.call(unavailable, client().query, **request)
        yield from map(decode, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


class Page(NamedTuple):
    """Part of a partition, and where the next part begins (None: this was the last)."""

    items: list[Item]
    cursor: str | None


def page(
    table: Table,
    condition: str,
    values: Mapping[str, Any],
    *,
    index: str | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page:
    """Up to `limit` items of one partition, from where `cursor` (an earlier page's) says: one round trip.

    Stable under concurrent writes: a cursor is a place in the key order. Raises `INVALID` for a cursor that is none.
    """
    answer = _part(_asking(table, condition, values, index), limit, cursor)
    return Page([decode(item) for item in answer["Items"]], answer["cursor"])


def count(
    table: Table, condition: str, values: Mapping[str, Any], *, index: str | None, limit: int, cursor: str | None
) -> tuple[int, str | None]:
    """How many items `page` would bring, and its cursor, at the same cost: one round trip reads a megabyte at most."""
    answer = _part(_asking(table, condition, values, index) | {"Select": "COUNT"}, limit, cursor)
    return answer["Count"], answer["cursor"]


@contextmanager
def acting(who: str) -> Iterator[None]:
    """Write into every item that is written within who changed it and when (`changed_by`, `changed_at`)."""
    token = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> str | None:
    """Who acts (`acting`), or None."""
    return _actor.get()


def write(operation: Write) -> None:
    """One write. A failed condition raises the reason that it carries.

    When the SDK repeats a put whose answer was lost, the condition meets the caller's own item: that is success. Put
    something of the request's own (a random id) into an item that others might write alike. A conditional update must
    be one that may run twice.
    """
    _write(operation)


def update(operation: Update) -> Item:
    """One update, and the whole item as it is then, which costs no read unit. It must be one that may run twice."""
    return decode(_write(operation, ReturnValues="ALL_NEW")["Attributes"])


def _write(operation: Write, **returned: str) -> dict[str, Any]:
    request = _request(operation, stamp := _stamp())
    method = getattr(client(), _METHODS[type(operation)])
    for attempt in range(ATTEMPTS):
        try:
            return cast("dict[str, Any]", clients.call(Reason.UNAVAILABLE, method, **request, **returned))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException" and operation.condition is not None:
                found = decode(cast("Item", error.response.get("Item", {})))
                if isinstance(operation, Put) and found == operation.key.attributes() | operation.item | stamp:
                    return {}
                raise operation.condition.verdict(found) from None
            if code != "TransactionConflictException":
                raise
        _pause(attempt)
    raise Refused(Reason.CONFLICT)


def transact(operations: Sequence[Write | Check], *, aside: Write | None = None) -> None:
    """All of up to 100 writes or none. The first failed condition, in the order given, raises its reason.

    One idempotency token covers every repetition, so a repetition after a lost answer is the same success. A conflict
    with another request wrote nothing and is tried again. `aside` is a write of no consequence that goes along last: if
    it is what stands in the way, it is left out.
    """
    stamp = _stamp()
    asked = operations if aside is None else [*operations, aside]
    items = [{_MEMBERS[type(operation)]: _request(operation, stamp)} for operation in asked]
    token = str(uuid.uuid4())
    refusal = _AGAIN["TransactionConflict"]
    for attempt in range(ATTEMPTS):
        try:
            clients.call(
                Reason.UNAVAILABLE, client().transact_write_items, TransactItems=items, ClientRequestToken=token
            )
            return
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            reasons = error.response["CancellationReasons"]
            # Without `strict`: what was set aside has no say.
            for operation, reason in zip(operations, reasons, strict=False):
                if reason["Code"] == "ConditionalCheckFailed" and operation.condition is not None:
                    raise operation.condition.verdict(decode(reason.get("Item", {}))) from None
            if len(reasons) > len(operations) and reasons[-1]["Code"] != "None":
                # What is asked now is something else, so the token must be another; nothing was written under it.
                items.pop()
                token = str(uuid.uuid4())
                if all(reason["Code"] == "None" for reason in reasons[:-1]):
                    continue
            codes = {reason["Code"] for reason in reasons}
            found = [fault for code, fault in _AGAIN.items() if code in codes]
            if not found:
                raise
            refusal = found[0]
        _pause(attempt)
    raise refusal()


def _asking(table: Table, condition: str, values: Mapping[str, Any], index: str | None) -> dict[str, Any]:
    """A query of one partition, consistent where that can be."""
    request = {
        "TableName": _name(table),
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": _names(condition),
        "ExpressionAttributeValues": encode(values),
        "ConsistentRead": index is None,
    }
    return request if index is None else request | {"IndexName": index}


def _part(request: dict[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
    """The answer to a query from a cursor on, with the next `cursor`. Raises `INVALID`: the cursor is none."""
    place = {} if cursor is None else {"ExclusiveStartKey": key_of(cursor)}
    try:
        answer = clients.call(Reason.UNAVAILABLE, client().query, **request, Limit=limit, **place)
    except ClientError as error:
        if cursor is not None and error.response["Error"]["Code"] == "ValidationException":
            raise Refused(Reason.INVALID) from None
        raise
    last = answer.get("LastEvaluatedKey")
    return {**answer, "cursor": None if last is None else cursor_of(last)}


def _pause(attempt: int) -> None:
    """Full jitter: 25 ms doubled at every attempt, so that those in each other's way part."""
    # The system's randomness: what Python seeds once, a snapshot of the process would share with all its copies.
    time.sleep(random.SystemRandom().uniform(0, 0.025 * 2**attempt))


def _name(table: Table) -> str:
    return env.read(table.value)


@lru_cache(maxsize=256)
def _names(*expressions: str) -> dict[str, str]:
    return {f"#{name}": name for expression in expressions for name in _NAME.findall(expression)}


def _stamp() -> Item:
    who = _actor.get()
    return {} if who is None else {"changed_by": who, "changed_at": clock.now()}


def _request(operation: Write | Check, stamp: Item) -> dict[str, Any]:
    request: dict[str, Any] = {"TableName": _name(operation.key.table)}
    expressions: list[str] = []
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    if isinstance(operation, Put):
        request["Item"] = encode(operation.key.attributes() | operation.item | stamp)
    else:
        request["Key"] = encode(operation.key.attributes())
    if isinstance(operation, Update):
        expression = _stamped(operation.expression) if stamp else operation.expression
        request["UpdateExpression"] = expression
        expressions.append(expression)
        values |= {**operation.values, **{f":{name}": value for name, value in stamp.items()}}
    if operation.condition is not None:
        request["ConditionExpression"] = operation.condition.expression
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        expressions.append(operation.condition.expression)
        names |= {f"#{name}": attribute for name, attribute in operation.condition.names.items()}
        values |= operation.condition.values
    if names := _names(*expressions) | names:
        request["ExpressionAttributeNames"] = names
    if values:
        request["ExpressionAttributeValues"] = encode(values)
    return request


def _stamped(expression: str) -> str:
    """An update expression that also sets the stamp: it may have one SET clause only."""
    stamp = "SET #changed_by = :changed_by, #changed_at = :changed_at"
    return expression.replace("SET ", f"{stamp}, ", 1) if "SET " in expression else f"{expression} {stamp}"


if env.initialising():
    # The init phase has a whole processor, of which the first request would have a part.
    client()
