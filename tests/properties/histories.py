"""Random requests, and the comparison of the history of their changes with what was acknowledged.

`tests.properties.ledger` lists the events from the model of the APIs. The records of the streams are delivered late,
repeated and out of order, while the recorder fails at its calls (`tests.properties.streams`). A webhook must get every
event once, and those of a device in order.
"""

import hashlib
import json
import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from random import Random
from types import SimpleNamespace

import pytest

from bindery.aws import functions
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.feed import people, sending
from bindery.feed.sending import Outcome
from bindery.registry import identity
from tests import calls, listings, moto_registry
from tests.feed import Item
from tests.http_api import admin
from tests.properties import streams
from tests.properties.asking import Asking, said
from tests.properties.choices import done, possible, rivals
from tests.properties.ledger import Event, Ledger
from tests.properties.model import ACCOUNTS, DEVICES, MODES, Ask, Model
from tests.tables import stored
from tools import template

OF_ENTRIES = ("device.shared", "device.renamed")
"""Types of events of quectel users' entries."""

WEIGHTS = {"quectel_accept": 12, "quectel_offer": 4, "quectel_bind": 4, "remoteit_connect": 2}
"""How much more often these kinds of requests are made: without shares and connections, little ends with a binding."""


SWEEPS = 6
"""Sweeps after which all events are delivered, as no event is refused more than twice."""
HOUR = 3_600_000


class Webhook:
    """A webhook whose receiver refuses some deliveries. Deliveries that are started are lost; sweeps find the rest."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.accepted: dict[str, list[Item]] = defaultdict(list)
        """By chain: id, type and number of each accepted event."""
        self._refused: Counter[str] = Counter()
        self._chance = Random(1)
        patch.setattr(sending, "resolve", lambda host, port: ["8.8.8.8"])
        patch.setattr(sending, "post", self._receive)
        patch.setattr(functions, "start", lambda operation, event: None)
        made = admin("webhooks", "POST", "webhooks", {"url": "https://crm.example.com/", "types": []})
        assert made.status == 200, made

    def _receive(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        event, name = json.loads(body), headers["webhook-id"]
        if self._refused[name] < 2 and self._chance.random() < 0.1:
            self._refused[name] += 1
            return Outcome(503)
        known = {"id": name, "type": event["type"], "seq": event["data"].pop("sequence")}
        self.accepted[event["data"]["device"]].append(known)
        return Outcome(204)

    def sweep(self) -> None:
        """Deliver what is due."""
        with calls.recording("feed.deliver"):
            template.function("feed.deliver").load()({}, SimpleNamespace(aws_request_id="lambda-1"))


class History:
    """Requests in sequence, whose changes are recorded in the end."""

    def __init__(
        self, asking: Asking, begin: moto_registry.State, *, every_call: bool, note: Callable[[str], object]
    ) -> None:
        self.asking, self.every_call, self.note = asking, every_call, note
        self.model, self.ledger = Model(), Ledger()
        self.last = Ask("rufus_bind", "ada")
        self.seeds: list[object] = []
        asking.forget()
        moto_registry.restore(begin)
        self._patch = pytest.MonkeyPatch()
        # Each request has its own second, so that each offer of a share changes its end.
        self._now = clock.now()
        self._patch.setattr(clock, "now", lambda: self._now + 1000 * len(self.seeds))
        self.webhook = Webhook(self._patch)
        self._earlier = {item["pk"] for item in stored(Table.BINDINGS)}
        self.stream = streams.followed(self._patch)

    def one(self, seed: object) -> None:
        """Make a random request."""
        self.seeds.append(seed)
        chance = Random(f"{seed} {self.seeds.count(seed)}")
        asks = chance.choices((possible(self.model), rivals(self.last)), (3, 1))[0]
        kinds = sorted(kind for kind in asks if asks[kind])
        kind = chance.choices(kinds, [WEIGHTS.get(kind, 1) for kind in kinds])[0]
        self.ask(chance.choice(asks[kind]))

    def ask(self, ask: Ask) -> None:
        """Make a request, and note its events if it is acknowledged."""
        self.last = ask
        self.note(str(ask))
        before = pickle.loads(pickle.dumps(self.model))
        answer = self.asking.ask(ask)
        outcome = self.model.answer(ask)
        assert said(ask, answer) == outcome
        self.asking.learn(ask, answer)
        if done(outcome):
            self.ledger.note(ask, before, self.model)

    def record(self) -> None:
        """Record the changes, and compare the history with the ledger."""
        try:
            streams.deliver(self.stream, Random(str(self.seeds)), every_call=self.every_call)
            found = streams.recorded(self.stream)
            assert found.keys() <= {self.asking.keys[device] for device in DEVICES}
            for _ in range(SWEEPS):
                self._now += HOUR
                self.webhook.sweep()
            assert self.webhook.accepted == {
                events[0]["chain"]: [{name: event[name] for name in ("id", "type", "seq")} for event in events]
                for events in found.values()
            }
            listings.check(self._earlier)
            for device in DEVICES:
                compare(self.ledger, device, self.shown(device, found.get(self.asking.keys[device], [])))
        finally:
            self._patch.undo()

    def shown(self, device: str, events: list[Item]) -> list[Event]:
        """Return a device's events with the names of the model. Bindings keep their ids."""
        opaque = identity.opaque(self.asking.keys[device])
        api = identity.parts(self.asking.keys[device])["dialect"]
        shown: list[Event] = []
        for event in events:
            data = dict(event["data"])
            assert (data.pop("device"), data.pop("api"), event["chain"]) == (opaque, api, opaque)
            data.pop("until", None)
            for name in data.keys() & {"holder", "user"}:
                data[name] = self._name(data[name])
            if "connection" in data:
                data["connection"] = self._connection(device, data["connection"])
            shown.append((event["type"], data))
        return shown

    def _name(self, holder: dict[str, str]) -> tuple[str, str]:
        kind = holder["kind"]
        if kind == "account":
            return kind, holder["id"]
        holders = {uid: identity.user_holder(uid) for uid in ACCOUNTS} if kind == "user" else self.asking.customers()
        named = {people.find(key): uid for uid, key in holders.items()}
        return kind, named[holder["id"]]

    def _connection(self, device: str, fingerprint: str) -> tuple[str, int]:
        made = {
            hashlib.sha256(identifier.encode()).hexdigest()[:32]: (uid, number)
            for (uid, connected), ids in self.asking.connections.items()
            for number, (identifier, _) in enumerate(ids)
            if connected == device
        }
        return made[fingerprint]


def compare(ledger: Ledger, device: str, events: list[Event]) -> None:
    """Compare a device's events with the ledger, and find out which binding has which number on the way."""
    own = [event for event in events if not (device in MODES and event[0] in OF_ENTRIES)]
    numbers: dict[str, int] = {}
    for group in ledger.of(device):
        found, own = own[: len(group)], own[len(group) :]
        known = {data["binding"] for _, data in found if "binding" in data} - numbers.keys()
        meant = {data["binding"] for _, data in group if "binding" in data} - set(numbers.values())
        # At most one binding began before the first event, or begins in a request.
        assert len(known) == len(meant) <= 1, (device, group, found)
        numbers |= zip(known, meant, strict=True)
        assert ordered(numbered(found, numbers)) == ordered(group), device
    assert own == [], device
    for user in ACCOUNTS:
        entries = [event for event in events if event not in own and event[1].get("holder") == ("user", user)]
        entries = [event for event in entries if device in MODES and event[0] in OF_ENTRIES]
        assert numbered(entries, numbers) == ledger.entries.get((device, user), []), (device, user)


def numbered(events: list[Event], numbers: dict[str, int]) -> list[Event]:
    return [
        (kind, data | {"binding": numbers[data["binding"]]} if "binding" in data else data) for kind, data in events
    ]


def ordered(events: list[Event]) -> list[str]:
    return sorted(f"{kind} {sorted(data.items())}" for kind, data in events)
