"""Device link: every schedule of connections and what ends them is equivalent to some order."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.connectivity import device_credentials, presence
from bindery.core.errors import Reason, Refused
from bindery.security import secrets
from tests import device_link, quectel, rufus
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_device, operator
from tests.concurrency.test_rufus import ban, bind, bound, device, end, unbind
from tests.http_api import Response
from tests.invariants import Tables
from tests.invariants import broken as broken_tables
from tests.properties.scale import FULL
from tests.quectel import ME, OTHER, PK, World, as_user, succeeded


@pytest.fixture(autouse=True)
def _no_connections(registry: None) -> None:
    device_link.gateway().open.clear()


def connect(credential: str, name: str = "new", *, stays: bool = False) -> Request:
    """Let a device connect. Unless it `stays`, no other request delivers its `$disconnect`."""

    def asked() -> Response:
        try:
            connection = device_link.connect(credential, identity=f"{name}=")
        except Refused as refused:
            if refused.reason is not Reason.CONFLICT:
                raise
            # The device repeats the attempt.
            return Response(500, {"Retry-After": "1"}, "")
        if not stays:
            device_link.gateway().open.pop(f"{name}=", None)
        return Response(403 if connection is None else 200, {}, "")

    return Request(f"{name} connects", asked, gains="connect")


def deviceid() -> str:
    return secrets.device_id("acme", "M", "S")


def disconnect() -> Request:
    """Deliver the late `$disconnect` of an earlier connection."""
    old = device_link.connected(deviceid(), identity="old=")
    device_link.gateway().open.clear()

    def asked() -> Response:
        old.tell_end()
        return Response(200, {}, "")

    return Request("old disconnects", asked)


def online(tables: Tables) -> dict[str, str]:
    """Return the connections of online devices under their present bindings."""
    bindings = {item["pk"]: item["binding"] for item in tables["BINDINGS"] if item["sk"] == "owner"}
    presences = [item for item in tables["BINDINGS"] if item["sk"] == "link#presence"]
    return {
        item["pk"]: item["connection"]
        for item in presences
        if item["binding"] == bindings.get(item["pk"]) and presence.is_online(item)
    }


def broken(tables: Tables) -> list[str]:
    """Return violated invariants: a banned device has no presence, and a presence with a device key a valid one."""
    banned = {item["pk"] for item in tables["DEVICES"] if "banned_at" in item}
    keys = {item["pk"] for item in tables["BINDINGS"] if item["sk"] == "link#key"}
    present = [item for item in tables["BINDINGS"] if item["sk"] == "link#presence"]
    return [
        *broken_tables(tables),
        *(f"{item['pk']} is banned and present" for item in present if item["pk"] in banned),
        *(f"{item['pk']} has no key" for item in present if item["key"] and item["pk"] not in keys),
    ]


CASES: dict[str, Callable[[], list[Request]]] = {
    "a connection and an unbind": lambda: [connect(deviceid()), unbind()],
    "a connection, an unbind and a bind": lambda: [connect(deviceid()), unbind(), bind("a")],
    "a connection and a bind again": lambda: [connect(deviceid()), bind("a")],
    "a connection and an end": lambda: [connect(deviceid()), end()],
    "a connection and a ban": lambda: [connect(deviceid()), ban()],
    "two connections": lambda: [connect(deviceid(), "one"), connect(deviceid(), "two")],
    "two connections and a ban": lambda: [connect(deviceid(), "one"), connect(deviceid(), "two"), ban()],
    "a connection and the end of an earlier one": lambda: [disconnect(), connect(deviceid())],
    "the end of a connection and an unbind": lambda: [disconnect(), unbind()],
    "the end of a connection and a ban": lambda: [disconnect(), ban()],
}


# Three requests of as many calls have the most schedules.
@pytest.mark.parametrize("case", [case for case in CASES if FULL or case != "two connections and a ban"])
def test_connections_of_a_company_device_are_serializable(case: str, prepared: Any) -> None:
    prepared("companies", rufus.install)
    bound()
    assert schedules.check(CASES[case](), broken) > 1


def test_of_two_connections_only_the_one_that_is_online_stays_open(prepared: Any) -> None:
    prepared("companies", rufus.install)
    bound()
    requests = [connect(deviceid(), name, stays=True) for name in ("one", "two")]
    for run in schedules.explore(requests, alike=False):
        assert list(device_link.gateway().open) == list(online(run.tables).values()), run


def issue() -> Request:
    """Issue a device key again. Its random value is the same in every schedule."""
    return of_device(device(), "key")


def revoke() -> Request:
    return of_device(device(), "revoke-key")


@pytest.mark.parametrize("change", [issue, revoke])
def test_connection_with_an_ended_device_key_is_never_present(
    change: Callable[[], Request], prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared("companies", rufus.install)
    bound()
    key = device_credentials.issue(device())
    monkeypatch.setattr(device_credentials.random, "token_urlsafe", lambda size: "n" * 43)
    assert schedules.check([connect(key), change()], broken) > 1


def erase() -> Request:
    return operator("erase", "privacy", "DELETE", f"privacy/{ME}")


def change_owner() -> Request:
    mine, others = quectel.token(ME), quectel.token(OTHER)

    def asked() -> Response:
        quectel.call("unbundling_device_dk", mine, {"pk": PK, "dk": quectel.DK})
        return quectel.bind(others, pk=PK, sn=quectel.SN)

    return Request("the owner changes", asked)


@pytest.mark.parametrize("end", [erase, change_owner])
def test_device_of_an_erased_or_earlier_owner_is_not_online(end: Callable[[], Request], prepared: Any) -> None:
    prepared("lock", World)
    key = succeeded(as_user(ME))["authKey"]
    runs = list(schedules.explore([connect(key), end()], alike=False))
    assert len(runs) > 1
    for run in runs:
        assert run.answers[1].succeeded, run
        assert not online(run.tables), run
        assert not broken(run.tables), run


def test_ban_ends_a_connection_that_began_concurrently(prepared: Any) -> None:
    prepared("companies", rufus.install)
    bound()
    ended = 0
    for run in schedules.explore([connect(deviceid(), stays=True), ban()], alike=False):
        banned = next(step for step, call in enumerate(run.calls) if call[0] == 1 and "Transact" in call[1])
        if run.answers[0].status == 200 and 0 not in [maker for maker, _ in run.calls[banned:]]:
            ended += 1
            assert not device_link.gateway().open, run
    assert ended > 1
