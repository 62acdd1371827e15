"""/admin/v1/history: events of devices, people and operators."""

from collections.abc import Mapping, Sequence
from typing import Any

from bindery.core.errors import Reason
from bindery.feed import chain
from bindery.operators import event_log, history, history_check
from bindery.operators.resource import (
    Cursor,
    DeviceId,
    EventId,
    Limit,
    LogCursor,
    LogLimit,
    OptionalSince,
    Page,
    PathCustomer,
    PathId,
    QueryOperator,
    Resource,
    Since,
    explained,
)
from bindery.registry import identity, items

from pydantic import BaseModel

handler = Resource("history")


class Event(BaseModel):
    """An event in its chain: that of a device, account, person, product …

    `hash` is the SHA-256 of the event and of `previous`, the hash of the event before it in the chain. Times are in
    milliseconds.
    """

    id: str
    type: str
    at: int
    recorded_at: int
    chain: str
    seq: int
    previous: str
    hash: str
    data: Mapping[str, Any]


class PersonPage(Page[Event]):
    """A page of the events that concern a person, and the person's pseudonym in them."""

    person: str


class Log(BaseModel):
    """Events in the order of recording, and the cursor with which to continue.

    Without `more`, this is the end of the log: repeat the request with `next` later. Some events of the last ten
    seconds are then repeated.
    """

    items: Sequence[Event]
    next: str
    more: bool


class Problem(BaseModel):
    """The first event at which a chain is not intact."""

    seq: int
    what: str


class State(BaseModel):
    """Result of the comparison of a device's last state in its history with the registry."""

    agrees: bool
    differs: Sequence[str]


class Verification(BaseModel):
    """Result of the verification of a device's history. `first_seq` is above 1 once events have expired."""

    events: int
    first_seq: int | None
    problem: Problem | None
    state: State


class Unrecorded(BaseModel):
    """A change from which no event could be made, by the id of its stream record."""

    id: str
    at: int
    error: str


class Retried(BaseModel):
    """Number of changes that were recorded, and of those that still cannot be.

    Repeat the request with `next` as `cursor` until it is null.
    """

    recorded: int
    left: int
    next: str | None


def _event(event: items.Event) -> Event:
    return Event(**chain.as_public(event), recorded_at=int(event["time"][:13]))


def _of_person(holder: str, limit: int, cursor: str | None) -> PersonPage:
    with explained({Reason.NOT_FOUND: "No events concern this person."}):
        found = history.of_person(holder, limit, cursor)
    return PersonPage(items=list(map(_event, found.page.items)), next=found.page.cursor, person=found.pseudonym)


@handler.app.get("/admin/v1/history/devices/<device>")
def of_device(device: DeviceId, limit: Limit = 50, cursor: Cursor = None) -> Page[Event]:
    """List the events of a device, oldest first."""
    return Page.of(history.of_device(identity.device_from_opaque(device), limit, cursor), _event)


@handler.app.get("/admin/v1/history/devices/<device>/verify")
def verify(device: DeviceId) -> Verification:
    """Verify that a device's history is intact and agrees with the registry.

    A change of the last seconds may not be in the history yet.
    """
    found = history_check.verify(identity.device_from_opaque(device))
    return Verification.model_validate(history_check.as_public(found))


@handler.app.get("/admin/v1/history/users/<uid>")
def of_user(uid: PathId, limit: Limit = 50, cursor: Cursor = None) -> PersonPage:
    """List the events that concern a user, oldest first."""
    return _of_person(identity.user_holder(uid), limit, cursor)


@handler.app.get("/admin/v1/history/customers/<customer>")
def of_customer(customer: PathCustomer, limit: Limit = 50, cursor: Cursor = None) -> PersonPage:
    """List the events that concern a bank's customer, oldest first."""
    return _of_person(identity.customer_holder(customer), limit, cursor)


@handler.app.get("/admin/v1/history/operators")
def of_operator(operator: QueryOperator, since: Since = 0, limit: Limit = 50, cursor: Cursor = None) -> Page[Event]:
    """List what an operator did, oldest first."""
    return Page.of(history.of_operator(operator, since, limit, cursor), _event)


@handler.app.get("/admin/v1/history/events")
def log(since: OptionalSince = None, after: LogCursor = None, limit: LogLimit = 100) -> Log:
    """List all events in the order of recording, from a time or a cursor on.

    A page can have fewer events than `limit`. A client that repeats the request with `next` gets every event, also
    those that are recorded late, but those of the last ten seconds more than once: skip ids that you have.
    """
    part = event_log.read(limit, after, since)
    return Log(items=list(map(_event, part.events)), next=part.cursor, more=part.more)


@handler.app.get("/admin/v1/history/events/<event>")
def show(event: EventId) -> Event:
    """Show an event."""
    with explained({Reason.NOT_FOUND: "No event has this id."}):
        return _event(history.find(event))


@handler.app.get("/admin/v1/history/unrecorded")
def unrecorded(limit: Limit = 50, cursor: Cursor = None) -> Page[Unrecorded]:
    """List the changes from which no event could be made, oldest first."""
    return Page.of(history.unrecorded(limit, cursor), Unrecorded.model_validate)


@handler.app.post("/admin/v1/history/unrecorded/retry")
def retry(cursor: Cursor = None) -> Retried:
    """Record up to a hundred of these changes again, and delete those that were recorded."""
    done = history.retry(cursor)
    return Retried(recorded=done.recorded, left=done.left, next=done.cursor)
