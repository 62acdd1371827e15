"""Devices that restart, freeze or are replaced while requests are under way."""

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx

from tests.relayed.fleet import TIME_LIMIT, Device, Service


def under_way(threads: ThreadPoolExecutor, device: Device, path: str) -> "Future[httpx.Response]":
    """Send a request, and return once the device's service has received it."""
    before = device.service.received
    asking = threads.submit(device.ask, "GET", path)
    deadline = time.monotonic() + TIME_LIMIT
    while device.service.received == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return asking


def test_killed_agent_is_502_and_the_service_is_not_asked_again(device: Device):
    with device.online() as agent, ThreadPoolExecutor(1) as threads:
        asking = under_way(threads, device, "/held")
        agent.kill()
        with device.online():
            assert asking.result(TIME_LIMIT).status_code == 502
            assert device.service.received == 1


def test_request_survives_a_short_freeze(device: Device):
    with device.online() as agent, ThreadPoolExecutor(1) as threads:
        agent.signal(signal.SIGSTOP)
        asking = threads.submit(device.answer, b"patience" * 50_000)
        time.sleep(1.2)
        agent.signal(signal.SIGCONT)
        assert asking.result(TIME_LIMIT) == "right"


def test_second_agent_with_a_credential_replaces_the_first(device: Device):
    other = Service("second")
    with device.online() as first, ThreadPoolExecutor(1) as threads:
        assert device.ask().text == device.name
        asking = under_way(threads, device, "/held")
        with device.online(service=other):
            assert asking.result(TIME_LIMIT).status_code == 502
            assert [device.ask().text for _ in range(5)] == ["second"] * 5
            assert other.received == 5
        assert any("another connection with this credential replaced this one" in line for line in first.lines)
    other.close()
