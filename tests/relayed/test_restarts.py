"""Devices that restart, freeze or are replaced while requests are under way."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx

from tests.relayed.fleet import TIME_LIMIT, Agent, Device, Service

REBOOTS = 6
CLIENTS = 4
UNAVAILABLE = {502, 503, 504}


def while_asking(device: Device, change: Callable[[], None]) -> list[tuple[bytes, httpx.Response]]:
    """Send requests from several clients while something changes, and return what each sent and received."""
    found: list[tuple[bytes, httpx.Response]] = []
    ended = threading.Event()

    def ask(client: int) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            body = f"{device.name} {client} {number} ".encode() * 2000
            found.append((body, device.ask("POST", "/", body)))
            ended.wait(0.1)

    with ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(ask, client) for client in range(CLIENTS)]
        try:
            change()
        finally:
            ended.set()
        for each in asking:
            each.result(TIME_LIMIT)
    return found


def wrong(found: list[tuple[bytes, httpx.Response]]) -> list[tuple[int, bytes]]:
    """Return the responses that are neither the request's own bytes nor a reason for their absence."""
    return [
        (answer.status_code, answer.content[:100])
        for body, answer in found
        if not (answer.content == body[::-1] if answer.status_code == 200 else answer.status_code in UNAVAILABLE)
    ]


def under_way(threads: ThreadPoolExecutor, device: Device, path: str) -> "Future[httpx.Response]":
    """Send a request, and return once the device's service has received it."""
    before = device.service.received
    asking = threads.submit(device.ask, "GET", path)
    deadline = time.monotonic() + TIME_LIMIT
    while device.service.received == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return asking


def test_device_that_restarts_all_the_time_answers_right_or_not_at_all(device: Device):
    def restart() -> None:
        for _ in range(REBOOTS):
            agent = Agent(device, wait=True)
            time.sleep(0.7)
            agent.kill()

    found = while_asking(device, restart)
    assert wrong(found) == []
    assert {answer.status_code for _, answer in found} >= {200}
    with device.online():
        assert [device.answer(b"%d" % number) for number in range(5)] == ["right"] * 5


def test_killed_agent_is_502_and_the_service_is_not_asked_again(device: Device):
    with device.online() as agent, ThreadPoolExecutor(1) as threads:
        asking = under_way(threads, device, "/held")
        agent.kill()
        with device.online():
            assert asking.result(TIME_LIMIT).status_code == 502
            assert device.service.received == 1


def test_frozen_agent_is_504_and_goes_on_when_it_wakes(device: Device):
    with device.online() as agent:
        agent.signal(signal.SIGSTOP)
        assert device.ask().status_code == 504
        agent.signal(signal.SIGCONT)
        assert device.answer(b"awake") == "right"


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
