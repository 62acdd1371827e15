"""DynamoDB tables: reads, conditional writes and transactions.

Raises `UNAVAILABLE` (or a read's own reason) if a table is throttled or unreachable, `HotKey` if only a key range is
throttled, and `CONFLICT` after repeated conflicts.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, cast

from typing_extensions import TypeVar

from bindery.aws import clients, snapshots
from bindery.aws.attribute_values import cursor_of, decode, encode, key_of
from bindery.aws.errors import ConnectionFailed, ServiceError
from bindery.aws.expressions import NOTHING, Condition, Path, Placeholders
from bindery.core import clock, env
from bindery.core.errors import HotKey, Reason, Refused

Item = dict[str, Any]

# Attempts at a conflicting write or an incomplete batch. Their pauses add up to 0.8 s on average.
ATTEMPTS = 6

# Retryable cancellation codes, and the refusal after the last attempt. The first match applies.
_AGAIN: Mapping[str, Callable[[], Refused]] = MappingProxyType(
    {
        "ProvisionedThroughputExceeded": lambda: Refused(Reason.UNAVAILABLE),
        # A cancelled transaction does not report which limit of an on-demand table applied. Usually it is that of a key
        # range. A table's own limit also shows in DynamoDB's metrics and in the errors of reads.
        "ThrottlingError": lambda: HotKey(Reason.UNAVAILABLE, "ThrottlingError"),
        "TransactionConflict": lambda: Refused(Reason.CONFLICT),
    }
)
_actor: ContextVar[str | None] = ContextVar("_actor", default=None)
_job: ContextVar[str | None] = ContextVar("_job", default=None)


class Table(StrEnum):
    """The tables, by environment variable."""

    DEVICES = "DEVICES_TABLE"
    BINDINGS = "BINDINGS_TABLE"
    DIRECTORY = "DIRECTORY_TABLE"
    FRAMES = "FRAMES_TABLE"
    HISTORY = "HISTORY_TABLE"


_NO_MEMBERS: Mapping[tuple[str, ...], Any] = MappingProxyType({})

# The type of an item: a TypedDict of `bindery.registry.items`.
T = TypeVar("T", bound=Mapping[str, Any], default=dict[str, Any])


class Key(NamedTuple, Generic[T]):
    """Location of an item, and writes to it."""

    table: Table
    pk: str
    sk: str | None = None

    def attributes(self) -> Item:
        """Return the key attributes."""
        return {"pk": self.pk} if self.sk is None else {"pk": self.pk, "sk": self.sk}

    def put(self, item: T, *, when: Condition | None = None) -> "Put":
        """Replace the item."""
        return Put(self, item, when)

    def update(
        self,
        *,
        set: T | None = None,  # noqa: A002 (DynamoDB's keyword)
        once: T | None = None,  # sets only attributes that do not exist
        add: T | None = None,  # increments numbers, adds members to sets
        delete: T | None = None,  # deletes members of sets
        remove: Sequence[Path] = (),  # removes attributes or members of maps
        members: Mapping[tuple[str, ...], Any] = _NO_MEMBERS,  # sets members of maps
        when: Condition | None = None,
    ) -> "Update":
        """Update the item, or create it."""
        return Update(self, set or NOTHING, once or NOTHING, add or NOTHING, delete or NOTHING, remove, members, when)

    def delete(self, *, when: Condition | None = None) -> "Delete":
        """Delete the item."""
        return Delete(self, when)

    def check(self, when: Condition) -> "Check":
        """Check an item in a transaction."""
        return Check(self, when)


class Index(NamedTuple):
    """A secondary index and its key attributes."""

    name: str
    partition: str
    sort: str = ""


class Partition(NamedTuple, Generic[T]):
    """Items with one partition key, or a range."""

    table: Table
    value: str
    by: Index | None = None
    prefix: str | None = None
    start: str | None = None  # the lowest sort key


class Read(NamedTuple):
    """A read of `get_many`."""

    key: Key[Any]
    unavailable: Reason = Reason.UNAVAILABLE  # the reason to raise if the read fails


class Put(NamedTuple):
    """See `Key.put`."""

    key: Key[Any]
    item: Mapping[str, Any]
    when: Condition | None = None


class Update(NamedTuple):
    """See `Key.update`."""

    key: Key[Any]
    set: Mapping[str, Any] = NOTHING
    once: Mapping[str, Any] = NOTHING
    add: Mapping[str, Any] = NOTHING
    delete: Mapping[str, Any] = NOTHING
    remove: Sequence[Path] = ()
    members: Mapping[tuple[str, ...], Any] = _NO_MEMBERS
    when: Condition | None = None


class Delete(NamedTuple):
    """See `Key.delete`."""

    key: Key[Any]
    when: Condition | None = None


class Check(NamedTuple):
    """See `Key.check`."""

    key: Key[Any]
    when: Condition


Write = Put | Update | Delete

_OPERATIONS: dict[type[Write], str] = {Put: "PutItem", Update: "UpdateItem", Delete: "DeleteItem"}
_MEMBERS: dict[type[Write | Check], str] = {Put: "Put", Update: "Update", Delete: "Delete", Check: "ConditionCheck"}


@cache
def client() -> clients.Client:
    """Return the shared client."""
    return clients.client("dynamodb")


def _call(unavailable: Reason, operation: str, **request: Any) -> dict[str, Any]:
    return clients.call(client(), unavailable, operation, **request)


def get(key: Key[T], *, unavailable: Reason = Reason.UNAVAILABLE) -> T | None:
    """Return an item (strongly consistent), or None."""
    answer = _call(
        unavailable, "GetItem", TableName=_name(key.table), Key=encode(key.attributes()), ConsistentRead=True
    )
    return cast("T", decode(answer["Item"])) if "Item" in answer else None


def server_seconds(by: clients.Client | None = None) -> int:
    """Return DynamoDB's own time in seconds, asked for by a client."""
    # Slow to import, and only the doctor asks.
    from email.utils import parsedate_to_datetime

    nothing: Key = Key(Table.DIRECTORY, "clock", "clock")
    answer = clients.call(
        by or client(),
        Reason.UNAVAILABLE,
        "GetItem",
        TableName=_name(nothing.table),
        Key=encode(nothing.attributes()),
    )
    return int(parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp())


class Batch:
    """Items found by `get_many`, by key."""

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[Key[Any], Item]) -> None:
        self._found = found

    def __getitem__(self, key: Key[T]) -> T | None:
        return cast("T | None", self._found.get(key))


def get_many(reads: Sequence[Read]) -> Batch:
    """Return up to 100 items in one round trip: each strongly consistent, together not a snapshot.

    Raises the reason of the first read that was not served.
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
        answer = _call(first, "BatchGetItem", RequestItems=request)
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
    # Only key ranges are throttled: a batch of which DynamoDB serves nothing is an error.
    raise HotKey(next(read.unavailable for read in reads if read.key in left), "UnprocessedKeys")


def snapshot(keys: Sequence[Key[T]]) -> list[T | None]:
    """Return up to 100 items as they were at one moment."""
    asked = [{"Get": {"TableName": _name(key.table), "Key": encode(key.attributes())}} for key in keys]
    refusal = _AGAIN["TransactionConflict"]
    for attempt in range(ATTEMPTS):
        try:
            answer = _call(Reason.UNAVAILABLE, "TransactGetItems", TransactItems=asked)
            return [cast("T", decode(found["Item"])) if "Item" in found else None for found in answer["Responses"]]
        except ServiceError as error:
            if error.code != "TransactionCanceledException":
                raise
            again = _again(error.members["CancellationReasons"])
            if again is None:
                raise
            refusal = again
        _pause(attempt)
    raise refusal()


def query(
    partition: Partition[T],
    *,
    consistent: bool = False,  # not possible for an index, which usually follows its table within milliseconds
    round_trips: int = 2,
    unavailable: Reason = Reason.UNAVAILABLE,
) -> Iterator[T]:
    """Yield a partition's items in key order, up to `round_trips` of 1 MB (about 2,000 items)."""
    request = _query(partition) | {"ConsistentRead": consistent}
    for _ in range(round_trips):
        answer = _call(unavailable, "Query", **request)
        yield from cast("Iterator[T]", map(decode, answer["Items"]))
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def last(partition: Partition[T]) -> T | None:
    """Return the last item of a table's partition (strongly consistent), or None."""
    request = _query(partition) | {"ScanIndexForward": False, "Limit": 1}
    answer = _call(Reason.UNAVAILABLE, "Query", **request)
    return cast("T", decode(answer["Items"][0])) if answer["Items"] else None


class CursorPage(NamedTuple, Generic[T]):
    """A page, and the cursor of the next. An invalid cursor raises `INVALID`."""

    items: list[T]
    cursor: str | None


def page(partition: Partition[T], limit: int, cursor: str | None = None) -> CursorPage[T]:
    """Return a page in one round trip."""
    # Concurrent writes do not shift pages: a cursor is a position in key order.
    answer = _part("Query", _query(partition), limit, cursor)
    return CursorPage([cast("T", decode(item)) for item in answer["Items"]], answer["cursor"])


def count(partition: Partition[Any], limit: int, cursor: str | None) -> tuple[int, str | None]:
    """Return a page's size and next cursor, at the cost of `page`."""
    answer = _part("Query", _query(partition) | {"Select": "COUNT"}, limit, cursor)
    return answer["Count"], answer["cursor"]


class Scanned(NamedTuple):
    """Items of a part of an index that meet a condition, the number of its entries, and the next part's cursor."""

    items: list[Item]
    examined: int
    cursor: str | None


def scan(table: Table, index: Index, filtered: Condition, limit: int, cursor: str | None) -> Scanned:
    """Examine up to `limit` entries of a whole index. For operators: its cost grows with the index."""
    placeholders = Placeholders()
    request = {
        "TableName": _name(table),
        "IndexName": index.name,
        "FilterExpression": placeholders.condition(filtered),
        "ExpressionAttributeNames": placeholders.names,
        "ExpressionAttributeValues": encode(placeholders.values),
    }
    answer = _part("Scan", request, limit, cursor)
    return Scanned(list(map(decode, answer["Items"])), answer["ScannedCount"], answer["cursor"])


@contextmanager
def acting(who: str | None, job: str | None = None) -> Iterator[None]:
    """Set `changed_by` and `changed_at` in all items written, and `changed_in` for a bulk job; with None, neither."""
    token, job_token = _actor.set(who), _job.set(job)
    try:
        yield
    finally:
        _actor.reset(token)
        _job.reset(job_token)


def actor() -> str | None:
    """Return the operator set by `acting`."""
    return _actor.get()


def write(operation: Write) -> None:
    """Execute a write. A failed condition raises its reason.

    The AWS client repeats a write whose response was lost, so an update must be repeatable. A put that finds its own
    item succeeds: add a random id if others could write the same.
    """
    _write(operation)


def update(operation: Update) -> Item:
    """Execute a repeatable update and return the new item."""
    return decode(_write(operation, ReturnValues="ALL_NEW")["Attributes"])


def _write(operation: Write, **returned: str) -> dict[str, Any]:
    request = _request(operation, stamp := _stamp())
    for attempt in range(ATTEMPTS):
        try:
            return _call(Reason.UNAVAILABLE, _OPERATIONS[type(operation)], **request, **returned)
        except ServiceError as error:
            if error.code == "ConditionalCheckFailedException" and operation.when is not None:
                found = decode(error.members.get("Item", {}))
                if isinstance(operation, Put) and found == {**operation.key.attributes(), **operation.item, **stamp}:
                    return {}
                raise operation.when.refusal(found) from None
            if error.code != "TransactionConflictException":
                raise
        _pause(attempt)
    raise Refused(Reason.CONFLICT)


def transact(operations: Sequence[Write | Check], *, aside: Write | None = None) -> None:
    """Execute up to 100 writes atomically. The first failed condition, in this order, raises its reason.

    If `aside` fails, the transaction is retried without it.
    """
    stamp = _stamp()
    asked = operations if aside is None else [*operations, aside]
    items = [{_MEMBERS[type(operation)]: _request(operation, stamp)} for operation in asked]
    # Retries share the token, so a retry after a lost response succeeds too.
    token = str(uuid.uuid4())
    refusal = _AGAIN["TransactionConflict"]
    for attempt in range(ATTEMPTS):
        try:
            _call(Reason.UNAVAILABLE, "TransactWriteItems", TransactItems=items, ClientRequestToken=token)
            return
        except ServiceError as error:
            if error.code != "TransactionCanceledException":
                raise
            reasons = error.members["CancellationReasons"]
            # Not strict: the reasons include that of `aside`, which raises nothing.
            for operation, reason in zip(operations, reasons, strict=False):
                if reason["Code"] == "ConditionalCheckFailed" and operation.when is not None:
                    raise operation.when.refusal(decode(reason.get("Item", {}))) from None
            if len(reasons) > len(operations) and reasons[-1]["Code"] != "None":
                # Nothing was written. Without `aside` this is a different request, so it needs a new idempotency token.
                items.pop()
                token = str(uuid.uuid4())
                if all(reason["Code"] == "None" for reason in reasons[:-1]):
                    continue
            again = _again(reasons)
            if again is None:
                raise
            refusal = again
        _pause(attempt)
    raise refusal()


def _again(reasons: Sequence[Mapping[str, Any]]) -> Callable[[], Refused] | None:
    """Return the refusal if a cancelled transaction still fails after all attempts. None: do not attempt it again."""
    codes = {reason["Code"] for reason in reasons}
    return next((fault for code, fault in _AGAIN.items() if code in codes), None)


def _query(partition: Partition[Any]) -> dict[str, Any]:
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


def _part(operation: str, request: dict[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
    place = {} if cursor is None else {"ExclusiveStartKey": key_of(cursor)}
    try:
        answer = _call(Reason.UNAVAILABLE, operation, **request, Limit=limit, **place)
    except ServiceError as error:
        if cursor is not None and error.code == "ValidationException":
            raise Refused(Reason.INVALID) from None
        raise
    last = answer.get("LastEvaluatedKey")
    return {**answer, "cursor": None if last is None else cursor_of(last)}


def _pause(attempt: int) -> None:
    # Exponential back-off with full jitter. SystemRandom: the copies of a snapshot would share a seeded generator.
    time.sleep(random.SystemRandom().uniform(0, 0.025 * 2**attempt))


def _name(table: Table) -> str:
    return env.read(table.value)


def _stamp() -> Item:
    who, job, now = _actor.get(), _job.get(), clock.now()
    if who is None:
        return {}
    stamp = {"changed_by": who, "changed_at": now}
    return stamp if job is None else {**stamp, "changed_in": changed_in(now, job)}


def changed_in(at: int, job: str) -> str:
    """Return the mark of a bulk job's change."""
    return f"{at}-{job}"


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
    client()
    if not snapshots.in_use():
        # Lambda gives the init phase a full CPU, but the first request only a share of one.
        with suppress(ConnectionFailed):
            client().connect()
