"""Deliveries: every event, in order, signed, and repeated until it is accepted."""

import json

import pytest

from bindery.aws import dynamodb, functions
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ConnectionFailed
from bindery.feed import catalogue, cursors, subscriptions
from bindery.feed.sending import Error, Outcome
from bindery.registry import items
from tests.feed_receiver import DAY, DEVICE, HOUR, OTHER, START, URL, Feed, Request, cursor
from tests.http_api import admin
from tests.tables import stored

MINUTE = 60_000


def due(shard_of: str = DEVICE) -> str:
    return f"due#{items.shard(shard_of, items.SHARDS)}"


def attempts(webhook: str) -> list[tuple[int, int | None]]:
    """Return number and status of the logged attempts, oldest first."""
    found = admin("webhooks", "GET", f"webhooks/{webhook}/deliveries", query="limit=100").json()["items"]
    return [(attempt["attempt"], attempt["status"]) for attempt in reversed(found)]


def test_events_are_delivered_in_order_with_signature_and_body(feed: Feed) -> None:
    webhook, secret = feed.subscribe()
    bound, unbound = feed.record("device.bound", "device.unbound")
    assert feed.started == [{"webhook": webhook, "chain": DEVICE}]
    assert cursor(webhook) == {
        "webhook": webhook,
        "chain": DEVICE,
        "wanted": 2,
        "collection": due(),
        "time": f"{START + 2}",
        "expires_at": unbound["expires_at"],
    }
    feed.run()
    first, second = feed.receiver.requests
    assert first.body == (
        b'{"type":"device.bound","timestamp":"2026-11-20T12:00:00.001Z","data":{"device":"quectel#p1#S1","sequence":1}}'
    )
    assert first.url == URL
    assert first.headers.keys() == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert [first.id, second.id] == [bound["id"], unbound["id"]]
    assert first.is_signed_with(secret)
    assert second.is_signed_with(secret)
    assert cursor(webhook) == {
        "webhook": webhook,
        "chain": DEVICE,
        "wanted": 2,
        "next": 3,
        "expires_at": unbound["expires_at"],
    }
    log = admin("webhooks", "GET", f"webhooks/{webhook}/deliveries", query="limit=1").json()["items"]
    (kept,) = [item for item in stored(Table.HISTORY) if item.get("event") == first.id]
    assert kept["expires_at"] == START // 1000 + 30 * 86400
    assert log[0].items() >= {"type": "device.bound", "attempt": 1, "status": 204, "milliseconds": 12}.items()


def test_deliveries_are_listed_newest_first_in_pages(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    types = list(catalogue.TYPES)[:6]
    feed.record(*types[:3])
    feed.run()
    feed.clock.pass_by(1)
    feed.record(*types[3:], device=OTHER)
    feed.run()
    seen, place = [], None
    while place is not None or not seen:
        query = {"limit": 2} | ({} if place is None else {"cursor": place})
        page = admin("webhooks", "GET", f"webhooks/{webhook}/deliveries", query=query).json()
        seen += [attempt["at"] for attempt in page["items"]]
        place = page["next"]
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)


def test_all_events_arrive_once_and_in_order_after_an_hour_without_answer(feed: Feed) -> None:
    feed.subscribe()
    feed.receiver.answers(Outcome(None, Error.UNREACHABLE))
    for _ in range(4):
        feed.record("device.online", "device.offline")
        feed.record("device.online", device=OTHER)
        feed.after(15 * MINUTE)
    assert set(feed.receiver.sequences) == {1}
    feed.receiver.clear()
    feed.receiver.answers(204)
    feed.after(30 * MINUTE)
    sent = [(json.loads(request.body)["data"]["device"], request.sequence) for request in feed.receiver.requests]
    assert [number for device, number in sent if device == DEVICE] == list(range(1, 9))
    assert [number for device, number in sent if device == OTHER] == list(range(1, 5))
    assert len({request.id for request in feed.receiver.requests}) == 12
    feed.after(DAY)
    assert len(feed.receiver.requests) == 12


def test_pauses_grow_and_after_three_days_the_next_event_follows(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(500)
    (event,) = feed.record("device.bound")
    feed.clock.pass_by(1000)
    began = feed.clock.now
    times: list[int] = []
    while cursor(webhook).get("next", 1) == 1:
        feed.deliver({"webhook": webhook, "chain": DEVICE})
        times.append(feed.clock.now - began)
        feed.clock.now = max(feed.clock.now + 1, int(cursor(webhook).get("time", feed.clock.now)))
    seconds = [0, 5, 35, 155, 755, 2555, 6155, 13355, 27755]
    assert times == [
        *(1000 * second for second in seconds),
        *(27_755_000 + number * 6 * HOUR for number in range(1, 11)),
        3 * DAY,
    ]
    letter = admin("webhooks", "GET", f"webhooks/{webhook}/dead-letters").json()["items"]
    assert letter == [
        {
            "event": event["id"],
            "type": "device.bound",
            "chain": "cXVlY3RlbCNwMSNTMQ",
            "sequence": 1,
            "at": event["at"],
            "status": 500,
            "error": None,
        }
    ]
    assert [number for number, _ in attempts(webhook)] == list(range(1, 21))
    # The receiver has failed for three days, but each event has three days of its own.
    feed.receiver.clear()
    feed.record("device.unbound")
    feed.sweep()
    assert feed.receiver.sequences == [2]
    assert cursor(webhook)["attempts"] == 1
    feed.receiver.answers(200)
    feed.after(6 * HOUR)
    assert feed.receiver.sequences == [2, 2]
    assert "failing_since" not in cursor(webhook)


@pytest.mark.parametrize("status", [302, 404, 500, None])
def test_response_other_than_2xx_is_repeated_after_five_seconds(feed: Feed, status: int | None) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(Outcome(status, Error.TIMED_OUT if status is None else None), 200)
    feed.record("device.bound", "device.unbound")
    feed.run()
    assert feed.receiver.sequences == [1]
    feed.after(4999)
    assert feed.receiver.sequences == [1]
    feed.after(1)
    assert feed.receiver.sequences == [1, 1, 2]
    assert len({request.id for request in feed.receiver.requests}) == 2
    assert sorted(attempts(webhook)[1:]) == [(1, 200), (2, 200)]
    assert attempts(webhook)[0] == (1, status)


def test_new_event_does_not_cut_a_pause_short(feed: Feed) -> None:
    feed.subscribe()
    feed.receiver.answers(500)
    feed.record("device.bound")
    feed.run()
    feed.record("device.unbound")
    assert feed.started == []
    feed.after(4990)
    assert feed.receiver.sequences == [1]


@pytest.mark.parametrize(
    ("status", "asked", "waits"), [(429, 90, 90), (503, 0, 1), (503, 10**9, 86400), (500, 90, 5), (429, None, 5)]
)
def test_retry_after_of_a_busy_receiver_is_respected(feed: Feed, status: int, asked: int | None, waits: int) -> None:
    feed.subscribe()
    feed.receiver.answers(Outcome(status, retry_after=asked), 200)
    feed.record("device.bound")
    feed.run()
    feed.after(waits * 1000 - 1)
    assert len(feed.receiver.requests) == 1
    feed.after(1)
    assert len(feed.receiver.requests) == 2


def test_410_disables_and_enabling_delivers_what_was_kept(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(410, 200)
    feed.record("device.bound")
    feed.record("device.bound", device=OTHER)
    feed.run()
    shown = admin("webhooks", "GET", f"webhooks/{webhook}").json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "The receiver responded with 410 Gone.")
    feed.record("device.unbound")
    assert feed.started == []
    feed.after(DAY)
    assert len(feed.receiver.requests) == 1
    assert {cursor(webhook, device)["collection"] for device in (DEVICE, OTHER)} == {f"parked#{webhook}"}
    assert admin("webhooks", "POST", f"webhooks/{webhook}/enable").json() == {
        **shown,
        "enabled": True,
        "disabled_reason": None,
    }
    assert feed.started == [{}]
    feed.run()
    sent = [(json.loads(request.body)["data"]["device"], request.sequence) for request in feed.receiver.requests[1:]]
    assert sorted(sent) == [(DEVICE, 1), (DEVICE, 2), (OTHER, 1)]
    assert attempts(webhook)[0] == (1, 410)


def test_disabled_by_an_operator_stops_at_the_next_event(feed: Feed) -> None:
    webhook, _ = feed.subscribe()

    def disable(_: object) -> Outcome:
        admin("webhooks", "POST", f"webhooks/{webhook}/disable", {"reason": "maintenance"})
        return Outcome(200)

    feed.receiver.answer = disable
    feed.record("device.bound", "device.unbound")
    feed.run()
    assert feed.receiver.sequences == [1]
    assert cursor(webhook)["next"] == 2


def test_only_wanted_types_recorded_after_creation_are_delivered(feed: Feed) -> None:
    feed.record("device.bound", "device.unbound", "device.bound")
    feed.clock.pass_by(1)
    webhook, _ = feed.subscribe("device.bound")
    feed.record("device.unbound")
    assert feed.started == []
    assert cursor(webhook) == {}
    feed.record("device.bound", "device.unbound")
    feed.run()
    assert feed.receiver.sequences == [5]
    assert cursor(webhook)["next"] == 6


def test_changed_types_apply_to_new_events_and_keep_waiting_ones(feed: Feed) -> None:
    webhook, _ = feed.subscribe("device.bound")
    feed.receiver.answers(500, 200)
    feed.record("device.bound", "device.online", "device.offline")
    feed.run()
    types = ["device.bound", "device.online"]
    assert admin("webhooks", "PUT", f"webhooks/{webhook}/types", {"types": types}).json()["types"] == types
    feed.record("device.online", "device.offline")
    feed.after(6000)
    assert feed.receiver.sequences == [1, 1, 4]
    assert admin("webhooks", "PUT", f"webhooks/{webhook}/types", {"types": []}).json()["types"] == []
    feed.record("device.offline")
    feed.run()
    assert feed.receiver.sequences == [1, 1, 4, 6]


def test_waiting_event_of_a_removed_type_is_not_delivered(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(500, 200)
    feed.record("device.bound", "device.unbound")
    feed.run()
    admin("webhooks", "PUT", f"webhooks/{webhook}/types", {"types": ["device.unbound"]})
    feed.after(6000)
    assert feed.receiver.sequences == [1, 2]


def test_first_event_is_found_in_a_long_chain(feed: Feed) -> None:
    feed.record(*["device.online"] * 13)
    feed.clock.pass_by(10 * MINUTE)
    webhook, _ = feed.subscribe()
    feed.record(*["device.online"] * 2)
    feed.run()
    assert feed.receiver.sequences == [14, 15]
    assert cursor(webhook)["next"] == 16


def test_rotation_signs_with_both_secrets_for_a_day(feed: Feed) -> None:
    webhook, old = feed.subscribe()
    new = admin("webhooks", "POST", f"webhooks/{webhook}/rotate").json()["secret"]
    for signed, waited in [([True, True], 0), ([True, True], DAY - 3), ([False, True], 1)]:
        feed.clock.pass_by(waited)
        feed.receiver.clear()
        feed.record("device.online")
        feed.run()
        (request,) = feed.receiver.requests
        assert [request.is_signed_with(old), request.is_signed_with(new)] == signed
    assert request.headers["webhook-signature"].count("v1,") == 1


def test_two_deliveries_at_once_send_each_event_once(feed: Feed) -> None:
    webhook, _ = feed.subscribe()

    def interfere(_: object) -> Outcome:
        feed.deliver({"webhook": webhook, "chain": DEVICE})
        feed.clock.pass_by(9_999)
        feed.deliver({})
        return Outcome(200)

    feed.receiver.answer = interfere
    feed.record(*["device.online"] * 7)
    feed.run()
    assert feed.receiver.sequences == list(range(1, 8))


def test_delivery_that_lost_its_lock_stops(feed: Feed) -> None:
    webhook, _ = feed.subscribe()

    def hang(_: object) -> Outcome:
        feed.receiver.answer = lambda _: Outcome(200)
        feed.clock.pass_by(cursors.LOCK)
        feed.deliver({})
        return Outcome(200)

    feed.receiver.answer = hang
    feed.record("device.bound", "device.unbound")
    feed.run()
    assert feed.receiver.sequences == [1, 1, 2]
    assert cursor(webhook)["next"] == 3
    feed.after(cursors.LOCK)
    assert len(feed.receiver.requests) == 3


def test_lock_is_renewed_before_an_attempt_that_could_outlast_it(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.subscribe()
    find = subscriptions.find

    def slow(webhook: str) -> items.Webhook | None:
        feed.clock.pass_by(cursors.LOCK // 2)
        return find(webhook)

    def interfere(_: object) -> Outcome:
        monkeypatch.setattr(subscriptions, "find", find)
        feed.clock.pass_by(cursors.LOCK // 2 + 1)
        feed.deliver({})
        return Outcome(200)

    monkeypatch.setattr(subscriptions, "find", slow)
    feed.receiver.answer = interfere
    feed.record("device.bound")
    feed.run()
    assert feed.receiver.sequences == [1]


def test_event_recorded_during_a_delivery_follows_at_once(feed: Feed) -> None:
    webhook, _ = feed.subscribe()

    def record(_: object) -> Outcome:
        feed.receiver.answer = lambda _: Outcome(200)
        feed.record("device.unbound")
        return Outcome(200)

    feed.receiver.answer = record
    feed.record("device.bound")
    feed.deliver(feed.started.pop())
    assert feed.started == []
    assert feed.receiver.sequences == [1, 2]
    assert cursor(webhook).keys() == {"webhook", "chain", "wanted", "next", "expires_at"}


def test_events_that_are_announced_in_another_order_arrive_in_order(feed: Feed) -> None:
    feed.subscribe()
    first, second = feed.append("device.bound"), feed.append("device.unbound")
    feed.wake([second])
    feed.run()
    feed.wake([first])
    feed.wake([second])
    feed.sweep()
    assert feed.receiver.sequences == [1, 2]


def test_lost_invocation_is_made_up_by_the_next_sweep(feed: Feed) -> None:
    feed.subscribe()
    feed.record("device.bound")
    feed.started.clear()
    feed.after(0)
    assert feed.receiver.sequences == [1]


def test_invocation_that_cannot_be_started_is_no_failure(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.subscribe()
    monkeypatch.setattr(functions, "client", Unreachable)
    feed.record("device.bound")
    feed.after(0)
    assert feed.receiver.sequences == [1]


class Unreachable:
    """Client of Lambda that cannot reach it."""

    def call(self, *_: object, **__: object) -> None:
        raise ConnectionFailed("injected")


def test_numbers_that_begin_again_after_the_retention_are_delivered(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    feed.record("device.bound", "device.unbound")
    feed.run()
    feed.clock.pass_by(400 * DAY)
    for seq in (1, 2):
        dynamodb.write(items.event(DEVICE, seq).delete())
    (event,) = feed.record("device.bound")
    feed.run()
    assert [request.id for request in feed.receiver.requests[2:]] == [event["id"]]
    assert (cursor(webhook)["next"], cursor(webhook)["wanted"]) == (2, 1)


def test_deleting_a_webhook_ends_its_deliveries(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(500)
    feed.record("device.bound")
    feed.run()
    assert admin("webhooks", "DELETE", f"webhooks/{webhook}").json() == {"id": webhook}
    feed.after(6000)
    assert len(feed.receiver.requests) == 1
    assert cursor(webhook) == {}


def test_run_ends_in_time_and_the_next_goes_on(feed: Feed) -> None:
    webhook, _ = feed.subscribe()

    def slow(_: object) -> Outcome:
        feed.clock.pass_by(40_000)
        return Outcome(200)

    feed.receiver.answer = slow
    feed.record(*["device.online"] * 8)
    feed.run()
    assert feed.receiver.sequences == list(range(1, 7))
    assert cursor(webhook)["time"] == str(feed.clock.now)
    feed.sweep()
    assert feed.receiver.sequences == list(range(1, 9))


def test_receiver_that_does_not_respond_does_not_hold_up_others(feed: Feed) -> None:
    feed.subscribe(url="https://silent.example.com/")
    feed.subscribe(url="https://crm.example.com/")

    def answer(request: Request) -> Outcome:
        if "silent" in request.url:
            feed.clock.pass_by(10_000)
            return Outcome(None, Error.TIMED_OUT)
        return Outcome(200)

    feed.receiver.answer = answer
    for number in range(5):
        feed.record("device.bound", device=f"quectel#p1#D{number}")
    feed.sweep()
    urls = [request.url for request in feed.receiver.requests]
    assert urls.count("https://crm.example.com/") == 5
    assert urls.count("https://silent.example.com/") == 3


def test_slow_receiver_lets_others_go_first(feed: Feed) -> None:
    feed.subscribe(url="https://slow.example.com/")
    feed.subscribe(url="https://crm.example.com/")

    def answer(request: Request) -> Outcome:
        feed.clock.pass_by(16_000 if "slow" in request.url else 1)
        return Outcome(200)

    feed.receiver.answer = answer
    for number in range(4):
        feed.record("device.bound", device=f"quectel#p1#D{number}")
    feed.sweep()
    urls = [request.url for request in feed.receiver.requests]
    assert sorted(urls[-2:]) == ["https://slow.example.com/"] * 2
    assert len(urls) == 8


def test_chain_that_fails_does_not_hold_up_others(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    broken, _ = feed.subscribe(url="https://broken.example.com/")
    feed.subscribe()
    dynamodb.write(items.webhook(broken).update(set={"secrets": [{"sealed": "x"}]}))
    feed.record("device.bound")
    feed.sweep()
    assert [request.url for request in feed.receiver.requests] == [URL]
    assert "a chain could not be delivered" in caplog.text
    assert cursor(broken)["time"] == str(feed.clock.now + cursors.LOCK)
