"""Events are delivered again: dead letters, or all since a time."""

from typing import Any

import pytest

from bindery.feed import replays
from tests.feed_receiver import DAY, DEVICE, OTHER, Feed, cursor
from tests.http_api import admin


def replay(webhook: str, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = admin("webhooks", "POST", f"webhooks/{webhook}/replay", asked).json()
    return found


def give_up(feed: Feed, *types: str) -> None:
    """Record events that are not accepted."""
    feed.receiver.answers(500)
    feed.record(*types)
    feed.sweep()
    for _ in types:
        feed.after(4 * DAY)
    feed.receiver.clear()
    feed.receiver.answers(200)


def test_dead_letters_are_delivered_again_in_order_before_new_events(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    give_up(feed, "device.bound", "device.unbound")
    feed.record("device.bound")
    assert replay(webhook) == {"events": 2, "next": None}
    assert admin("webhooks", "GET", f"webhooks/{webhook}/dead-letters").json()["items"] == []
    assert {} in feed.started
    feed.sweep()
    assert feed.receiver.sequences == [1, 2, 3]
    assert "collection" not in cursor(webhook)
    assert replay(webhook) == {"events": 0, "next": None}


def test_replayed_dead_letter_gets_three_more_days(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    give_up(feed, "device.bound")
    feed.receiver.answers(500)
    assert replay(webhook)["events"] == 1
    feed.sweep()
    feed.after(2 * DAY)
    assert admin("webhooks", "GET", f"webhooks/{webhook}/dead-letters").json()["items"] == []
    feed.after(2 * DAY)
    assert len(admin("webhooks", "GET", f"webhooks/{webhook}/dead-letters").json()["items"]) == 1


def test_events_since_a_time_are_delivered_again_also_from_before_the_webhook(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.record("device.bound")
    feed.clock.pass_by(DAY)
    since = feed.clock.now
    feed.record("device.unbound", "device.online", "device.bound")
    feed.record("device.bound", device=OTHER)
    feed.clock.pass_by(DAY)
    webhook, _ = feed.subscribe("device.bound", "device.unbound")
    feed.record("device.unbound")
    feed.run()
    feed.receiver.clear()
    monkeypatch.setattr(replays, "_QUERIES", 5)
    monkeypatch.setattr(replays, "_EVENTS", 2)
    count, place = 0, None
    while place is not None or not count:
        answer = replay(webhook, since=since, cursor=place)
        count, place = count + answer["events"], answer["next"]
        feed.sweep()
    assert count == 4
    assert [request.sequence for request in feed.receiver.requests if b"#S1" in request.body] == [2, 4, 5]
    assert [request.sequence for request in feed.receiver.requests if b"#S2" in request.body] == [1]


def test_replay_does_not_repeat_what_is_still_to_be_delivered(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    since = feed.clock.now
    feed.receiver.answers(200, 500, 200)
    feed.record("device.bound", "device.unbound", "device.bound")
    feed.run()
    assert feed.receiver.sequences == [1, 2]
    assert replay(webhook, since=since) == {"events": 1, "next": None}
    feed.after(6000)
    assert feed.receiver.sequences == [1, 2, 1, 2, 3]


def test_replayed_event_of_a_removed_type_or_gone_from_history_is_skipped(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    give_up(feed, "device.bound", "device.unbound")
    admin("webhooks", "PUT", f"webhooks/{webhook}/types", {"types": ["device.unbound"]})
    assert replay(webhook)["events"] == 2
    feed.sweep()
    assert feed.receiver.sequences == [2]
    give_up(feed, "device.unbound")
    assert replay(webhook)["events"] == 1
    feed.clock.pass_by(401 * DAY)
    feed.sweep()
    assert feed.receiver.sequences == []
    assert "collection" not in cursor(webhook, DEVICE)


def test_event_that_fails_again_waits_and_holds_up_the_others(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    give_up(feed, "device.bound", "device.unbound")
    feed.record("device.bound")
    feed.receiver.answers(200, 500, 200)
    replay(webhook)
    feed.sweep()
    assert feed.receiver.sequences == [1, 2]
    feed.after(5000)
    assert feed.receiver.sequences == [1, 2, 2, 3]
