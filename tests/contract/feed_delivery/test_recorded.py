"""From a request to a signed delivery, through the recorder."""

import json
import time

import pytest

from bindery.aws import dynamodb
from bindery.registry import identity, items
from tests import feed as streams
from tests.feed import person, user
from tests.feed_receiver import Feed
from tests.http_api import OPERATOR, admin
from tests.quectel import DEVICE, ME, World, as_user, succeeded


def test_bind_request_is_delivered_once_even_if_its_change_is_recorded_twice(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user's token is valid now.
    feed.clock.now = time.time_ns() // 1_000_000
    changes = streams.captured(monkeypatch)
    webhook, secret = feed.subscribe("device.bound")
    World()
    succeeded(as_user(ME))
    changes.record()
    feed.run()
    changes.read = 0
    changes.record()
    feed.sweep()
    (request,) = feed.receiver.requests
    assert request.is_signed_with(secret)
    body = json.loads(request.body)
    assert (body["type"], body["data"]["device"], body["data"]["sequence"]) == (
        "device.bound",
        identity.opaque(DEVICE),
        2,
    )
    admin("webhooks", "DELETE", f"webhooks/{webhook}")
    assert changes.events() == [
        (
            "operator.deleted",
            {"subject": {"kind": "webhook", "id": webhook}, "operator": OPERATOR, "members": []},
        )
    ]


def test_change_that_an_operator_retries_is_delivered(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.clock.now = time.time_ns() // 1_000_000
    changes = streams.captured(monkeypatch)
    feed.subscribe("device.bound", "operator.created")
    World()
    assert admin("users", "POST", "users", {"uid": "zoe", "account": "smart"}).status == 200
    succeeded(as_user(ME))
    for number, change in enumerate(changes.pending()):
        key = items.unrecorded(number, change["eventID"])
        dynamodb.write(key.put({"record": json.dumps(change), "error": "KeyError"}))
    assert admin("history", "POST", "history/unrecorded/retry").json()["left"] == 0
    feed.run()
    delivered = [json.loads(request.body)["data"] for request in feed.receiver.requests]
    assert person(identity.user_holder(ME)) in [data.get("holder") for data in delivered]
    assert user("zoe") in [data.get("subject") for data in delivered]
