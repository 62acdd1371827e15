"""relay: clients that are admitted, and access that ends."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws.errors import ConnectionFailed
from bindery.connectivity import frames, leases, service_addresses
from bindery.core import clock
from bindery.directory import accounts, users
from bindery.http.operation import logger
from bindery.registry import identity, items
from bindery.registry.items import ServiceKind
from bindery.relay import http_messages
from tests import aws_calls, calls, rufus
from tests.http_api import admin
from tests.records import ADDRESS
from tests.relay import World, echo, plain
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

OTHER = "203.0.113.10"
ENDED = "This connection has ended, or you no longer have access to the device. Open a new one.\n"
UNKNOWN = "There is no connection at this host name. It may have ended. Open a new one.\n"


def slow(_: bytes) -> list[bytes | float]:
    """Respond after three seconds."""
    return [3.0, plain(b"hi")]


def operate(world: World, action: str) -> None:
    answer = admin("devices", "POST", f"devices/{identity.opaque(world.device)}/{action}", {"reason": "lost"})
    assert answer.status == 200


def test_request_changes_only_the_frames() -> None:
    world = World(echo)
    before = everything()
    world.ask("POST", body=b"x")
    after = everything()
    (frame,) = after.pop("FRAMES")
    assert before.pop("FRAMES") == []
    assert after == before
    assert 3500 < frame["expires_at"] - clock.seconds() <= 3605


@pytest.mark.parametrize("label", ["proxy" + "a" * 16, "PROXY" + "A" * 16])
def test_unknown_label_is_404(label: str) -> None:
    world = World(echo)
    before = everything()
    answer = world.ask(label=label)
    assert (answer.status, answer.text) == (404, UNKNOWN)
    assert answer.headers == {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    assert (world.agent.got, everything()) == ([], before)


@pytest.mark.parametrize("label", ["www", "", "proxy", "proxy" + "a" * 17, "port#1"])
def test_host_name_that_cannot_have_a_connection_is_404_without_a_read(label: str) -> None:
    world = World(echo)
    assert world.ask(headers={"host": f"{label}.proxy.example.com"}).status == 404
    assert world.round_trips == []
    assert not [item for item in stored(items.Table.BINDINGS) if item["pk"].startswith("attempts#")]


def test_label_is_read_in_any_case_and_with_a_port() -> None:
    world = World(echo)
    assert world.ask(headers={"host": f"{world.lease.label.upper()}.localhost:3000"}).status == 200


def test_guesses_are_throttled_per_network() -> None:
    world = World(echo)
    for _ in range(21):
        assert world.ask(label="proxy" + "a" * 16).status in (404, 429)
    answer = world.ask(label="proxy" + "a" * 16)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    (count,) = [item for item in stored(items.Table.BINDINGS) if item["pk"].startswith("attempts#label#")]
    assert count["failures"] == 21
    assert world.ask().status == 200, "a valid label is never throttled"
    assert world.ask(label="proxy" + "a" * 16, source_ip=OTHER).status == 404


def test_another_client_is_403() -> None:
    world = World(echo, client_ip="203.0.113.9")
    assert world.ask().status == 200
    answer = world.ask(source_ip=OTHER)
    assert (answer.status, answer.text) == (403, "This connection is for another IP address.\n")
    assert len(world.agent.requests) == 1


@pytest.mark.parametrize("kind", ["http", None])
def test_http_and_untyped_services_are_reached(kind: ServiceKind | None) -> None:
    assert World(echo, kind=kind).ask().status == 200


@pytest.mark.parametrize("kind", ["https", "ssh", "tcp"])
def test_other_services_are_501_with_the_tunnel_command(kind: ServiceKind) -> None:
    world = World(echo, kind=kind)
    answer = world.ask()
    assert (answer.status, world.agent.got) == (501, [])
    assert f"bindery tunnel {ADDRESS} --service {kind} --listen 8080" in answer.text


ENDS: dict[str, tuple[Callable[[World], Any], str]] = {
    "unbind": (lambda world: rufus.unbind(world.deviceid), ENDED),
    "user disabled": (lambda world: users.set_enabled("ann", False), ENDED),
    "account disabled": (lambda world: accounts.set_enabled("acme", False), ENDED),
    "address withdrawn": (lambda world: service_addresses.withdraw(ADDRESS), ENDED),
    "ban": (lambda world: operate(world, "ban"), "The device is banned.\n"),
    "inactive": (lambda world: operate(world, "deactivate"), "Connections to this device are disabled.\n"),
}
GONE: dict[str, Callable[[World], Any]] = {
    "stop": lambda world: leases.stop(world.device, "ann"),
    "unbind and bind": lambda world: [rufus.unbind(world.deviceid), rufus.bound()],
    "new connection": lambda world: world.connect(),
}
EVERY = {name: end for name, (end, _) in ENDS.items()} | GONE


@pytest.mark.parametrize("name", EVERY)
def test_access_that_has_ended_is_403_or_404_if_it_is_gone(name: str) -> None:
    world = World(echo)
    EVERY[name](world)
    answer = world.ask()
    expected = (404, UNKNOWN) if name in GONE else (403, ENDS[name][1])
    assert (answer.status, answer.text, world.agent.requests) == (*expected, [])


@pytest.mark.parametrize("name", EVERY)
def test_access_that_ends_during_a_request_is_403_within_a_second(name: str) -> None:
    world = World(slow)
    world.time.at(1.5, lambda: EVERY[name](world))
    answer = world.ask()
    assert (answer.status, answer.text) == (403, ENDS.get(name, (None, ENDED))[1])
    assert 1.5 <= world.took < 2.6
    if name == "stop":
        assert [message["why"] for message in world.sent("reset")] == ["ended"]
        assert world.agent.streams == {}


def test_lease_that_expires_during_a_request_ends_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEASE_SECONDS", "2")
    world = World(slow)
    assert world.ask().status == 403
    assert 1 <= world.took < 3


def test_access_is_checked_before_a_late_response_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    read = frames.read

    def slowly(stream: str, number: int) -> frames.Received:
        found = read(stream, number)
        if found.frames:
            with calls.unrecorded():
                leases.stop(world.device, "ann")
            world.time.sleep(1.0)
        return found

    monkeypatch.setattr(frames, "read", slowly)
    assert world.ask().status == 403


def test_access_is_checked_while_a_request_is_sent() -> None:
    world = World(echo)
    sent = world.agent.send

    def slowly(message: dict[str, Any]) -> None:
        world.time.after(0.9, lambda: sent(message))

    world.agent.send = slowly  # type: ignore[method-assign]
    world.time.at(1.5, lambda: leases.stop(world.device, "ann"))
    assert world.ask("POST", body=bytes(http_messages.BODY_LIMIT)).status == 403
    assert len(world.sent("data")) < 30


def fail(**_: Any) -> None:
    raise ConnectionFailed("EndpointConnectionError")


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_unreachable_table_is_503(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    aws_calls.replace(monkeypatch, operation, fail)
    answer = world.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_throttled_key_range_is_503_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "TableReadKeyRangeThroughputExceeded"

    def throttle(**_: Any) -> None:
        raise aws_calls.error("ThrottlingException", throttlingReasons=[{"reason": why}])

    world = World(echo)
    warned: list[dict[str, Any]] = []
    monkeypatch.setattr(logger, "warning", lambda _, extra: warned.append(extra))
    aws_calls.replace(monkeypatch, "BatchGetItem", throttle)
    assert world.ask().status == 503
    assert [line["throttled"] for line in warned] == [why]


def test_table_that_becomes_unreachable_is_503_and_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(slow)
    world.time.at(1.5, lambda: aws_calls.replace(monkeypatch, "Query", fail))
    assert world.ask().status == 503
    assert [message["why"] for message in world.sent("reset")] == ["closed"]


def test_internal_error_is_500_and_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(slow)
    world.time.at(1.5, lambda: monkeypatch.setattr(leases, "readmit", lambda *_: {}["secret inner text"]))
    answer = world.ask()
    assert (answer.status, answer.text) == (500, "Internal error.\n")
    assert [message["why"] for message in world.sent("reset")] == ["closed"]


def test_log_has_no_label_path_or_content(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(logger, "info", lambda message, extra: lines.append((message, extra)))
    world = World(echo)
    world.ask("POST", "/secret-path", query="secret-query", body=b"secret-body", headers={"x": "secret-header"})
    world.agent.connection.end()
    world.ask()
    logged = [extra for message, extra in lines if message == "relay.forward"]
    assert [(line["status"], line["reason"], line["Refused"]) for line in logged] == [
        (200, None, 0),
        (503, "device_offline", 1),
    ]
    text = json.dumps(lines)
    assert "secret-" not in text
    assert world.lease.label not in text
