"""Count the units that one tenant's requests take from each partition key: `python -m bench.ceilings`.

DynamoDB serves at most 3,000 read and 1,000 write units a second from a partition. Each kind of request is sent
repeatedly through the real handlers and the local engine, with other devices and users. Its units must be the same each
time and equal those that the engine reports, so they are scaled to 100,000 requests. No clock is involved.
"""

import logging
import math
import os
import secrets
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from bindery.aws import dynamodb
from bindery.aws.attribute_values import decode, encode
from bindery.aws.dynamodb import Table
from bindery.core import clock, env
from bindery.directory import accounts, api_keys, sessions, settings, users
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import bindings, devices, identity
from bindery.rufus import company_devices
from tests import aws_calls
from tests.conftest import clear_caches
from tests.http_api import Response
from tests.openid import AUDIENCE, Bank
from tests.performance import costs as costs_of_calls
from tests.performance.stories import World
from tests.records import bound
from tests.sample_requests import Event, sample
from tools import template
from tools.generate import costs
from tools.local import demo, serve
from tools.local.engine import Engine

READS, WRITES = 3000, 1000
"""Units that DynamoDB serves from a partition in a second."""

REQUESTS = 100_000
SENT = 50
"""Requests of each kind that are sent."""
LISTED = 10_000
"""Devices in the list of which pages are read."""

BLOCK_OF_PRODUCT = 2.0
"""Write units that a quectel bind request took from its product's partition, while blocks of users were there."""

Place = tuple[str, str]
"""Table or `table/index`, and partition key."""


class Units(NamedTuple):
    """Units of a number of requests by partition key. An item of less than 4 KB takes one read unit."""

    read: Counter[Place]
    write: Counter[Place]
    requests: int = 1


class Recorder:
    """Attributes the units of each call to partition keys."""

    def __init__(self) -> None:
        self.units = Units(Counter(), Counter())
        self._was: list[Mapping[str, Any]] = []

    def before(self, service: str, operation: str, request: dict[str, Any]) -> None:
        """Keep the items that a call will write."""
        self._was = [_item(*written) for written in costs_of_calls.keys(request)] if service == "dynamodb" else []

    def after(self, service: str, operation: str, request: dict[str, Any], answer: Any) -> None:
        """Add the units of a call."""
        if service != "dynamodb":
            return
        if operation == "BatchGetItem":
            for table, asked in request["RequestItems"].items():
                self.units.read.update((table, key["pk"]["S"]) for key in asked["Keys"])
        elif operation == "GetItem":
            self.units.read[request["TableName"], request["Key"]["pk"]["S"]] += 1
        elif operation == "Query":
            index = f"/{request['IndexName']}" if "IndexName" in request else ""
            self.units.read[request["TableName"] + index, _asked(request)] += _read_units(request)
        else:
            for (table, key), was in zip(costs_of_calls.keys(request), self._was, strict=True):
                self.units.write[table, key["pk"]["S"]] += 2 if "TransactItems" in request else 1
                self.units.write.update(_in_indexes(table, was, _item(table, key)))


def _asked(request: Mapping[str, Any]) -> str:
    placeholder = request["KeyConditionExpression"].partition(" AND ")[0].rpartition(" ")[2]
    return str(request["ExpressionAttributeValues"][placeholder]["S"])


def _read_units(request: Mapping[str, Any]) -> float:
    """Return the units of a query: one for each 4 KB read, and half of that if eventually consistent."""
    # The engine reports the same for any number of items, and does not return those that it only counts.
    items = _call("Query", **{name: value for name, value in request.items() if name != "Select"})["Items"]
    return math.ceil(sum(map(costs_of_calls.size, items)) / 4096 or 1) * (1 if request["ConsistentRead"] else 0.5)


def _call(operation: str, **request: Any) -> dict[str, Any]:
    """Make a call that is not recorded."""
    client: Any = dynamodb.client()
    answer: dict[str, Any] = client.client.call(operation, **request)
    return answer


def _item(table: str, key: Mapping[str, Any]) -> Mapping[str, Any]:
    return decode(_call("GetItem", TableName=table, Key=key, ConsistentRead=True).get("Item", {}))


def _in_indexes(table: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the index partitions that a write changes, once per unit: the item is smaller than a kilobyte."""
    for index in template.table_properties(table).get("GlobalSecondaryIndexes", ()):
        names = [part["AttributeName"] for part in index["KeySchema"]]
        entries = [item if all(name in item for name in names) else {} for item in (was, now)]
        keys = [[entry.get(name) for name in names] for entry in entries]
        all_projected = index["Projection"]["ProjectionType"] == "ALL"
        if keys[0] != keys[1]:
            yield from ((f"{table}/{index['IndexName']}", key[0]) for key in keys if key[0] is not None)
        elif all_projected and entries[0] != entries[1]:
            yield f"{table}/{index['IndexName']}", keys[0][0]


def _by_table(units: Mapping[Place, float]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for (table, _), used in units.items():
        total[table] += used
    return dict(total)


@contextmanager
def recording() -> Iterator[Units]:
    """Record the units of requests, and check those of writes by the engine's. Needs `costs_of_calls.install`."""
    recorder = Recorder()
    aws_calls.before.append(recorder.before)
    aws_calls.after.append(recorder.after)
    try:
        with costs_of_calls.counting() as cost:
            yield recorder.units
    finally:
        aws_calls.before.remove(recorder.before)
        aws_calls.after.remove(recorder.after)
    assert _by_table(recorder.units.write) == cost.write, (recorder.units.write, cost.write)


def units(name: str, events: Iterator[Event]) -> Units:
    """Send requests, and return their units. The first may be a key's first use of the day, and does not count."""
    total, same = Units(Counter(), Counter()), None
    handler = template.function(name).load()
    sent = 0
    for sent, event in enumerate(events):
        with recording() as used:
            given = handler(dict(event), None)
        answer = Response(given["statusCode"], given["headers"], given["body"])
        assert answer.status < 300, answer
        if sent:
            each = _by_table(used.read), _by_table(used.write)
            assert each == (same or each), f"{name}: {each} and {same}"
            same = each
            total.read.update(used.read)
            total.write.update(used.write)
    return total._replace(requests=sent)


class Hottest(NamedTuple):
    """Units per request of the hottest partition key."""

    read: float
    write: float

    def ceiling(self) -> float:
        """Return the requests a second that DynamoDB serves, infinite without any units."""
        return min(
            (limit / used for limit, used in ((READS, self.read), (WRITES, self.write)) if used), default=math.inf
        )

    def shown(self) -> str:
        """Return cells of a table: the units, and the requests a second."""
        told = [f"{used:.3g} {kind}" for used, kind in ((self.read, "read"), (self.write, "write")) if used]
        return f"{', '.join(told)} | {self.ceiling():,.0f}" if told else "none | no limit"


def hottest(found: Units, table: str, prefix: str, share: float = 1) -> Hottest:
    """Return the units of the hottest partition key with a prefix, given the largest `share` of one of these keys."""

    def per_request(used: Counter[Place]) -> float:
        here = [amount for (at, key), amount in used.items() if at == table and key.startswith(prefix)]
        return (max(here, default=0) if share == 1 else sum(here) * share) / found.requests

    return Hottest(per_request(found.read), per_request(found.write))


def share(parts: int, requests: int = REQUESTS) -> float:
    """Return the largest part's share of new devices."""
    keys = (identity.company_device_of("demo", str(number)) for number in range(requests))
    return max(Counter(company_devices.part(device, parts) for device in keys).values()) / requests


# ── Requests of one tenant ────────────────────────────────────────────────────────────────────────────────────────────


def rufus_binds(world: World) -> Iterator[Event]:
    """Bind new devices with one key."""
    for number in range(SENT):
        serial = f"{secrets.token_hex(6)}-{number}"
        yield world.sample("rufus.bind_device", body={"model": "Model X1", "serial_number": serial})


def rufus_pages(query: Mapping[str, Any]) -> Callable[[World], Iterator[Event]]:
    """Read pages of a long list."""

    def pages(world: World) -> Iterator[Event]:
        key = api_keys.issue("long", Kind.RUFUS, Grant.READ, alias="pages")
        for _ in range(3):
            yield sample("rufus.list_devices", {"api_key": key}, query=query)

    return pages


def quectel_binds(world: World) -> Iterator[Event]:
    """Bind devices of one product to as many users."""
    for number in range(SENT):
        users.create(uid := f"user{number}", "demo", domain=demo.DOMAIN)
        devices.manufacture(demo.PRODUCT_KEY, f"NEW-{number}", device_key=f"{number:012}")
        query = {"pk": demo.PRODUCT_KEY, "sn": f"NEW-{number}"}
        yield world.sample("quectel.bind_device_sn", query=query, authorization=world.token(uid, "quectel"))


def remoteit_connects(world: World) -> Iterator[Event]:
    """Connect as many users of one account to its devices."""
    for number in range(SENT):
        users.create(uid := f"caller{number}", "demo")
        bound("demo", "Camera", f"NEW-{number}", address=(address := f"80:00:00:00:00:00:03:{number:02X}"))
        token = sessions.issue(uid, "remoteit", 600)[0]
        yield world.sample("remoteit.connect_device", body={"deviceaddress": address}, token=token)


def vodlix_adds(world: World) -> Iterator[Event]:
    """Add new devices, in an environment that has read the setting in the last minute."""
    names = ("device_os", "device_version", "device_type", "app_version", "app_name")
    settings.cached(settings.DEVICE_MANAGEMENT)
    for number in range(SENT):
        body = {"mac_address": f"A2B1C3D4{number:04X}"} | dict.fromkeys(names, "x")
        yield world.sample("vodlix.add_device", body=body)


def load_long_list() -> None:
    """Create an account with a long list, which no other request reads. Devices are written directly, 25 at a time."""
    accounts.create("long", name="Long")
    client = boto3.client("dynamodb")
    now, model = clock.now(), "Model X1"
    for start in range(0, LISTED, 25):
        batch = []
        for number in range(start, start + 25):
            device = identity.company_device("long", model, serial := f"DEVICE-{number:06}")
            item = {"pk": device, "sk": "owner", "holder": identity.account_holder("long"), "leases": {}}
            item |= {"holder_sort": bindings.holder_sort("rufus", now + number), "bound_at": now + number}
            item |= {"model": model, "serial": serial, "binding": bindings.new_id()}
            batch.append({"PutRequest": {"Item": encode(item)}})
        client.batch_write_item(RequestItems={env.read(Table.BINDINGS.value): batch})


def rows(world: World) -> Iterator[tuple[str, str, Hottest, Hottest]]:
    """Yield requests, the key of the partition, and the units before and after."""
    index, directory = "BindingsTable/by_holder", "DirectoryTable"
    one = units("rufus.bind_device", rufus_binds(world))
    accounts.spread("demo", identity.PARTS)
    spread = units("rufus.bind_device", rufus_binds(world))
    before, after = (hottest(one, index, "account#"), hottest(spread, index, "account#", share(identity.PARTS)))
    yield "rufus: first bind, list in 1 and in 16 parts", "`by_holder`: `account#…`", before, after
    load_long_list()
    by_number = units("rufus.list_devices", rufus_pages({"page": 1, "limit": 100})(world))
    by_cursor = units("rufus.list_devices", rufus_pages({"cursor": "", "limit": 100})(world))
    pages = [hottest(found, index, "account#") for found in (by_number, by_cursor)]
    yield f"rufus: 100 of {LISTED:,} devices, by page number and by cursor", "`by_holder`: `account#…`", *pages
    yield "rufus: any request with one API key", "`key#…`", *[hottest(one, directory, "key#")] * 2
    quectel = units("quectel.bind_device_sn", quectel_binds(world))
    product = hottest(quectel, directory, "product#")
    yield (
        "quectel: bind, blocks under the product and under the user",
        "`product#…`",
        Hottest(1, BLOCK_OF_PRODUCT),
        product,
    )
    for prefix in ("account#", "domain#"):
        yield "quectel: bind", f"`{prefix}…`", *[hottest(quectel, directory, prefix)] * 2
    remoteit = units("remoteit.connect_device", remoteit_connects(world))
    for prefix in ("account#", "key#"):
        yield "remoteit: connect", f"`{prefix}…`", *[hottest(remoteit, directory, prefix)] * 2
    vodlix = units("vodlix.add_device", vodlix_adds(world))
    yield "vodlix: add", "`setting#device_management`", Hottest(1, 0), hottest(vodlix, directory, "setting#")


def main() -> None:
    """Print the table, and write it into docs/performance.md."""
    aws_calls.install()
    costs_of_calls.install()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, Bank() as bank, Engine(Path(folder)) as engine:
        clear_caches()
        serve.prepare(engine, bank.url, proxy="http://localhost")
        os.environ["AUDIENCE"] = AUDIENCE
        table = [
            "| requests of one tenant | partition | units per request | per second | units now | per second |",
            "|---|---|--:|--:|--:|--:|",
            *(f"| {what} | {key} | {before.shown()} | {now.shown()} |" for what, key, before, now in rows(World(bank))),
            "",
        ]
    sys.stdout.write("\n".join(table))
    costs.PAGE.write_text(costs.filled(costs.PAGE.read_text(), "ceilings", "\n".join(table)))


if __name__ == "__main__":
    main()
