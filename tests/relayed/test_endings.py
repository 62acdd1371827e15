"""The end of access ends a response that is under way, and the device's connection to its service.

`tests/contract/relay` ends access in every way.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.relayed.fleet import TIME_LIMIT, Device

LATER = 100
"""Blocks that a service may still write before its connection is closed: five seconds' worth."""


ENDINGS: dict[str, Callable[[Device], None]] = {
    "the user connects again": Device.connect,
    "the company unbinds the device": Device.unbind,
    "a ban": lambda device: device.operate("ban", reason="stolen"),
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
