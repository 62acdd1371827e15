"""link: tunnels of clients to devices, and the streams in them."""

import base64
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ServiceError
from bindery.connectivity import leases, service_addresses, streams, tunnels
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, users
from bindery.link import stream_messages
from bindery.registry import devices, identity, items
from bindery.rufus import company_devices
from tests import device_link, moto_registry, records, rufus
from tests.device_link import Connection, connect, connected
from tests.records import ADDRESS
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

SESSION, NAME = "5" * 32, "a" * 32
OTHER_ADDRESS = "80:00:00:00:00:00:00:F2"
CLIENT = "203.0.113.9"
DATA = base64.b64encode(b"hello").decode()
ENDED = {"type": "bye", "why": "ended", "after": 0}


class Ends(NamedTuple):
    """A device, and a tunnel to it."""

    device: Connection
    tunnel: Connection
    lease: leases.Connection


def tunnel(lease: leases.Connection, session: str = SESSION, source_ip: str = CLIENT) -> Connection | None:
    headers = {"Authorization": f"Bearer {lease.label}.{lease.id}", "Bindery-Session": session}
    return connect("", headers=headers, source_ip=source_ip)


def device_key(serial: str = "DEVICE-123") -> str:
    return identity.company_device("acme", "Model X1", serial)


@pytest.fixture
def lease(registry: None) -> leases.Connection:
    """Lease of ann to the ssh service of a device of her company."""
    moto_registry.prepare("tunnels", install)
    return records.connection("ann", client_ip=CLIENT)


def install() -> None:
    rufus.install()
    rufus.bound()
    users.create("ann", "acme")
    service_addresses.assign(ADDRESS, device_key(), "ssh", 22)


@pytest.fixture
def ends(lease: leases.Connection) -> Ends:
    device = connected(rufus.bound())
    made = tunnel(lease)
    assert made is not None
    made.send({"type": "open", "s": NAME, "n": 0, "d": DATA})
    return Ends(device, made, lease)


def opened(ends: Ends) -> str:
    return str(ends.device.received[0]["s"])


def test_lease_opens_a_tunnel(lease: leases.Connection) -> None:
    made = tunnel(lease)
    assert made is not None
    made.send({"type": "hello", "v": 1})
    assert [answer["type"] for answer in made.received] == ["welcome"]
    (item,) = [item for item in stored(Table.BINDINGS) if item["sk"] == f"link#tunnel#{SESSION}"]
    assert item["pk"] == lease.device
    assert (item["lease"], item["connection"], item["expires_at"]) == (lease.id, made.id, lease.expires_at)


@pytest.mark.parametrize(
    "wrong", [{"id": str(uuid.UUID(int=1)).upper()}, {"label": "proxy" + "z" * 16}, {"label": "port#34168"}], ids=str
)
def test_unknown_lease_is_refused_and_counts_as_a_guess(wrong: dict[str, str], lease: leases.Connection) -> None:
    before = everything()
    assert tunnel(lease._replace(**wrong)) is None
    assert everything() == before
    (guesses,) = [item for item in stored(Table.BINDINGS) if item["pk"].startswith("attempts#label#")]
    assert guesses["failures"] == 1


@pytest.mark.parametrize("session", ["", "5" * 31, "5" * 33, "X" * 32, "5" * 32 + "\n"])
def test_invalid_session_is_refused(session: str, lease: leases.Connection) -> None:
    before = everything()
    assert tunnel(lease, session) is None
    assert everything() == before


def test_tunnel_of_another_client_is_refused(lease: leases.Connection) -> None:
    assert tunnel(lease, source_ip="203.0.113.10") is None
    assert tunnel(lease) is not None


def test_session_of_another_lease_is_refused(ends: Ends) -> None:
    users.create("ben", "acme")
    other = records.connection("ben", client_ip=CLIENT)
    assert tunnel(other) is None
    assert ends.tunnel.is_open
    assert tunnel(other, "6" * 32) is not None


def test_address_keeps_its_relay_port_unless_another_lease_uses_it(
    lease: leases.Connection, environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.setenv("RELAY_HOST", "relay.example.com:34168-34199")
    env.clear_cache()
    first, again = (records.connection("ann", client_ip=CLIENT) for _ in range(2))
    assert first.label == again.label
    users.create("ben", "acme")
    monkeypatch.setattr(leases.secrets, "choice", lambda ports: ports[-1])
    own, other = again.label, "port#34199"
    assert own != other
    assert records.connection("ben", client_ip=CLIENT).label == other
    leases.stop(device_key(), "ann")
    assert records.connection("ben", client_ip=CLIENT).label == own


def test_clients_at_a_shared_relay_port_get_their_own_connections(
    lease: leases.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("RELAY_HOST", "relay.example.com:34168-34168")
    env.clear_cache()
    users.create("ben", "acme")
    clients = {"ann": CLIENT, "ben": "203.0.113.10"}
    made = {uid: records.connection(uid, client_ip=client) for uid, client in clients.items()}
    for uid, client in clients.items():
        assert tunnels.at_port(34168, client)["connection"] == made[uid].id
        assert tunnel(made[uid], uid[0] * 32) is not None
    with pytest.raises(Refused) as refused:
        tunnels.at_port(34168, "203.0.113.11")
    assert refused.value.reason is Reason.NOT_FOUND


MESSAGES: list[dict[str, Any]] = [
    {"type": "data", "n": 1, "d": DATA, "fin": True, "ack": 3, "window": 4},
    {"type": "data", "n": 0},
    {"type": "ack", "n": 4, "window": 8},
    {"type": "need", "from": 2, "not": [4, 5], "window": 2},
    {"type": "still"},
    {"type": "reset", "why": "closed"},
]


def test_open_reaches_the_device_with_the_service_of_the_address(ends: Ends) -> None:
    (message,) = ends.device.received
    assert message == {"type": "open", "s": opened(ends), "svc": "ssh", "n": 0, "d": DATA, "acks": True}
    assert opened(ends).split(".")[:3] == [SESSION, NAME, str(ends.lease.expires_at)]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
def test_messages_pass_unchanged_in_both_directions(message: dict[str, Any], ends: Ends) -> None:
    ends.tunnel.send(message | {"s": NAME})
    ends.device.send(message | {"s": opened(ends)})
    assert ends.device.received[1:] == [message | {"s": opened(ends)}]
    assert ends.tunnel.received == [message | {"s": NAME}]


def test_service_of_another_type_is_not_opened(ends: Ends) -> None:
    ends.tunnel.send({"type": "open", "s": "b" * 32, "svc": "http", "n": 0})
    assert ends.tunnel.received == [{"type": "reset", "s": "b" * 32, "why": "unknown-service"}]
    assert len(ends.device.received) == 1


@pytest.mark.parametrize(("asked", "opens"), [("vnc", True), ("", False)])
def test_untyped_address_opens_the_service_asked_for(asked: str, opens: bool, ends: Ends) -> None:
    service_addresses.assign(OTHER_ADDRESS, device_key())
    made = tunnel(records.connection("ann", OTHER_ADDRESS, CLIENT), "6" * 32)
    assert made is not None
    made.send({"type": "open", "s": NAME, "svc": asked, "n": 0})
    assert [message["svc"] for message in ends.device.received[1:]] == [asked] * opens
    assert [message["why"] for message in made.received] == ["unknown-service"] * (not opens)


def test_streams_continue_when_the_client_connects_again(ends: Ends) -> None:
    again = tunnel(ends.lease)
    assert again is not None
    assert not ends.tunnel.is_open
    again.send({"type": "data", "s": NAME, "n": 1})
    assert ends.device.received[-1]["s"] == opened(ends)
    ends.device.send({"type": "data", "s": opened(ends), "n": 0, "d": DATA})
    assert again.received == [{"type": "data", "s": NAME, "n": 0, "d": DATA}]


def test_streams_continue_when_the_device_connects_again(ends: Ends) -> None:
    again = connected(rufus.bound())
    ends.tunnel.send({"type": "data", "s": NAME, "n": 1})
    assert [message["s"] for message in again.received] == [opened(ends)]


def test_connection_of_an_earlier_binding_carries_nothing(ends: Ends) -> None:
    (presence,) = [item for item in stored(Table.BINDINGS) if item["sk"] == "link#presence"]
    dynamodb.write(items.presence(ends.lease.device).put(presence | {"binding": "earlier"}))
    ends.tunnel.send({"type": "data", "s": NAME, "n": 1, "d": DATA})
    assert len(ends.device.received) == 1


def test_client_learns_that_the_device_is_offline(ends: Ends) -> None:
    ends.device.end()
    for message in (*MESSAGES, {"type": "open", "n": 0}):
        ends.tunnel.send(message | {"s": NAME})
    # The others are repeated until the device is back.
    assert ends.tunnel.received == [{"type": "reset", "s": NAME, "why": "offline"}]


@pytest.mark.parametrize(
    "changes",
    [
        *({"s": wrong} for wrong in (None, "A" * 32, NAME + "b")),
        *({"n": wrong} for wrong in (-1, 10**8, "1")),
        *({"d": wrong} for wrong in ("no base64", "A", "A" * 122_884)),
        {"fin": 1},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_invalid_message_ends_the_tunnel(changes: dict[str, Any], ends: Ends) -> None:
    ends.tunnel.send({"type": "data", "s": NAME, "n": 1} | changes)
    assert ends.tunnel.received == [{"type": "bye", "why": "invalid", "after": 0}]
    assert not ends.tunnel.is_open
    assert len(ends.device.received) == 1


def test_tunnel_can_send_nothing_but_streams(ends: Ends) -> None:
    before = everything()
    ends.tunnel.send({"type": "report", "values": {"on": True}})
    assert ends.tunnel.received == [{"type": "refused", "why": "unknown type: report"}]
    assert everything() == before


def of_another_device(ends: Ends) -> str:
    return streams.Stream("rufus#acme#other", SESSION, NAME, ends.lease.expires_at).id


def over(ends: Ends) -> str:
    return streams.Stream(ends.lease.device, SESSION, NAME, clock.seconds()).id


FORGED: list[Callable[[Ends], str]] = [
    of_another_device,
    over,
    lambda ends: opened(ends)[:-1] + ("1" if opened(ends)[-1] == "0" else "0"),
    lambda ends: opened(ends).replace(NAME, "b" * 32),
    lambda ends: opened(ends).replace(SESSION, "6" * 32),
    lambda ends: opened(ends).replace(SESSION, ""),
    lambda ends: opened(ends).replace(str(ends.lease.expires_at), str(ends.lease.expires_at + 1)),
    lambda ends: opened(ends).rpartition(".")[0],
    lambda _: "",
    lambda _: "...",
    lambda _: "a.b.c.\u00e9",
]


@pytest.mark.parametrize("forge", FORGED)
def test_device_cannot_send_into_a_stream_that_was_not_opened_to_it(forge: Callable[[Ends], str], ends: Ends) -> None:
    before, forged = everything(), forge(ends)
    ends.device.send({"type": "data", "s": forged, "n": 0, "d": DATA})
    assert ends.device.received[1:] == [{"type": "reset", "s": forged, "why": "unknown"}]
    assert ends.tunnel.received == []
    assert everything() == before


def test_reset_of_an_unknown_stream_is_not_answered(ends: Ends) -> None:
    ends.device.send({"type": "reset", "s": over(ends), "why": "closed"})
    assert len(ends.device.received) == 1


UNBOUND = {"type": "bye", "why": "unbound", "after": 600}
ENDINGS: dict[str, Callable[[], object]] = {
    "stop": lambda: leases.stop(device_key(), "ann"),
    "unbind": lambda: company_devices.unbind("acme", rufus.bound()),
    "ban": lambda: devices.ban(device_key(), "stolen"),
    "disabled user": lambda: users.set_enabled("ann", False),
    "disabled account": lambda: accounts.set_enabled("acme", False),
    "revoked tokens": lambda: users.revoke_sessions("ann"),
    "withdrawn address": lambda: service_addresses.withdraw(ADDRESS),
    "new connection": lambda: records.connection("ann"),
}


@pytest.mark.parametrize("side", ["client", "device"])
@pytest.mark.parametrize("name", ENDINGS)
def test_end_of_a_lease_ends_its_tunnel_at_the_next_message(name: str, side: str, ends: Ends) -> None:
    stream = opened(ends)
    ENDINGS[name]()
    if side == "client":
        ends.tunnel.send({"type": "data", "s": NAME, "n": 1, "d": DATA})
    else:
        ends.device.send({"type": "data", "s": stream, "n": 0, "d": DATA})
    assert ends.tunnel.received == [ENDED]
    assert not ends.tunnel.is_open
    assert ends.device.received[1:] == [UNBOUND if name == "unbind" else {"type": "reset", "s": stream, "why": "ended"}]
    assert tunnel(ends.lease) is None


def test_frames_of_an_http_stream_are_stored_for_the_relay(ends: Ends) -> None:
    stream = streams.from_relay(ends.lease.device, ends.lease.expires_at)
    for message in (
        {"type": "data", "n": 0, "d": DATA},
        {"type": "data", "n": 1, "fin": True},
        {"type": "need", "from": 1, "not": [3]},
        {"type": "ack", "n": 1, "window": 8},
        {"type": "ack", "n": 2, "window": 8},
    ):
        ends.device.send(message | {"s": stream.id})
    assert len(ends.device.received) == 1
    kept = stored(Table.FRAMES)
    found = [{name: item[name] for name in item.keys() - {"pk", "expires_at"}} for item in kept]
    assert {item["pk"] for item in kept} == {f"stream#{stream.name}"}
    assert all(item["expires_at"] <= clock.seconds() + 3600 for item in kept)
    times = [item["signal"].pop("at") for item in found if "signal" in item]
    assert all(0 <= clock.now() - at < 60_000 for at in times)
    assert found == [
        {"sk": "00000000", "data": b"hello", "fin": False},
        {"sk": "00000001", "data": b"", "fin": True},
        {"sk": "~ack", "signal": {"n": 2, "window": 8}},
        {"sk": "~need", "signal": {"from": 1, "not": [3]}},
    ]


def test_passed_messages_are_not_logged_one_by_one(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ends.tunnel.send({"type": "data", "s": NAME, "n": 1})
    ends.device.send({"type": "data", "s": opened(ends), "n": 0})
    assert caplog.messages == []
    ends.tunnel.send({"type": "hello", "v": 1})
    assert caplog.messages == ["link.message"]


@pytest.mark.parametrize("full", [2, 9])
def test_message_for_a_slow_receiver_waits_and_is_then_dropped(
    full: int, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left, pauses = device_link.Gateway.call, [full], list[float]()

    def call(gateway: device_link.Gateway, operation: str, **request: Any) -> dict[str, Any]:
        left[0] -= 1
        if left[0] >= 0:
            raise ServiceError("LimitExceededException", 429, {})
        return real(gateway, operation, **request)

    monkeypatch.setattr(device_link.Gateway, "call", call)
    monkeypatch.setattr(stream_messages, "sleep", pauses.append)
    ends.tunnel.send({"type": "data", "s": NAME, "n": 1})
    assert pauses == [0.05, 0.1, 0.2, 0.4][:full]
    assert len(ends.device.received) == (2 if full == 2 else 1)
