"""Whatever ends access ends a response that is under way, and the device's connection to its service."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.relayed.fleet import TIME_LIMIT, Device

LATER = 100
"""Blocks that a service may still write before its connection is closed: five seconds' worth."""


def of_user(action: str) -> Callable[[Device], None]:
    return lambda device: device.site.operator.post("users", device.tenant.user, action) and None


ENDINGS: dict[str, Callable[[Device], None]] = {
    "the user stops the connection": Device.stop,
    "the user connects again": Device.connect,
    "an operator stops the connection": lambda device: device.site.operator.ask(
        "DELETE", "connections", device.id, device.tenant.user
    ),
    "the company unbinds the device": Device.unbind,
    "an operator unbinds the device": lambda device: device.operate("unbind", reason="sold"),
    "a ban": lambda device: device.operate("ban", reason="stolen"),
    "connections are disabled": lambda device: device.operate("deactivate"),
    "the user is disabled": of_user("disable"),
    "the user's tokens are revoked": of_user("revoke-tokens"),
    "the account is disabled": lambda device: device.site.operator.post("accounts", device.tenant.account, "disable"),
    "the address is removed": lambda device: device.site.operator.ask("DELETE", "devices", device.id, "address"),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_end_of_access_ends_a_response_that_is_under_way(device: Device, end: Callable[[Device], None]):
    label = device.host
    with device.online(), ThreadPoolExecutor(1) as threads:
        asking = threads.submit(device.ask, "GET", "/endless")
        assert device.service.begun.wait(TIME_LIMIT)
        end(device)
        written = device.service.blocks
        answer = asking.result(TIME_LIMIT)
        assert (answer.status_code, b"xxx" in answer.content) in ((403, False), (502, False)), answer.text
        assert device.service.broken.wait(TIME_LIMIT)
        assert device.service.blocks - written < LATER
        device.host = label
        received = device.service.received
        assert device.ask().status_code in (403, 404)
        assert device.service.received == received


def test_binding_a_device_again_does_not_revive_a_connection(device: Device):
    with device.online():
        assert device.answer(b"before") == "right"
        device.unbind()
        device.bind()
    with device.online():
        assert device.ask().status_code == 404
        device.connect()
        assert device.answer(b"after") == "right"
