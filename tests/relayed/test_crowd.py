"""Many requests and many devices at once: each answer is the right device's, to the right request."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.relayed.fleet import Agent, Device, Site, Tenant

AGENTS = 20
REQUESTS = 50
MEMORY = 30 * 1024 * 1024


@pytest.fixture(scope="module")
def fleet(site: Site) -> Iterator[list[Device]]:
    """Devices of two accounts in turn. In both, they have the same serial numbers."""
    tenants = Tenant(site), Tenant(site)
    with ExitStack() as stack:
        devices = [Device(tenants[number % 2]) for number in range(AGENTS)]
        agents = [Agent(device) for device in devices]
        for device, agent in zip(devices, agents, strict=True):
            stack.callback(device.service.close)
            stack.callback(agent.kill)
        for agent in agents:
            agent.wait()
        yield devices


def body(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


def at_once(count: int, ask: Callable[[int], str]) -> list[str]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(ask, range(count)))


def test_fifty_requests_at_once_each_get_their_own_bytes(device: Device):
    with device.online():
        sizes = [0, 1, 1000, 100_000, 200_000]
        bodies = [body(number, sizes[number % len(sizes)]) for number in range(REQUESTS)]
        assert at_once(REQUESTS, lambda number: device.answer(bodies[number])) == ["right"] * REQUESTS


def test_twenty_devices_of_two_accounts_each_answer_their_own_requests(fleet: list[Device]):
    def ask(number: int) -> str:
        return fleet[number % AGENTS].answer(body(number, 2000))

    assert at_once(2 * AGENTS, ask) == ["right"] * (2 * AGENTS)


def test_agent_with_twenty_streams_uses_less_than_thirty_megabytes(device: Device):
    most, ended = 0, threading.Event()

    def watch(agent: Agent) -> None:
        nonlocal most
        while not ended.wait(0.01):
            most = max(most, agent.memory())

    with device.online() as agent:
        watching = threading.Thread(target=watch, args=(agent,))
        watching.start()
        bodies = [body(number, 500_000) for number in range(20)]
        found = at_once(20, lambda number: device.answer(bodies[number]))
        ended.set()
        watching.join()
    assert found == ["right"] * 20
    assert 0 < most < MEMORY
