"""Tests of the device link on a deployed stack that take hours: `make smoke-long STACK=…`.

They tell what AWS does not document: what keeps an idle connection open, and how a connection ends after two hours.
"""

import asyncio
import os
import sys
import time

import pytest

from agent.bindery_agent import NORMAL, PING_INTERVAL, Offline
from tests.deployed.smoke import Device, Installation, installation, outputs

__all__ = ["installation", "outputs"]

IDLE = float(os.environ.get("SMOKE_IDLE", "540"))
"""Seconds between messages. API Gateway closes a connection after 600 idle ones."""
LIFETIME = 7200
MORE = 120
"""Seconds within which a connection must have ended."""


async def idle(device: Device) -> None:
    """Send only ping frames for `IDLE` seconds. Raises `Offline` if the connection ends."""
    frames = asyncio.create_task(_ping(device))
    try:
        async with asyncio.timeout(IDLE):
            raise AssertionError(f"a message that was not expected: {await device.socket.receive()}")
    except TimeoutError:
        pass
    finally:
        frames.cancel()


async def _ping(device: Device) -> None:
    while True:
        await asyncio.sleep(PING_INTERVAL)
        device.socket.ping()


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"{text}\n")


def test_idle_connection_stays_open_with_a_ping_message_every_nine_minutes(
    installation: Installation, outputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    key = installation.key("rufus")
    credentials = [installation.bound(key)[1] for _ in range(2)]

    async def with_messages(device: Device) -> None:
        for _ in range(2):
            await idle(device)
            assert await device.ask({"type": "ping"}) == "pong"

    async def with_frames_only(device: Device) -> str:
        try:
            for _ in range(2):
                await idle(device)
        except Offline as ended:
            return f"do not keep a connection open: {ended}"
        return f"alone keep a connection open for {2 * IDLE:.0f} s"

    async def both() -> str:
        devices = [await Device.connect(outputs["DevicesUrl"], credential) for credential in credentials]
        try:
            _, told = await asyncio.gather(with_messages(devices[0]), with_frames_only(devices[1]))
            return told
        finally:
            for device in devices:
                await device.socket.close(NORMAL)

    say(capsys, f"ping frames {asyncio.run(both())}")


def test_connection_ends_within_two_hours(
    installation: Installation, outputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, credential = installation.bound(installation.key("rufus"))

    async def until_closed() -> str:
        device = await Device.connect(outputs["DevicesUrl"], credential)
        began = time.monotonic()
        try:
            while True:
                await idle(device)
                assert await device.ask({"type": "ping"}) == "pong"
        except Offline as ended:
            return f"after {time.monotonic() - began:.0f} s: {ended}"
        finally:
            await device.socket.close(NORMAL)

    say(capsys, f"the connection ended {asyncio.run(asyncio.wait_for(until_closed(), LIFETIME + MORE))}")
