"""remoteit: exact responses of connecting and of stopping a connection, and the items they write."""

import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Table
from bindery.connectivity import service_addresses
from bindery.connectivity.leases import Connection, admit
from bindery.core import clock, env
from bindery.core.errors import Refused
from bindery.directory import accounts, sessions, users
from bindery.registry import devices, items
from bindery.registry.items import ServiceKind
from tests.http_api import Response
from tests.records import ADDRESS, bound, connection, developer
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

NOW = 1795176000_250
UNKNOWN = "80:00:00:00:00:00:00:F9"
ID = uuid.UUID("0b7cdb0e-5f9d-4c6b-9f43-8b8ad0b8a001")
CONNECTION = (
    '{"connection":{"deviceaddress":"80:00:00:00:00:00:00:F1","expirationsec":"28800",'
    '"proxy":"https://proxyaaaaaaaaaaaaaaaa.proxy.example.com","connectionid":"0B7CDB0E-5F9D-4C6B-9F43-8B8AD0B8A001",'
    '"proxyserver":"proxyaaaaaaaaaaaaaaaa.proxy.example.com","proxyport":"443","requested":"11/20/2026T12:00 PM",'
    '"requestedAt":"2026-11-20T12:00:00+00:00","status":"running","imageintervalms":"1000"},'
    '"status":"true","connectionid":"0B7CDB0E-5F9D-4C6B-9F43-8B8AD0B8A001"'
)


@pytest.fixture
def certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(uuid, "uuid4", lambda: ID)
    monkeypatch.setattr(secrets, "choice", lambda letters: letters[0])


@pytest.fixture(autouse=True)
def credentials(registry: None) -> dict[str, str]:
    """Return the developer key of one account and the session of a user of another."""
    accounts.create("tools", name="Tools")
    accounts.create("acme", name="Acme")
    users.create("ann", "acme")
    return developer("ann", "tools")


@pytest.fixture(autouse=True)
def device(credentials: None) -> str:
    """Bind a device with the documented service address to the user's account."""
    return bound("acme", "Model X1", "DEVICE-123", ADDRESS)


def connect(headers: Mapping[str, str], body: Any = None) -> Response:
    return send("remoteit.connect_device", headers, body={"deviceaddress": ADDRESS} if body is None else body)


def leases() -> list[dict[str, Any]]:
    return [item for item in stored(Table.BINDINGS) if item["sk"].startswith("connection#")]


def refusal(reason: str) -> str:
    return f'{{"status":"false","reason":"{reason}","code":"GENERAL_ERROR"}}'


def not_shared(address: str) -> str:
    return refusal(f"[0405] {address} is not available for public access and is not shared with you.")


@pytest.mark.usefixtures("certain")
@pytest.mark.parametrize(
    ("body", "wait"),
    [
        ('{"wait":"true","deviceaddress":"80:00:00:00:00:00:00:F1"}', ',"wait":true'),  # curl
        ('{"deviceaddress":"80:00:00:00:00:00:00:F1"}', ""),  # Node, Python, C#
        ('{"deviceaddress":"80:00:00:00:00:00:00:F1","wait":true}', ',"wait":true'),  # PHP
        ('{"wait":"true ","deviceaddress":" 80:00:00:00:00:00:00:f1 "}', ',"wait":true'),
        ('{"wait":"FALSE","deviceaddress":"80:00:00:00:00:00:00:F1"}', ',"wait":false'),
        ('{"wait":false,"deviceaddress":"80:00:00:00:00:00:00:F1"}', ',"wait":false'),
        *((f'{{"wait":{sent},"deviceaddress":"{ADDRESS}"}}', ',"wait":true') for sent in ("1", '"1"', '" 1 "')),
        *((f'{{"wait":{sent},"deviceaddress":"{ADDRESS}"}}', ',"wait":false') for sent in ("0", '"0"')),
        ('{"wait":null,"hostip":null,"deviceaddress":"80:00:00:00:00:00:00:F1"}', ""),
        ('{"wait":" ","hostip":" ","deviceaddress":"80:00:00:00:00:00:00:F1"}', ""),
    ],
)
def test_documented_samples_connect(body: str, wait: str, credentials: dict[str, str], device: str) -> None:
    for sent in (body, body.encode()):
        answer = connect(credentials, sent)
        assert answer.status == 200
        assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
        assert answer.body == CONNECTION + wait + "}"
    ann, assigned = users.show("ann"), service_addresses.find(ADDRESS)
    assert assigned is not None
    assert leases() == [
        {
            "pk": device,
            "sk": "connection#user#ann",
            "holder": "caller#ann",
            "holder_sort": f"remoteit#{NOW:013}",
            "connection": "0B7CDB0E-5F9D-4C6B-9F43-8B8AD0B8A001",
            "caller": "ann",
            "account": "acme",
            "generation": ann["generation"],
            "assignment": assigned.assignment,
            "pseudonym": ann["pseudonym"],
            "per_user": False,
            "address": ADDRESS,
            "kind": None,
            "client_ip": "203.0.113.9",
            "label": "proxyaaaaaaaaaaaaaaaa",
            "expires_at": NOW // 1000 + 28800,
            "created_at": NOW,
        }
    ]


def test_each_connection_has_its_own_id_and_label(credentials: dict[str, str]) -> None:
    made = [connect(credentials).json()["connection"] for _ in range(2)]
    for each in made:
        assert str(uuid.UUID(each["connectionid"])).upper() == each["connectionid"]
        assert re.fullmatch(r"https://proxy[a-z]{16}\.proxy\.example\.com", each["proxy"])
    assert [len({each[name] for each in made}) for name in ("connectionid", "proxy")] == [2, 2]


def test_connection_lifetime_and_host_are_settings(
    credentials: dict[str, str], environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("LEASE_SECONDS", "60")
    environment.setenv("PROXY_URL", "https://p18.rt3.io:8443")
    connection = connect(credentials).json()["connection"]
    assert 59 <= int(connection["expirationsec"]) <= 60
    assert connection["proxyserver"].endswith(".p18.rt3.io")
    assert connection["proxyport"] == "8443"
    assert connection["proxy"] == f"https://{connection['proxyserver']}:8443"


@pytest.mark.parametrize("kind", ["ssh", "http"])
def test_port_of_a_relay_host_is_for_services_other_than_http(
    kind: ServiceKind, credentials: dict[str, str], device: str, environment: pytest.MonkeyPatch
) -> None:
    service_addresses.withdraw(ADDRESS)
    service_addresses.assign(ADDRESS, device, kind)
    assert connect(credentials).json()["connection"]["proxyport"] == "443"
    environment.setenv("RELAY_HOST", "127.0.0.1:34168-34168")
    env.clear_cache()
    connection = connect(credentials).json()["connection"]
    found = (connection["proxy"], connection["proxyserver"], connection["proxyport"])
    assert (found == ("http://127.0.0.1:34168", "127.0.0.1", "34168")) == (kind == "ssh")


@pytest.mark.parametrize(
    ("hostip", "client_ip"),
    [
        *((text, text) for text in ("192.0.2.7", "0.0.0.0", "255.255.255.255")),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("", "203.0.113.9"),
    ],
)
def test_client_defaults_to_the_caller(hostip: str, client_ip: str, credentials: dict[str, str]) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.1"}
    assert connect(credentials | forwarded, {"deviceaddress": ADDRESS, "hostip": hostip}).status == 200
    assert leases()[0]["client_ip"] == client_ip


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "missing deviceaddress"),
        *(({"deviceaddress": blank, "hostip": "x"}, "missing deviceaddress") for blank in (None, " ")),
        *(
            ({"deviceaddress": wrong}, "invalid deviceaddress")
            for wrong in (8, ADDRESS[:-3], ADDRESS + ":00", ADDRESS.replace(":", "-"), ADDRESS[:-1] + "G", "8" * 200)
        ),
        *(
            ({"deviceaddress": ADDRESS, "hostip": wrong}, "invalid hostip")
            for wrong in ("host.example.com", "203.0.113.256", "203.0.113.9/32", 3405803785)
        ),
        *(({"deviceaddress": ADDRESS, "wait": wrong}, "invalid wait") for wrong in ("yes", 2, 1.0, "2", "00", [])),
        ({"deviceaddress": "x", "wait": "x", "hostip": "x"}, "invalid deviceaddress, wait, hostip"),
    ],
)
def test_invalid_body_is_400_and_writes_nothing(body: Any, reason: str, credentials: dict[str, str]) -> None:
    before = everything()
    answer = connect(credentials, body)
    assert (answer.status, answer.body) == (400, refusal(reason))
    assert everything() == before


def test_foreign_unbound_and_unknown_devices_are_answered_alike(credentials: dict[str, str], device: str) -> None:
    accounts.create("other", name="Other")
    users.create("eve", "other")
    eve = credentials | {"token": sessions.issue("eve", "remoteit", 3600)[0]}
    unbound = bound("other", "M", "unbound", "80:00:00:00:00:00:00:F2")
    dynamodb.write(Delete(items.owner(unbound)))
    before = everything()
    for address in (ADDRESS, UNKNOWN, "80:00:00:00:00:00:00:F2"):
        answer = connect(eve, {"deviceaddress": address.lower()})
        assert (answer.status, answer.body) == (403, not_shared(address))
        assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    for change in (lambda: devices.ban(device, "stolen"), lambda: devices.deactivate(device)):
        change()
        assert connect(eve).body == not_shared(ADDRESS)
    assert everything()["BINDINGS"] == before["BINDINGS"]


def test_developer_key_must_be_present_but_the_token_is_verified_first(credentials: dict[str, str]) -> None:
    for headers, reason in (
        ({"developerkey": " ", "token": " "}, "missing developer key"),
        ({"developerkey": "A" * 40, "token": "no.such.token"}, "invalid api token"),
    ):
        answer = connect(headers)
        assert (answer.status, answer.body) == (401, refusal(reason))


def test_inactive_or_banned_device_is_refused_until_it_is_restored(credentials: dict[str, str], device: str) -> None:
    devices.deactivate(device)
    before = everything()
    answer = connect(credentials)
    assert (answer.status, answer.body) == (404, refusal("the device is not active"))
    assert everything() == before
    devices.ban(device, "stolen")
    assert connect(credentials).body == refusal("the device is banned")
    devices.unban(device)
    devices.activate(device)
    assert connect(credentials).status == 200


OTHERS = "80:00:00:00:00:00:00:F2"
ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
NOT_STOPPED = (
    401,
    '{"status":"false","reason":"missing or invalid deviceaddress or connectionid","code":"GENERAL_ERROR"}',
)


@pytest.fixture
def theirs(registry: None) -> Connection:
    """Connect Eve of another account to a device of her own."""
    accounts.create("other", name="Other")
    users.create("eve", "other")
    bound("other", "M", "S", OTHERS)
    return connection("eve", OTHERS)


def stop(headers: dict[str, str], body: Any) -> Response:
    return send("remoteit.stop_connection", headers, body=body)


def admitted(made: Connection) -> bool:
    try:
        return admit(made.label, "203.0.113.9").lease["connection"] == made.id
    except Refused:
        return False


@pytest.mark.parametrize("spelled", [str.upper, str.lower, lambda text: f" {text} "])
def test_stopped_connection_is_deleted_and_refuses_clients(
    credentials: dict[str, str], device: str, theirs: Connection, spelled: Callable[[str], str]
) -> None:
    before = [item for item in stored(Table.BINDINGS) if item["pk"] == device]
    made = connection("ann")
    answer = stop(credentials, {"deviceaddress": spelled(ADDRESS), "connectionid": spelled(made.id)})
    assert (answer.status, answer.body) == (200, f'{{"status":"true","connectionid":"{made.id}"}}')
    assert (admitted(made), admitted(theirs)) == (False, True)
    assert [item for item in stored(Table.BINDINGS) if item["pk"] == device] == before
    again = stop(credentials, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (again.status, again.body) == NOT_STOPPED
    assert admitted(connection("ann"))


def test_any_wrong_value_gets_one_refusal_and_ends_nothing(credentials: dict[str, str], theirs: Connection) -> None:
    users.create("bob", "acme")
    ended, colleagues = connection("ann"), connection("bob")
    made = connection("ann")
    stands = everything()
    wrong_addresses = (None, " ", 8, "no address", ADDRESS[:-3], UNKNOWN, OTHERS)
    wrong_ids = (
        *(None, " ", ["x"], theirs.id, colleagues.id, ended.id, "no id", f"{{{made.id}}}", f"urn:uuid:{made.id}"),
        *(made.id.replace("-", ""), made.id.translate(ARABIC), f"-{made.id}", "\ud800", "x" * 10_000, made.label),
    )
    for body in (
        *({}, {"deviceaddress": ADDRESS}, {"connectionid": made.id}),
        {"deviceaddress": OTHERS, "connectionid": theirs.id},
        *({"deviceaddress": address, "connectionid": made.id} for address in wrong_addresses),
        *({"deviceaddress": ADDRESS, "connectionid": wrong} for wrong in wrong_ids),
    ):
        answer = stop(credentials, body)
        assert (answer.status, answer.body) == NOT_STOPPED, body
        assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert everything() == stands


def test_expired_connection_cannot_be_stopped(credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = connection("ann")
    stands = everything()
    monkeypatch.setattr(clock, "now", lambda: made.expires_at * 1000)
    over = stop(credentials, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (over.status, over.body) == NOT_STOPPED
    assert everything() == stands


def test_user_of_an_ended_share_can_stop_their_connection(credentials: dict[str, str], device: str) -> None:
    made = connection("ann")
    dynamodb.write(items.user("ann").update(set={"customer": None}))
    dynamodb.write(items.owner(device).update(set={"holder": "account#other"}))
    assert stop(credentials, {"deviceaddress": ADDRESS, "connectionid": made.id}).status == 200
