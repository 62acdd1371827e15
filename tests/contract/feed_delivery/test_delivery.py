"""Deliveries: every event, in order, signed, repeated until it is accepted, on request, and after a kill."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from bindery.aws import dynamodb, functions
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ConnectionFailed
from bindery.feed import catalogue, cursors, replays, subscriptions
from bindery.feed.sending import Error, Outcome
from bindery.registry import identity, items
from tests import aws_calls, moto_registry
from tests import feed as streams
from tests.command_line import Killed
from tests.feed import person, user
from tests.feed_receiver import DAY, DEVICE, HOUR, OTHER, START, URL, Feed, Request, cursor
from tests.http_api import OPERATOR, admin
from tests.quectel import DEVICE as LOCK
from tests.quectel import ME, World, as_user, succeeded
from tests.tables import stored

MINUTE = 60_000


def attempts(webhook: str) -> list[tuple[int, int | None]]:
    """Return number and status of the logged attempts, oldest first."""
    found = admin("webhooks", "GET", f"webhooks/{webhook}/deliveries", query="limit=100").json()["items"]
    return [(attempt["attempt"], attempt["status"]) for attempt in reversed(found)]


def test_events_are_delivered_in_order_with_signature_and_body(feed: Feed) -> None:
    webhook, secret = feed.subscribe()
    bound, unbound = feed.record("device.bound", "device.unbound")
    assert feed.started == [{"webhook": webhook, "chain": DEVICE}]
    known = {"webhook": webhook, "chain": DEVICE, "wanted": 2, "expires_at": unbound["expires_at"]}
    due = f"due#{items.shard(DEVICE, items.SHARDS)}"
    assert cursor(webhook) == known | {"collection": due, "time": f"{START + 2}"}
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
    assert cursor(webhook) == known | {"next": 3}
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
    enabled = admin("webhooks", "POST", f"webhooks/{webhook}/enable").json()
    assert enabled == shown | {"enabled": True, "disabled_reason": None}
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


def test_invocation_that_cannot_be_started_is_no_failure(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.subscribe()
    client = Mock(call=Mock(side_effect=ConnectionFailed("injected")))
    monkeypatch.setattr(functions, "client", lambda: client)
    feed.record("device.bound")
    feed.after(0)
    assert feed.receiver.sequences == [1]


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


def hosts(feed: Feed, outcome: Outcome, milliseconds: int, devices: int) -> list[str]:
    """Deliver an event of each device to a slow receiver and another one. Return their hosts in order of delivery."""
    for host in ("slow", "crm"):
        feed.subscribe(url=f"https://{host}.example.com/")

    def answer(request: Request) -> Outcome:
        if "slow" not in request.url:
            return Outcome(200)
        feed.clock.pass_by(milliseconds)
        return outcome

    feed.receiver.answer = answer
    for number in range(devices):
        feed.record("device.bound", device=f"quectel#p1#D{number}")
    feed.sweep()
    return [request.url[8:].partition(".")[0] for request in feed.receiver.requests]


def test_receiver_that_does_not_respond_does_not_hold_up_others(feed: Feed) -> None:
    found = hosts(feed, Outcome(None, Error.TIMED_OUT), 10_000, 5)
    assert (found.count("crm"), found.count("slow")) == (5, 3)


def test_slow_receiver_lets_others_go_first(feed: Feed) -> None:
    found = hosts(feed, Outcome(200), 16_000, 4)
    assert (found[-2:], len(found)) == (["slow"] * 2, 8)


def test_chain_that_fails_does_not_hold_up_others(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    broken, _ = feed.subscribe(url="https://broken.example.com/")
    feed.subscribe()
    dynamodb.write(items.webhook(broken).update(set={"secrets": [{"sealed": "x"}]}))
    feed.record("device.bound")
    feed.sweep()
    assert [request.url for request in feed.receiver.requests] == [URL]
    assert "a chain could not be delivered" in caplog.text
    assert cursor(broken)["time"] == str(feed.clock.now + cursors.LOCK)


def replay(webhook: str, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = admin("webhooks", "POST", f"webhooks/{webhook}/replay", asked).json()
    return found


def give_up(feed: Feed, *types: str) -> None:
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
    assert body["type"] == "device.bound"
    assert body["data"].items() >= {"device": identity.opaque(LOCK), "sequence": 2}.items()
    admin("webhooks", "DELETE", f"webhooks/{webhook}")
    assert changes.events() == [
        ("operator.deleted", {"subject": {"kind": "webhook", "id": webhook}, "operator": OPERATOR, "members": []})
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


@contextmanager
def killed(number: int, *, answered: bool) -> Iterator[list[int]]:
    """Kill at the call with this number, before it is made or after its response. Yield the number of calls."""
    made: list[int] = []

    def call(service: str, *_: object) -> None:
        if service == "dynamodb":
            made.append(len(made) + 1)
            if len(made) == number:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        observed = "after" if answered else "before"
        patch.setattr(aws_calls, observed, [*getattr(aws_calls, observed), call])
        yield made


@pytest.mark.parametrize("answered", [False, True])
def test_kill_during_a_delivery_loses_nothing(feed: Feed, answered: bool) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(200)
    feed.record("device.bound", "device.unbound")
    waiting, began, started = moto_registry.state(), feed.clock.now, feed.started.pop()
    with killed(0, answered=answered) as calls:
        feed.deliver(started)
    assert len(calls) == 9
    for number in calls:
        moto_registry.restore(waiting)
        feed.clock.now = began
        feed.receiver.clear()
        with killed(number, answered=answered), pytest.raises(Killed):
            feed.deliver(started)
        feed.after(cursors.LOCK)
        assert feed.receiver.sequences in ([1, 2], [1, 1, 2], [1, 2, 2])
        assert len({request.id for request in feed.receiver.requests}) == 2
        assert cursor(webhook).keys() == {"webhook", "chain", "wanted", "next", "expires_at"}
        log = admin("webhooks", "GET", f"webhooks/{webhook}/deliveries").json()["items"]
        assert len(log) == 2


@pytest.mark.parametrize("answered", [False, True])
def test_kill_after_a_failure_loses_nothing(feed: Feed, answered: bool) -> None:
    feed.subscribe()
    feed.record("device.bound", "device.unbound")
    waiting, began, started = moto_registry.state(), feed.clock.now, feed.started.pop()
    for number in range(1, 5):
        moto_registry.restore(waiting)
        feed.clock.now = began
        feed.receiver.clear()
        feed.receiver.answers(500)
        with killed(number, answered=answered), pytest.raises(Killed):
            feed.deliver(started)
        feed.receiver.clear()
        feed.receiver.answers(Outcome(200))
        feed.clock.pass_by(cursors.LOCK)
        feed.deliver(started)
        assert feed.receiver.sequences == [1, 2]


@pytest.mark.parametrize("answered", [False, True])
def test_kill_before_webhooks_are_woken_is_repaired_by_the_retry(feed: Feed, answered: bool) -> None:
    webhooks = [feed.subscribe()[0] for _ in range(2)]
    events = [feed.append("device.bound"), feed.append("device.unbound")]
    recorded = moto_registry.state()
    for number in range(1, 4):
        moto_registry.restore(recorded)
        feed.receiver.clear()
        with killed(number, answered=answered), pytest.raises(Killed):
            feed.wake(events)
        feed.wake(events)
        for webhook in webhooks:
            feed.deliver({"webhook": webhook, "chain": DEVICE})
        assert feed.receiver.sequences == [1, 2, 1, 2]
