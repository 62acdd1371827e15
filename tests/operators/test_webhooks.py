import json
import re

import pytest

from bindery.aws.dynamodb import Table
from bindery.feed import webhooks
from bindery.feed.sending import Error, Outcome
from tests.concurrency.races import before
from tests.feed_receiver import DAY, START, URL, Feed, feed
from tests.http_api import OPERATOR, admin
from tests.tables import everything, stored


@pytest.fixture(name="feed")
def _feed(registry: None, monkeypatch: pytest.MonkeyPatch):
    with feed(monkeypatch) as made:
        yield made


def test_created_webhook_has_a_secret_that_is_shown_once_and_stored_encrypted(feed: Feed) -> None:
    made = admin("webhooks", "POST", "webhooks", {"url": URL, "types": ["device.unbound", "device.bound"]}).json()
    expected = {"url": URL, "types": ["device.bound", "device.unbound"], "enabled": True, "disabled_reason": None}
    expected |= {"secrets": 1, "created_at": START}
    assert made == expected | {"id": made["id"], "secret": made["secret"]}
    assert re.fullmatch("wh_[0-9a-f]{16}", made["id"])
    assert re.fullmatch("whsec_[A-Za-z0-9+/]{32}", made["secret"])
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert admin("webhooks", "GET", f"webhooks/{made['id']}").json() == shown
    assert admin("webhooks", "GET", "webhooks").json() == {"items": [shown], "next": None}
    (item,) = stored(Table.DIRECTORY)
    assert (item["pk"], item["sk"], item["changed_by"]) == ("webhooks", made["id"], OPERATOR)
    assert made["secret"].removeprefix("whsec_") not in json.dumps(item)


def test_twenty_first_webhook_is_refused(feed: Feed) -> None:
    for _ in range(20):
        feed.subscribe()
    before_it = everything()
    refused = admin("webhooks", "POST", "webhooks", {"url": URL})
    assert (refused.status, refused.json()["detail"]) == (409, "There are 20 webhooks. Delete one first.")
    assert everything() == before_it


def test_sixth_valid_secret_is_refused_until_an_older_one_ends(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    for number in range(2, 6):
        assert admin("webhooks", "POST", f"webhooks/{webhook}/rotate").json()["secrets"] == number
    refused = admin("webhooks", "POST", f"webhooks/{webhook}/rotate")
    assert refused.status == 409
    assert refused.json()["detail"] == "The webhook has 5 valid secrets. The oldest one ends within 24 hours."
    feed.clock.pass_by(DAY)
    assert admin("webhooks", "POST", f"webhooks/{webhook}/rotate").json()["secrets"] == 2
    assert len(stored(Table.DIRECTORY)[0]["secrets"]) == 2


@pytest.mark.parametrize("change", ["rotate", "types"])
def test_concurrent_change_is_not_lost(feed: Feed, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    webhook, _ = feed.subscribe()
    feed.clock.pass_by(1)
    if change == "rotate":
        before(monkeypatch, "UpdateItem", lambda: webhooks.rotate(webhook))
        answer = admin("webhooks", "POST", f"webhooks/{webhook}/rotate")
    else:
        before(monkeypatch, "UpdateItem", lambda: webhooks.change_types(webhook, ["device.unbound"]))
        answer = admin("webhooks", "PUT", f"webhooks/{webhook}/types", {"types": ["device.bound"]})
    assert answer.status == 503
    found = webhooks.show(webhook)
    assert len(found["secrets"]) == 2 if change == "rotate" else found["types"].keys() == {"device.unbound"}


def test_webhook_deleted_concurrently_is_not_created_again(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, _ = feed.subscribe()
    before(monkeypatch, "UpdateItem", lambda: webhooks.delete(webhook))
    assert admin("webhooks", "POST", f"webhooks/{webhook}/rotate").status == 404
    assert stored(Table.DIRECTORY) == []


def test_test_event_is_signed_and_its_result_is_returned(feed: Feed) -> None:
    webhook, secret = feed.subscribe("device.bound")
    admin("webhooks", "POST", f"webhooks/{webhook}/disable", {"reason": "not ready"})
    kept = everything()
    ok = admin("webhooks", "POST", f"webhooks/{webhook}/test").json()
    assert ok == {"delivered": True, "status": 204, "error": None, "milliseconds": 12}
    (request,) = feed.receiver.requests
    assert request.is_signed_with(secret)
    assert json.loads(request.body) == {
        "type": "webhook.test",
        "timestamp": "2026-11-20T12:00:00.000Z",
        "data": {"webhook": webhook, "sequence": 0},
    }
    feed.receiver.answers(Outcome(None, Error.TLS, milliseconds=3))
    failed = admin("webhooks", "POST", f"webhooks/{webhook}/test").json()
    assert failed == {"delivered": False, "status": None, "error": "tls", "milliseconds": 3}
    assert everything() == kept


def test_cursor_of_another_list_is_refused(feed: Feed) -> None:
    webhook, _ = feed.subscribe()
    for cursor in ("2026-13-01/00/", "x"):
        refused = admin("webhooks", "POST", f"webhooks/{webhook}/replay", {"since": START, "cursor": cursor})
        assert (refused.status, refused.json()["errors"][0]["at"]) == (422, "cursor")
    assert admin("webhooks", "GET", f"webhooks/{webhook}/dead-letters", query="cursor=x").status == 422


def test_webhooks_are_listed_in_pages(feed: Feed) -> None:
    made = sorted(feed.subscribe()[0] for _ in range(3))
    first = admin("webhooks", "GET", "webhooks", query="limit=2").json()
    second = admin("webhooks", "GET", "webhooks", query={"limit": 2, "cursor": first["next"]}).json()
    assert [found["id"] for found in first["items"] + second["items"]] == made
