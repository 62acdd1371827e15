"""A receiver of webhooks with a script, events to deliver, and a clock."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from standardwebhooks import webhooks as standard

from bindery.aws import functions
from bindery.core import clock
from bindery.feed import chain, sending, subscribers
from bindery.feed.sending import Outcome
from bindery.registry import items
from tests import calls
from tests.http_api import admin
from tools import template

DEVICE = "quectel#p1#S1"
OTHER = "quectel#p1#S2"
URL = "https://crm.example.com/bindery?tenant=1"
START = 1_795_176_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = START

    def pass_by(self, milliseconds: int) -> None:
        self.now += milliseconds


@dataclass(frozen=True)
class Request:
    """A delivery, as the receiver sees it."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def sequence(self) -> int:
        return int(json.loads(self.body)["data"]["sequence"])

    def is_signed_with(self, secret: str) -> bool:
        """Verify a signature with the published library, which checks the time against its own clock."""
        moment = standard.datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), standard.timezone.utc)
        signature = standard.Webhook(secret).sign(self.id, moment, self.body.decode())
        return signature in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Answers deliveries with `answer`, by default 204."""

    clock: Clock
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], Outcome] = lambda request: Outcome(204, milliseconds=12)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        request = Request(url, dict(headers), body)
        assert request.headers["webhook-timestamp"] == str(self.clock.now // 1000)
        self.requests.append(request)
        with calls.unrecorded():
            return self.answer(request)

    def answers(self, *statuses: int | Outcome) -> None:
        """Give these answers in turn, and the last one from then on."""
        left = [status if isinstance(status, Outcome) else Outcome(status) for status in statuses]
        self.answer = lambda request: left.pop(0) if len(left) > 1 else left[0]

    @property
    def sequences(self) -> list[int]:
        return [request.sequence for request in self.requests]

    def clear(self) -> None:
        self.requests.clear()


@dataclass
class Starting:
    """Client of Lambda that keeps the events of the invocations that it starts."""

    started: list[dict[str, Any]]

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Answer a call of Lambda."""
        assert (operation, request["InvocationType"], request["Qualifier"]) == ("Invoke", "Event", "live")
        assert request["FunctionName"].endswith("-feed-deliver")
        calls.invoked("feed.deliver")
        self.started.append(json.loads(request["Payload"]))
        return {}


@dataclass
class Feed:
    """The feed's functions, with a receiver."""

    clock: Clock
    receiver: Receiver
    started: list[dict[str, Any]]
    """Events of the invocations that were started, which do not run by themselves."""

    def subscribe(self, *types: str, url: str = URL) -> tuple[str, str]:
        """Create a webhook, and return its id and secret."""
        made = admin("webhooks", "POST", "webhooks", {"url": url, "types": types}).json()
        return made["id"], made["secret"]

    def record(self, *types: str, device: str = DEVICE) -> list[items.Event]:
        """Append events to a device's chain, a millisecond apart, and wake the webhooks."""
        events: list[items.Event] = []
        for name in types:
            self.clock.pass_by(1)
            events.append(self.append(name, device))
        self.wake(events)
        return events

    def append(self, name: str, device: str = DEVICE) -> items.Event:
        """Append an event to a device's chain."""
        last = chain.dynamodb.last(items.events(device))
        number = 1 if last is None else last["seq"] + 1
        identifier = items.secrets.fingerprint(f"{device} {number} {self.clock.now}")[:32]
        (event,) = chain.append(chain.Draft(identifier, name, self.clock.now, device, {"device": device}, identifier))
        return event

    def wake(self, events: list[items.Event]) -> None:
        """Tell the webhooks of recorded events, as the recorder does."""
        with calls.recording("feed.record"):
            subscribers.wake(events)

    def run(self) -> None:
        """Run the invocations that were started."""
        while self.started:
            self.deliver(self.started.pop(0))

    def sweep(self) -> None:
        """Deliver what is due."""
        self.started.clear()
        self.deliver({})

    def deliver(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the function."""
        handler = template.function("feed.deliver").load()
        with calls.recording("feed.deliver"):
            return dict(handler(event, SimpleNamespace(aws_request_id="lambda-1")))

    def after(self, milliseconds: int) -> None:
        """Sweep after a time."""
        self.clock.pass_by(milliseconds)
        self.sweep()


@contextmanager
def feed(patch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Provide the feed's functions with a clock, a receiver and public addresses for all hosts."""
    moving = Clock()
    receiver = Receiver(moving)
    started: list[dict[str, Any]] = []
    patch.setattr(clock, "now", lambda: moving.now)
    patch.setattr(sending, "resolve", lambda host, port: ["8.8.8.8"])
    patch.setattr(sending, "post", receiver.post)
    patch.setattr(functions, "client", lambda: Starting(started))
    yield Feed(moving, receiver, started)


def cursor(webhook: str, device: str = DEVICE) -> dict[str, Any]:
    """Return a cursor without its key."""
    found = chain.dynamodb.get(items.cursor(webhook, device)) or {}
    return {name: value for name, value in found.items() if name not in ("pk", "sk")}
