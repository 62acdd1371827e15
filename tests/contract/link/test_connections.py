"""link: which devices may connect, whether they are online, and the messages they send."""

import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ConnectionFailed
from bindery.connectivity import presence
from bindery.core import clock
from bindery.core.errors import HotKey, Reason, Refused
from bindery.directory import accounts, users
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests import aws_calls, device_link, moto_registry, quectel, rufus
from tests.asseco import IMEI, block, register, unregister
from tests.asseco import SAMPLE as PHONE
from tests.device_link import Connection, connect, connected
from tests.http_api import Response, admin
from tests.openid import CUSTOMER, Bank
from tests.quectel import DEVICE, DK, ME, OTHER, PK, World, as_user, succeeded
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

BYE = {"type": "bye", "after": 600}


def online(device: str, binding: str | None = None) -> bool:
    return presence.is_online(presence.under(presence.find(device), binding))


def operate(device: str, action: str, body: Any = None, query: str = "") -> Response:
    return admin("devices", "POST", f"devices/{identity.opaque(device)}/{action}", body, query=query)


def key_of(device: str) -> str:
    answer = operate(device, "key")
    assert answer.status == 200
    assert list(answer.json()) == ["device", "key"]
    return str(answer.json()["key"])


def fail(*_: object, **__: object) -> None:
    raise ConnectionFailed("EndpointConnectionError")


def bind(uid: str = ME) -> str:
    return succeeded(as_user(uid))["authKey"]


@pytest.fixture
def deviceid(registry: None) -> str:
    moto_registry.prepare("rufus", rufus.install)
    return rufus.bound()


@pytest.fixture
def device(deviceid: str) -> str:
    return identity.company_device_of("acme", deviceid)


def test_company_device_is_online_while_it_is_connected(deviceid: str, device: str) -> None:
    connection = connected(deviceid)
    assert online(device)
    assert connection.hello() == {
        "type": "welcome",
        "until": connection.context["connectedAt"] + 7_200_000,
        "heartbeat": 540,
    }
    connection.end()
    assert not online(device)


def test_unknown_credential_is_refused_without_changes(deviceid: str, device: str) -> None:
    before = everything()
    for wrong in (deviceid.lower(), deviceid[:-1], "", "Basic x"):
        assert connect(wrong) is None
    assert everything() == before


def test_every_user_of_a_shared_mode_has_a_credential(registry: None) -> None:
    World(Mode.MULTI)
    mine, others = bind(), bind(OTHER)
    assert mine != others
    first = connected(mine)
    assert connected(others).is_open
    assert not first.is_open


def test_auth_key_of_a_share_is_refused() -> None:
    World()
    bind()
    quectel.share(ME, OTHER, clock.seconds() + 1000)
    (shared,) = quectel.ask(OTHER, "user_device_list").json()["data"]["list"]
    assert shared["authKey"]
    assert connect(shared["authKey"]) is None


def test_replaced_credential_in_a_late_index_is_refused(device: str) -> None:
    earlier = key_of(device)
    with moto_registry.late_indexes():
        key_of(device)
        assert connect(earlier) is None
    (count,) = [item for item in stored(Table.BINDINGS) if item["pk"].startswith("attempts#device#")]
    assert count["failures"] == 1, "a replaced credential looks exactly like a wrong one"


@pytest.mark.parametrize("action", ["key", "revoke-key"])
def test_replaced_or_revoked_device_key_ends_its_connection(action: str, device: str) -> None:
    key = key_of(device)
    connection = connected(key)
    answer = operate(device, action).json()
    assert connection.received == [BYE | {"why": "revoked"}]
    assert not connection.is_open
    assert connect(key) is None
    if action == "key":
        connected(answer["key"])
    else:
        assert answer["presence"]["state"] == "never connected"


def test_revoking_a_device_key_leaves_a_connection_with_the_deviceid(deviceid: str, device: str) -> None:
    key_of(device)
    connection = connected(deviceid)
    assert operate(device, "revoke-key").json()["presence"]["state"] == "online"
    assert (connection.is_open, connection.received) == (True, [])


def test_device_key_needs_an_existing_device(device: str) -> None:
    before = everything()
    assert operate("vodlix#000000000001", "key").status == 404
    assert operate("vodlix#000000000001", "revoke-key").status == 404
    answer = operate(device, "revoke-key")
    assert answer.status == 404
    assert "The device does not exist, or has no key." in answer.body
    assert everything() == before


def test_device_key_works_only_while_the_device_is_bound() -> None:
    World(Mode.MULTI)
    key = key_of(DEVICE)
    assert connect(key) is None
    bind()
    connected(key)
    assert online(DEVICE)


def test_registered_device_connects_with_a_device_key(environment: pytest.MonkeyPatch) -> None:
    phone = identity.customer_device(IMEI)
    with Bank() as bank:
        bank.trusted(environment)
        register(bank, PHONE, CUSTOMER)
        key = key_of(phone)
        connection = connected(key)
        assert online(phone)
        block()
        assert operate(phone, "activate").json()["presence"]["state"] == "never connected"
        assert admin("devices", "GET", "devices/online").json()["items"] == []
        assert connection.hello() == BYE | {"why": "unbound"}
        assert connect(key) is None
        unregister(bank)
        assert connect(key) is None


def test_device_of_a_disabled_account_or_user_is_refused(deviceid: str) -> None:
    accounts.set_enabled("acme", False)
    assert connect(deviceid) is None
    World()
    auth_key = bind()
    users.set_enabled(ME, False)
    assert connect(auth_key) is None
    users.set_enabled(ME, True)
    accounts.set_enabled("smart", False)
    assert connect(auth_key) is None
    accounts.set_enabled("smart", True)
    connected(auth_key)


def test_unbound_device_is_disconnected_and_refused(deviceid: str, device: str) -> None:
    connection = connected(deviceid)
    assert rufus.unbind(deviceid).status == 200
    assert connection.received == [BYE | {"why": "unbound"}]
    assert not connection.is_open
    assert connect(deviceid) is None


def test_device_is_unbound_even_if_it_cannot_be_told(
    deviceid: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connected(deviceid)
    with monkeypatch.context() as unreachable:
        unreachable.setattr(device_link.Gateway, "call", fail)
        assert rufus.unbind(deviceid).status == 200
    assert connect(deviceid) is None
    assert connection.hello() == BYE | {"why": "unbound"}
    assert not connection.is_open


def test_banned_device_is_refused_and_disconnected(deviceid: str, device: str) -> None:
    connection = connected(deviceid)
    assert operate(device, "ban", {"reason": "stolen"}).status == 200
    assert not connection.is_open
    assert connection.received == [BYE | {"why": "banned"}]
    assert presence.find(device) is None
    assert connect(deviceid) is None


def test_connection_of_a_banned_device_ends_at_hello(deviceid: str, device: str) -> None:
    connection = connected(deviceid)
    device_link.gateway().open.clear()
    operate(device, "ban", {"reason": "stolen"})
    device_link.gateway().open[connection.id] = connection
    assert connection.hello() == BYE | {"why": "banned"}
    assert not connection.is_open


def test_replaced_connection_ends_at_hello(deviceid: str) -> None:
    first = connected(deviceid)
    device_link.gateway().open.clear()
    connected(deviceid)
    device_link.gateway().open[first.id] = first
    assert first.hello() == BYE | {"why": "replaced"}
    assert not first.is_open


def test_late_disconnect_of_a_replaced_connection_changes_nothing(deviceid: str, device: str) -> None:
    first, second = connected(deviceid), connected(deviceid)
    assert (first.is_open, second.is_open) == (False, True)
    assert first.received == [BYE | {"why": "replaced"}]
    before = everything()
    first.tell_end()
    assert everything() == before


def test_disconnect_after_unbinding_changes_no_binding(deviceid: str, device: str) -> None:
    connection = connected(deviceid)
    rufus.unbind(deviceid)
    connection.end()
    rufus.bound()
    before = everything()
    connection.tell_end()
    assert everything() == before


def test_device_is_offline_for_all_users_when_the_one_it_connected_for_has_left() -> None:
    World(Mode.MULTI)
    connection = connected(bind())
    bind(OTHER)
    assert quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK).json()["code"] == 200
    assert not online(DEVICE)
    assert connection.hello() == BYE | {"why": "unbound"}


def test_forced_unbind_of_one_user_leaves_another_users_connection() -> None:
    World(Mode.MULTI)
    connection = connected(bind())
    bind(OTHER)
    assert operate(DEVICE, "unbind", {"reason": "left"}, query=f"uid={OTHER}").status == 200
    assert (connection.is_open, connection.received) == (True, [])
    assert online(DEVICE)


def test_guesses_are_throttled_per_network_without_further_writes(
    deviceid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    for _ in range(25):
        assert connect("wrong") is None
    (count,) = [item for item in stored(Table.BINDINGS) if item["pk"].startswith("attempts#device#")]
    assert count["failures"] == 21
    connected(deviceid)
    assert connect("wrong", source_ip="203.0.113.78") is None
    counts = [item["failures"] for item in stored(Table.BINDINGS) if item["pk"].startswith("attempts#device#")]
    assert sorted(counts) == [1, 21]


def test_unreachable_table_is_a_failure_and_not_a_refusal(deviceid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connected(deviceid)
    before = everything()
    for operation, act in (
        ("Query", lambda: connect(deviceid)),
        ("BatchGetItem", lambda: connect(deviceid)),
        ("GetItem", lambda: connect(deviceid)),
        ("TransactWriteItems", lambda: connect(deviceid)),
        ("BatchGetItem", connection.hello),
        ("TransactWriteItems", connection.tell_end),
    ):
        with monkeypatch.context() as patch:
            aws_calls.replace(patch, operation, fail)
            with pytest.raises(Refused) as raised:
                act()
        assert raised.value.reason == "unavailable"
    assert everything() == before


def test_authorization_header_has_any_case_and_the_scheme_is_optional(deviceid: str, device: str) -> None:
    for headers in ({"AUTHORIZATION": f"bEARER  {deviceid} "}, {"authorization": deviceid}):
        connection = connect("", headers=headers)
        assert connection is not None
        assert online(device)
        connection.end()


def test_presence_records_the_address_and_agent(deviceid: str, device: str) -> None:
    connection = connected(deviceid, agent="a" * 200)
    found = dynamodb.get(items.presence(device))
    assert found is not None
    assert (found["ip"], found["agent"], found["key"]) == (device_link.SOURCE_IP, "a" * 128, False)
    assert found["connection"] == connection.id
    assert found["until"] - found["connected_at"] == 7_200_000


def test_no_credential_is_logged_or_stored(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    World()
    auth_key = bind()
    key = key_of(DEVICE)
    caplog.set_level("DEBUG")
    connected(auth_key).hello()
    connected(key).end()
    assert key.startswith("bdk_")
    assert key not in operate(DEVICE, "activate").body
    connect("wrong-credential")
    kept = json.dumps(everything()) + caplog.text + capsys.readouterr().out
    assert "link.authorize" in kept
    for secret in (auth_key, key, "wrong-credential"):
        assert secret not in kept


@pytest.mark.parametrize("mode", Mode)
def test_regenerated_auth_key_ends_the_connection(registry: None, mode: Mode) -> None:
    World(mode)
    earlier = bind()
    connection = connected(earlier)
    assert online(DEVICE)
    new = quectel.send("quectel.regenerate_auth_key", {"authorization": quectel.token(ME)}, body={"pk": PK, "dk": DK})
    assert (connection.is_open, online(DEVICE)) == (False, False)
    assert connection.received == [BYE | {"why": "revoked"}]
    assert connect(earlier) is None
    connected(new.json()["data"]["authKey"])


@pytest.mark.parametrize("which", ["users", "accounts"])
def test_connection_ends_when_the_holder_is_disabled(registry: None, which: str) -> None:
    World()
    connection = connected(bind())
    path = f"users/{ME}" if which == "users" else "accounts/smart"
    assert admin(which, "POST", f"{path}/disable").status == 200
    assert connection.hello() == BYE | {"why": "disabled"}
    assert not connection.is_open


HELLO: dict[str, Any] = {"type": "hello", "v": 1, "services": ["http"], "internal_ip": "192.168.1.7"}


@pytest.fixture
def connection(deviceid: str) -> Connection:
    return connected(deviceid)


@pytest.mark.parametrize(
    "changes",
    [{}, {"services": []}, {"services": ["a" * 32] * 16}, {"internal_ip": None}, {"later": {"any": "member"}}],
    ids=str,
)
def test_valid_hello_is_welcomed(changes: dict[str, Any], connection: Connection) -> None:
    connection.send(HELLO | changes)
    (answer,) = connection.received
    assert answer["type"] == "welcome"
    assert connection.is_open


@pytest.mark.parametrize(
    "text",
    [
        *("", "hello", "[]", "null", "{}", '{"type":1}', '{"type":null}', "[" * 100_000),
        *(
            json.dumps(HELLO | changes)
            for changes in (
                *({"v": 2}, {"v": "1"}, {"v": True}, {"v": None}),
                *({"services": "http"}, {"services": ["HTTP"]}, {"services": [""]}, {"services": ["-a"]}),
                *({"services": ["a" * 33]}, {"services": ["http"] * 17}, {"services": ["http\n"]}, {"services": [1]}),
                *({"internal_ip": 1}, {"internal_ip": "1" * 46}),
            )
        ),
        '{"type":"hello"}',
    ],
    ids=lambda text: text[:80],
)
def test_invalid_message_ends_the_connection(text: str, connection: Connection) -> None:
    connection.send(text)
    assert connection.received == [{"type": "bye", "why": "invalid", "after": 60}]
    assert not connection.is_open


def test_unknown_type_is_refused_and_changes_nothing(connection: Connection) -> None:
    before = everything()
    connection.send({"type": "x" * 100})
    assert connection.received == [{"type": "refused", "why": f"unknown type: {'x' * 32}"}]
    assert connection.is_open
    assert everything() == before


def test_throttled_key_range_is_a_warning_and_keeps_the_connection(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise HotKey(Reason.UNAVAILABLE, "TableReadKeyRangeThroughputExceeded")

    monkeypatch.setattr(dynamodb, "get_many", fail)
    connection.send(HELLO)
    assert connection.received == [{"type": "refused", "why": "too many messages at once: send it again later"}]
    assert connection.is_open
    warning, line = caplog.records
    assert (warning.levelname, warning.throttled) == ("WARNING", "TableReadKeyRangeThroughputExceeded")
    assert line.levelname == "INFO"


def test_unreachable_management_api_is_a_failure(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_link.Gateway, "call", fail)
    with pytest.raises(Refused) as raised:
        connection.send(HELLO)
    assert raised.value.reason == "unavailable"
