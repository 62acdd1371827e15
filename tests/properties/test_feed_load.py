"""The change feed of a server under load that is killed: sole ownership, and every acknowledged binding is an event.

Users bind, unbind and share the same devices over HTTP, while an operator bans some. Server and registry are killed in
the middle, as by a power failure.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from botocore.credentials import Credentials

from bindery.registry import identity
from bindery.registry.bindings import Mode
from tests.properties.scale import rounds
from tests.server.programs import eventually
from tests.server.servers import Server
from tools import check_history
from tools.cli.client import REGION, Client, Failure
from tools.cli.history import log

REQUESTS = rounds(short=1000, full=8000)
USERS = [f"user-{number}" for number in range(REQUESTS // 50)]
"""So many that the limit of a user's bindings and failed guesses, which is per day, is not reached."""
PRODUCTS = {"unique": Mode.UNIQUE, "rotating": Mode.ROTATING}
DEVICES = 25
"""Devices of each product."""
AT_ONCE = 8
TIME_LIMIT = 240
WEIGHTS = {"bind": 10, "unbind": 4, "share": 2, "ban": 1}
REFUSALS = {5009, 5049, 5052, 5090, 5135, 5136, 5412, 6040}
"""Codes of requests that were refused: banned, bound, not bound, throttled, a share's, without an offer, taken, shared.

5048 is not among them: the request may have been carried out.
"""

Device = tuple[str, str]
"""Product key and serial number."""


@dataclass
class Tally:
    """What the users were told, by user and device."""

    bound: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Bind requests without a response that says what happened."""
    codes: Counter[int] = field(default_factory=Counter)


class Site:
    """The server, which `kill` replaces by one with the same state."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._operators: list[Client] = []
        self._start()
        self.http = httpx.Client(timeout=60, limits=httpx.Limits(max_connections=None), trust_env=False)

    def _start(self) -> None:
        self.server = Server(self._state)
        demo = self.server.environment
        key_pair = Credentials(demo["BINDERY_ACCESS_KEY_ID"], demo["BINDERY_SECRET_ACCESS_KEY"])
        self.operator = Client(self.server.url, key_pair, REGION)
        self._operators.append(self.operator)

    def kill(self) -> None:
        """Kill the registry and the server, and start them again."""
        os.kill(self.server.registry, signal.SIGKILL)
        assert self.server.stop(signal.SIGKILL) != 0
        self._start()

    def close(self) -> None:
        for client in self._operators:
            client.close()
        self.http.close()
        assert self.server.stop() == 0, self.server.output

    def prepare(self) -> dict[str, str]:
        """Create users, products and devices. Return the users' tokens."""
        for product, mode in PRODUCTS.items():
            made = {"name": product, "module_type": "M", "mode": mode}
            self.operator.ask("POST", "products", body={"product_key": product, **made})
            rows = [{"product_key": product, "serial": serial, "device_key": key(serial)} for _, serial in devices()]
            self.operator.ask("POST", "devices", "import", body={"rows": rows[:DEVICES]})
        for uid in USERS:
            self.operator.ask("POST", "users", body={"uid": uid, "account": "demo", "domain": "demo"})
        lasts = {"dialect": "quectel", "lifetime": 3600}
        return {uid: self.operator.ask("POST", "users", uid, "tokens", body=lasts)["token"] for uid in USERS}


def devices() -> list[Device]:
    return [(product, f"S{number}") for product in PRODUCTS for number in range(DEVICES)]


def key(serial: str) -> str:
    return f"ABCD{int(serial[1:]):04}"


class Load:
    """Requests of many clients at once."""

    def __init__(self, site: Site, tokens: dict[str, str]) -> None:
        self.site, self.tokens = site, tokens
        self.tally = Tally()
        self._lock = threading.Lock()
        self._restarting = threading.Event()
        self._left = REQUESTS
        self._restarting.set()

    def run(self) -> None:
        """Make all requests, and kill the server after a third of them."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            clients = [threads.submit(self._client, Random(number)) for number in range(AT_ONCE)]
            while self._left > REQUESTS * 2 // 3:
                time.sleep(0.05)
            self._restarting.clear()
            self.site.kill()
            self._restarting.set()
            for client in clients:
                client.result(TIME_LIMIT)

    def _client(self, chance: Random) -> None:
        while True:
            with self._lock:
                if self._left <= 0:
                    return
                self._left -= 1
            what = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            getattr(self, f"_{what}")(chance.choice(USERS), chance.choice(devices()), chance)

    def _bind(self, uid: str, device: Device, _: Random) -> None:
        code, _ = self._ask("POST", "binding/enduserapi/bindDeviceSn", uid, pk=device[0], sn=device[1])
        with self._lock:
            self.tally.bound[uid, opaque(device)] += code == 200
            self.tally.unknown[uid, opaque(device)] += code not in {200, *REFUSALS}

    def _unbind(self, uid: str, device: Device, _: Random) -> None:
        self._ask("DELETE", "binding/enduserapi/unbundlingDeviceDk", uid, pk=device[0], dk=key(device[1]))

    def _share(self, uid: str, device: Device, chance: Random) -> None:
        asked = {"pk": device[0], "dk": key(device[1])}
        code, offered = self._ask("POST", "binding/enduserapi/shareInfo", uid, **asked)
        if code == 200:
            other = chance.choice([other for other in USERS if other != uid])
            self._ask("POST", "binding/enduserapi/shareDevice", other, shareCode=offered)

    def _ban(self, _: str, device: Device, __: Random) -> None:
        for action, body in (("ban", {"reason": "stolen"}), ("unban", None)):
            with suppress(Failure):
                self.site.operator.ask("POST", "devices", opaque(device), action, body=body)

    def _ask(self, method: str, path: str, uid: str, **query: str) -> tuple[int, Any]:
        """Return code and data of the response; code 0 if there is none."""
        self._restarting.wait(TIME_LIMIT)
        headers = {"authorization": self.tokens[uid]}
        try:
            answer = self.site.http.request(method, f"{self.site.server.url}/v2/{path}", params=query, headers=headers)
            given = answer.json()
        except (httpx.TransportError, ValueError):
            given = {"code": 0, "data": None}
        with self._lock:
            self.tally.codes[given["code"]] += 1
        return given["code"], given["data"]


def opaque(device: Device) -> str:
    return identity.opaque(identity.manufactured_device(*device))


def exported(site: Site) -> list[dict[str, Any]]:
    """Return all events, once the last change is among them. The local feed is ordered over all devices."""
    row = {"product_key": "unique", "serial": "LAST", "device_key": "ABCDFFFF"}
    site.operator.ask("POST", "devices", "import", body={"rows": [row]})
    last = opaque(("unique", "LAST"))
    eventually(lambda: bool(site.operator.ask("GET", "history", "devices", last)["items"]), True, TIME_LIMIT)
    return list(log(site.operator, None))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "state")
    yield made
    made.close()


def test_killed_server_loses_and_invents_no_event(site: Site, tmp_path: Path) -> None:
    load = Load(site, site.prepare())
    load.run()
    events = exported(site)
    people = {site.operator.ask("GET", "history", "users", uid, query={"limit": 1})["person"]: uid for uid in USERS}
    check_bindings(load.tally, events, people)
    file = tmp_path / "events.ndjson"
    file.write_text("".join(f"{dumps(event)}\n" for event in events))
    assert check_history.main([str(file)]) == 0
    verified = [site.operator.ask("GET", "history", "devices", opaque(each), "verify") for each in devices()]
    assert [found for found in verified if found["problem"] or not found["state"]["agrees"]] == []


def check_bindings(tally: Tally, events: list[dict[str, Any]], people: dict[str, str]) -> None:
    """Check that there are as many events of bindings as were acknowledged, by user and device."""
    assert tally.bound.total() > REQUESTS // 5, tally.codes
    found = Counter(
        (people[event["data"]["holder"]["id"]], event["chain"])
        for event in {event["id"]: event for event in events}.values()
        if event["type"] == "device.bound" and event["data"]["holder"]["id"] in people
    )
    for place in found.keys() | tally.bound.keys():
        least, most = tally.bound[place], tally.bound[place] + tally.unknown[place]
        assert least <= found[place] <= most, (place, found[place], least, most)
    # Those during the kill, and those that gave up after repeated conflicts.
    assert tally.unknown.total() <= REQUESTS // 50, tally.codes
