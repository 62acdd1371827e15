"""The receivers in docs/webhooks.md accept real, signed deliveries, and refuse others."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bindery.aws import functions
from bindery.core import env
from bindery.feed import sending, signatures
from tests.feed_receiver import DEVICE, Clock, Feed, Receiver, Starting, cursor
from tests.http_api import admin
from tests.server.servers import free_port
from tools import template

DOCUMENT = (template.ROOT / "docs/webhooks.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


@contextmanager
def running(code: str, secret: str, port: int) -> Iterator[subprocess.Popen[str]]:
    assert code.count("8000") == 1
    command = [sys.executable, "-c", code.replace("8000", str(port))]
    environment = os.environ | {"WEBHOOK_SECRET": secret}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("code", EXAMPLES, ids=["standard library", "standardwebhooks"])
def test_documented_receiver_accepts_each_event_once(
    registry: None, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setenv("WEBHOOKS_TO_LOOPBACK", "1")
    env.clear_cache()
    started: list[dict[str, str]] = []
    monkeypatch.setattr(functions, "client", lambda: Starting(started))
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    clock = Clock()
    clock.now = time.time_ns() // 1_000_000
    feed = Feed(clock, Receiver(clock), started)
    webhook, secret = feed.subscribe(url=url)
    with running(code, secret, port) as process:
        while not admin("webhooks", "POST", f"webhooks/{webhook}/test").json()["delivered"]:
            time.sleep(0.02)
        (event,) = feed.record("device.bound")
        feed.run()
        assert cursor(webhook, DEVICE)["next"] == 2
        body = b'{"type": "device.bound"}'
        now = int(time.time())
        for signing, moment, status in [(secret, now, 204), (secret, now, 204), (signatures.new_secret(), now, 401)]:
            headers = signatures.headers([signing], "repeated", moment, body)
            assert sending.post(url, headers, body).status == status
        rotated = signatures.headers([signatures.new_secret(), secret], "rotated", now, body)
        assert sending.post(url, rotated, body).status == 204
        late = signatures.headers([secret], "late", now - 600, body)
        sending.post(url, late, body)
        process.terminate()
        assert process.stdout is not None
        ids = [line.split()[0] for line in process.stdout]
    assert ids[1:] == [event["id"], "repeated", "rotated"]
