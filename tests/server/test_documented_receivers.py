"""The receivers in docs/webhooks.md accept real, signed deliveries, and refuse others."""

import time
from pathlib import Path

import pytest

from bindery.aws import functions
from bindery.core import env
from bindery.feed import sending, signatures
from tests.feed_receiver import DEVICE, Clock, Feed, Receiver, Starting, cursor
from tests.http_api import admin
from tests.server.test_feed import RECEIVERS, Inbox


@pytest.mark.parametrize("code", RECEIVERS, ids=["standard library", "standardwebhooks"])
def test_documented_receiver_accepts_each_event_once(
    registry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    monkeypatch.setenv("WEBHOOKS_TO_LOOPBACK", "1")
    env.clear_cache()
    started: list[dict[str, str]] = []
    monkeypatch.setattr(functions, "client", lambda: Starting(started))
    inbox, clock = Inbox(tmp_path, code), Clock()
    clock.now = time.time_ns() // 1_000_000
    feed = Feed(clock, Receiver(clock), started)
    webhook, secret = feed.subscribe(url=inbox.url)
    with inbox.receiving(secret):
        assert admin("webhooks", "POST", f"webhooks/{webhook}/test").json()["delivered"]
        (event,) = feed.record("device.bound")
        feed.run()
        assert cursor(webhook, DEVICE)["next"] == 2
        body = b'{"type": "device.bound"}'
        now = int(time.time())
        for signing, moment, status in [(secret, now, 204), (secret, now, 204), (signatures.new_secret(), now, 401)]:
            headers = signatures.headers([signing], "repeated", moment, body)
            assert sending.post(inbox.url, headers, body).status == status
        rotated = signatures.headers([signatures.new_secret(), secret], "rotated", now, body)
        assert sending.post(inbox.url, rotated, body).status == 204
        late = signatures.headers([secret], "late", now - 600, body)
        sending.post(inbox.url, late, body)
    assert inbox.ids()[1:] == [event["id"], "repeated", "rotated"]
