"""DynamoDB access: the only module that knows the tables, the client, its errors and its request format.

Callers work on plain items (str, int, bool, None, lists, dicts, sets of str) and give each condition the `Reason` to
raise when it fails. Expressions are DynamoDB's own, with every attribute written `#name`.

Raises `Refused` with `UNAVAILABLE` (or the reason given with a read) when a table cannot be reached or is throttled,
`HotKey` when only one of its key ranges is throttled, and `CONFLICT` when every attempt of a write met a concurrent
write. Any other error of the service is a bug and is not caught.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, cast

from botocore.exceptions import ClientError
from typing_extensions import TypeVar

from bindery.aws import clients
from bindery.aws.attribute_values import cursor_of, decode, encode, key_of
from bindery.aws.expressions import NOTHING, Condition, Path, Placeholders
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
_actor: ContextVar[str | None] = ContextVar("_actor", default=None)


class Table(StrEnum):
    """The three tables, each by the setting that holds its name."""

    DEVICES = "DEVICES_TABLE"
    BINDINGS = "BINDINGS_TABLE"
    DIRECTORY = "DIRECTORY_TABLE"


_NO_MEMBERS: Mapping[tuple[str, ...], Any] = MappingProxyType({})

T = TypeVar("T", bound=Mapping[str, Any], default=dict[str, Any])
"""The kind of an item: a TypedDict of `bindery.registry.items`."""


class Key(NamedTuple, Generic[T]):
    """Location of an item, and the writes to it. `devices` items have only a partition key.

    Each write takes the condition under which it succeeds, with the reason to raise if it fails (`Condition.raises`).
    """

    table: Table
    pk: str
    sk: str | None = None

    def attributes(self) -> Item:
        """Return the key attributes."""
        return {"pk": self.pk} if self.sk is None else {"pk": self.pk, "sk": self.sk}

    def put(self, item: T, *, when: Condition | None = None) -> "Put":
        """Replace the whole item; the key attributes are added."""
        return Put(self, item, when)

    def update(
        self,
        *,
        set: T | None = None,  # noqa: A002 (DynamoDB's own word)
        once: T | None = None,
        add: T | None = None,
        delete: T | None = None,
        remove: Sequence[Path] = (),
        members: Mapping[tuple[str, ...], Any] = _NO_MEMBERS,
        when: Condition | None = None,
    ) -> "Update":
        """Change attributes, creating the item if it does not exist.

        `set` replaces values, `once` sets those that do not exist yet, `add` increments numbers and adds to sets,
        `delete` removes members of sets, `remove` removes attributes or map members, and `members` sets map members.
        """
        return Update(self, set or NOTHING, once or NOTHING, add or NOTHING, delete or NOTHING, remove, members, when)

    def delete(self, *, when: Condition | None = None) -> "Delete":
        """Remove the item."""
        return Delete(self, when)

    def check(self, when: Condition) -> "Check":
        """Make a transaction depend on an item that it does not write."""
        return Check(self, when)


class Index(NamedTuple):
    """An index of a table, and the attributes that are its partition and sort key."""

    name: str
    partition: str
    sort: str = ""


class Partition(NamedTuple, Generic[T]):
    """The items of a table or an index with one partition key, optionally only some of their sort keys."""

    table: Table
    value: str
    by: Index | None = None
    prefix: str | None = None
    """Only sort keys that begin with this."""
    start: str | None = None
    """Only sort keys from this one on."""


class Read(NamedTuple):
    """One item of a batch; `unavailable` is the reason to raise if this item cannot be read."""

    key: Key[Any]
    unavailable: Reason = Reason.UNAVAILABLE


class Put(NamedTuple):
    """A write of a whole item: `Key.put`."""

    key: Key[Any]
    item: Mapping[str, Any]
    when: Condition | None = None


class Update(NamedTuple):
    """A change of some attributes: `Key.update`."""

    key: Key[Any]
    set: Mapping[str, Any] = NOTHING
    once: Mapping[str, Any] = NOTHING
    add: Mapping[str, Any] = NOTHING
    delete: Mapping[str, Any] = NOTHING
    remove: Sequence[Path] = ()
    members: Mapping[tuple[str, ...], Any] = _NO_MEMBERS
    when: Condition | None = None


class Delete(NamedTuple):
    """A removal of an item: `Key.delete`."""

    key: Key[Any]
    when: Condition | None = None


class Check(NamedTuple):
    """A condition on an item that a transaction does not write: `Key.check`."""

    key: Key[Any]
    when: Condition


Write = Put | Update | Delete

_METHODS: dict[type[Write], str] = {Put: "put_item", Update: "update_item", Delete: "delete_item"}
_MEMBERS: dict[type[Write | Check], str] = {Put: "Put", Update: "Update", Delete: "Delete", Check: "ConditionCheck"}


@cache
def client() -> "DynamoDBClient":
    """The client, made once. Its own retries cover throttling and lost answers, within a request's time."""
    return clients.client("dynamodb")


def get(key: Key[T], *, unavailable: Reason = Reason.UNAVAILABLE) -> T | None:
    """Return an item as the last acknowledged write left it, or None."""
    answer = clients.call(
        unavailable, client().get_item, TableName=_name(key.table), Key=encode(key.attributes()), ConsistentRead=True
    )
    return cast("T", decode(answer["Item"])) if "Item" in answer else None


def server_seconds() -> int:
    """The second at which DynamoDB answers, by its own clock."""
    nothing: Key = Key(Table.DIRECTORY, "clock", "clock")
    answer = clients.call(
        Reason.UNAVAILABLE, client().get_item, TableName=_name(nothing.table), Key=encode(nothing.attributes())
    )
    return int(parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp())


class Batch:
    """The items of a batch of reads, by key."""

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[Key[Any], Item]) -> None:
        self._found = found

    def __getitem__(self, key: Key[T]) -> T | None:
        return cast("T | None", self._found.get(key))


def get_many(reads: Sequence[Read]) -> Batch:
    """Return the items of up to 100 reads in one round trip.

    Each item is consistent, but not with the others: what a write depends on belongs in its conditions. A key may be
    given twice. Raises the `unavailable` reason of the first read that was not served.
    """
    found: dict[Key[Any], Item] = {}
    left = list(dict.fromkeys(read.key for read in reads))
    by_name = {_name(table): table for table in Table}
    for attempt in range(ATTEMPTS):
        request: dict[str, Any] = {}
        for key in left:
            keys = request.setdefault(_name(key.table), {"Keys": [], "ConsistentRead": True})["Keys"]
            keys.append(encode(key.attributes()))
        first = next(read.unavailable for read in reads if read.key in left)
        answer = clients.call(first, client().batch_get_item, RequestItems=request)
        for name, returned in answer["Responses"].items():
            for item in map(decode, returned):
                found[Key(by_name[name], item["pk"], item.get("sk"))] = item
        left = [
            Key(by_name[name], key["pk"], key.get("sk"))
            for name, rest in answer.get("UnprocessedKeys", {}).items()
            for key in map(decode, rest["Keys"])
        ]
        if not left:
            return Batch(found)
        _pause(attempt)
    # Other keys of these batches were read: a batch of which DynamoDB serves nothing is an error.
    raise HotKey(next(read.unavailable for read in reads if read.key in left), "UnprocessedKeys")


def query(
    partition: Partition[T],
    *,
    consistent: bool = False,
    round_trips: int = 2,
    unavailable: Reason = Reason.UNAVAILABLE,
) -> Iterator[T]:
    """Yield the items of a partition in key order, reading on as far as the caller iterates.

    A round trip returns up to a megabyte: some two thousand items of ordinary size. Items beyond `round_trips` are left
    out. An index cannot be read consistently: it usually follows its table within milliseconds.
    """
    request = _query(partition) | {"ConsistentRead": consistent}
    for _ in range(round_trips):
        answer = clients.call(unavailable, client().query, **request)
        yield from cast("Iterator[T]", map(decode, answer["Items"]))
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


class CursorPage(NamedTuple, Generic[T]):
    """Some items of a partition, and the cursor of the next page (None after the last)."""

    items: list[T]
    cursor: str | None


def page(partition: Partition[T], limit: int, cursor: str | None = None) -> CursorPage[T]:
    """Return up to `limit` items of a partition, starting at the cursor of an earlier page: one round trip.

    Stable under concurrent writes: a cursor is a position in the key order. Raises `INVALID` for an invalid cursor.
    """
    answer = _part(_query(partition), limit, cursor)
    return CursorPage([cast("T", decode(item)) for item in answer["Items"]], answer["cursor"])


def count(partition: Partition[Any], limit: int, cursor: str | None) -> tuple[int, str | None]:
    """Return how many items `page` would return, and its cursor, at the same cost: a megabyte at most."""
    answer = _part(_query(partition) | {"Select": "COUNT"}, limit, cursor)
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
            if code == "ConditionalCheckFailedException" and operation.when is not None:
                found = decode(cast("Item", error.response.get("Item", {})))
                if isinstance(operation, Put) and found == {**operation.key.attributes(), **operation.item, **stamp}:
                    return {}
                raise operation.when.refusal(found) from None
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
                if reason["Code"] == "ConditionalCheckFailed" and operation.when is not None:
                    raise operation.when.refusal(decode(reason.get("Item", {}))) from None
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


def _query(partition: Partition[Any]) -> dict[str, Any]:
    """Return the request for a partition, consistent where that is possible."""
    index, placeholders = partition.by, Placeholders()
    hashed, ordered = (index.partition, index.sort) if index else ("pk", "sk")
    condition = f"{placeholders.path(hashed)} = {placeholders.value(hashed, partition.value)}"
    if partition.prefix is not None:
        condition += f" AND begins_with({placeholders.path(ordered)}, {placeholders.value(ordered, partition.prefix)})"
    if partition.start is not None:
        condition += f" AND {placeholders.path(ordered)} >= {placeholders.value(ordered, partition.start)}"
    request = {
        "TableName": _name(partition.table),
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": placeholders.names,
        "ExpressionAttributeValues": encode(placeholders.values),
        "ConsistentRead": index is None,
    }
    return request if index is None else request | {"IndexName": index.name}


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


def _stamp() -> Item:
    who = _actor.get()
    return {} if who is None else {"changed_by": who, "changed_at": clock.now()}


def _request(operation: Write | Check, stamp: Item) -> dict[str, Any]:
    request: dict[str, Any] = {"TableName": _name(operation.key.table)}
    placeholders = Placeholders()
    if isinstance(operation, Put):
        request["Item"] = encode({**operation.key.attributes(), **operation.item, **stamp})
    else:
        request["Key"] = encode(operation.key.attributes())
    if isinstance(operation, Update):
        request["UpdateExpression"] = _update(operation, stamp, placeholders)
    if operation.when is not None:
        request["ConditionExpression"] = placeholders.condition(operation.when)
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if placeholders.names:
        request["ExpressionAttributeNames"] = placeholders.names
    if placeholders.values:
        request["ExpressionAttributeValues"] = encode(placeholders.values)
    return request


def _update(operation: Update, stamp: Item, placeholders: Placeholders) -> str:
    """Return the update expression."""
    path, value = placeholders.path, placeholders.value
    changes: list[tuple[Path, Any]] = [*operation.set.items(), *operation.members.items(), *stamp.items()]
    assigned = [f"{path(name)} = {value(name, new)}" for name, new in changes]
    assigned += [
        f"{path(name)} = if_not_exists({path(name)}, {value(name, new)})" for name, new in operation.once.items()
    ]
    clauses = {
        "SET": assigned,
        "REMOVE": [path(name) for name in operation.remove],
        "ADD": [f"{path(name)} {value(name, amount)}" for name, amount in operation.add.items()],
        "DELETE": [f"{path(name)} {value(name, members)}" for name, members in operation.delete.items()],
    }
    return " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses.items() if parts)


if env.initialising():
    # The init phase has a whole processor, of which the first request would have a part.
    client()
